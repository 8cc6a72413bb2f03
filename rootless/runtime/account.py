"""The calling account: its names, and its subordinate ids of /etc/subuid and /etc/subgid, or of
getsubids(1) where a directory service has them."""

from __future__ import annotations

import os
import pwd

from rootless.light_stdlib import read_file
from rootless.runtime.idmap import IdMaps, Subordinate, UserNamespaceMode, make_maps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.userdb import Account


def parse_subordinate(content: str, name: str, number: int) -> tuple[Subordinate, ...]:
    """The ranges of one account, by its name or its number (subuid(5)). Malformed lines are
    ignored."""
    result = []
    for line in content.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in {name, str(number)}:
            start, count = fields[1:]
            if start.isdecimal() and count.isdecimal() and int(count) > 0:
                result.append(Subordinate(int(start), int(count)))
    return tuple(result)


def is_mapped(ids: Subordinate, id_map: str) -> bool:
    """Whether the user namespace with this map (user_namespaces(7)) has all of the ids."""
    last = ids.start + ids.size
    for line in id_map.splitlines():
        inside, _, size = map(int, line.split())
        if inside <= ids.start and last <= inside + size:
            return True
    return False


def read_account() -> Account:
    """The calling account as the host's databases have it; numbers for what has no name."""
    import grp

    from rootless.runtime.userdb import Account

    uid, gid = os.getuid(), os.getgid()
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), group, "/", "")
    return Account(entry.pw_name, group, entry.pw_dir, entry.pw_gecos)


def read_id_maps(mode: UserNamespaceMode) -> IdMaps:
    """The maps of a container of the calling account."""
    uid, gid = os.getuid(), os.getgid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return make_maps(
        mode,
        uid=uid,
        gid=gid,
        subuids=_ranges("/etc/subuid", name, uid),
        subgids=_ranges("/etc/subgid", name, uid),
    )


def _ranges(path: str, name: str, uid: int) -> tuple[Subordinate, ...]:
    if ranges := parse_subordinate(_read(path), name, uid):
        # In a container of the same account's, as /proc/self/gid_map shows too, they are out of reach.
        return tuple(each for each in ranges if is_mapped(each, _read("/proc/self/uid_map")))
    if _uses_a_service():
        return _from_getsubids(name, group=path.endswith("gid"))
    return ()


def _uses_a_service() -> bool:
    """Whether nsswitch.conf sends `subid` elsewhere than to the files."""
    for line in _read("/etc/nsswitch.conf").splitlines():
        database, _, services = line.partition("#")[0].partition(":")
        if database.strip() == "subid":
            return services.split() != ["files"]
    return False


def _from_getsubids(name: str, *, group: bool) -> tuple[Subordinate, ...]:
    """Lines such as `0: alice 100000 65536`."""
    import subprocess

    command = ["getsubids", *(["-g"] if group else []), name]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    fields = [line.split() for line in output.stdout.splitlines()]
    return tuple(Subordinate(int(f[-2]), int(f[-1])) for f in fields if len(f) == 4)


def _read(path: str) -> str:
    try:
        return read_file(path).decode(errors="replace")
    except OSError:
        return ""
