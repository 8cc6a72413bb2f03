"""Rights of the process that makes a request. The request may not have them: where idmapped mounts
are allowed the kernel sends no owner with most of them (FUSE_INVALID_UIDGID, fuse_get_req), and the
groups and capabilities with none, so proc(5) is asked."""

from __future__ import annotations

import os
from stat import S_ISGID, S_ISUID, S_IXGRP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_CAP_FOWNER = 1 << 3
_CAP_FSETID = 1 << 4
_ALL_IDS = [b"0", b"0", b"4294967295"]
"""uid_map of the initial user namespace (user_namespaces(7))."""


def is_owner(pid: int) -> bool:
    """Whether a process belongs to the user who serves."""
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def may_be_owner(pid: int, uid: int) -> bool:
    """Whether a process may do what the owner of a file may (inode_owner_or_capable, fs/inode.c).
    True also for a process that is in no PID namespace below that of the mount: proc(5) has no
    entry for it."""
    try:
        fields = _status(pid)
        mine = _shown(pid, "uid_map", fields[b"Uid"][3:])
    except OSError:
        return True
    return uid in mine or bool(_capabilities(fields) & _CAP_FOWNER)


def set_id_to_drop(pid: int, mode: int, gid: int) -> int:
    """The set-id bits of `mode` that go when process `pid` changes the data of a regular file of
    group `gid`: setattr_should_drop_suidgid, fs/attr.c. All of them if proc(5) has no entry for the
    process."""
    try:
        fields = _status(pid)
        groups = _shown(pid, "gid_map", (fields[b"Gid"][3], *fields[b"Groups"]))
        capable = bool(_capabilities(fields) & _CAP_FSETID)
        if capable and _map(pid, "uid_map").split() == _ALL_IDS:
            # capable(9) asks the initial user namespace, and only a process whose capabilities
            # count there can make another that maps every id to itself.
            return 0
    except OSError:
        return mode & (S_ISUID | S_ISGID)
    dropped = mode & S_ISUID
    if mode & S_ISGID and (mode & S_IXGRP or not (capable or gid in groups)):
        dropped |= S_ISGID
    return dropped


def _status(pid: int) -> dict[bytes, list[bytes]]:
    with open(f"/proc/{pid}/status", "rb") as status:
        return {name: value.split() for name, _, value in (line.partition(b":") for line in status)}


def _capabilities(fields: dict[bytes, list[bytes]]) -> int:
    return int(fields[b"CapEff"][0], 16)


def _map(pid: int | str, kind: str) -> bytes:
    with open(f"/proc/{pid}/{kind}", "rb") as mapping:
        return mapping.read()


def _shown(pid: int, kind: str, numbers: Sequence[bytes]) -> list[int]:
    """Ids that proc(5) shows of a process, as the process itself sees them: the mount is taken to be
    in its user namespace, the server may be in another."""
    text = _map(pid, kind)
    ids = [int(number) for number in numbers]
    if text == _map("self", kind):
        return ids
    fields = [int(field) for field in text.split()]
    extents = list(zip(fields[::3], fields[1::3], fields[2::3], strict=True))
    return [
        first + number - outer
        for number in ids
        for first, outer, count in extents
        if outer <= number < outer + count
    ]
