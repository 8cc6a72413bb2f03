"""Writing the id maps of a new user namespace: by its owner for a single id, by the setuid helpers
for ranges."""

from __future__ import annotations

import os

from rootless.errors import HostSupportError, LaunchError
from rootless.runtime.idmap import IdMaps, IdRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_maps(pid: int, id_maps: IdMaps) -> None:
    """Give process `pid` its maps.

    Raises:
        HostSupportError: newuidmap or newgidmap is missing.
        LaunchError: a map was refused.
    """
    if id_maps.helper:
        _with_helpers(pid, id_maps)
    else:
        # gid_map can be written without privilege only once setgroups is denied
        # (user_namespaces(7)).
        _write(pid, "setgroups", "deny")
        _write(pid, "uid_map", _lines(id_maps.uids))
        _write(pid, "gid_map", _lines(id_maps.gids))


def _lines(ranges: Sequence[IdRange]) -> str:
    return "".join(f"{r.inside} {r.outside} {r.size}\n" for r in ranges)


def _write(pid: int, name: str, text: str) -> None:
    try:
        with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise LaunchError(f"cannot write the {name} of the container: {error.strerror}") from error


def _with_helpers(pid: int, id_maps: IdMaps) -> None:
    """Both at once: each is a setuid program of a few milliseconds."""
    running = []
    for program, ranges in (("newuidmap", id_maps.uids), ("newgidmap", id_maps.gids)):
        numbers = [str(n) for r in ranges for n in r]
        path = _find(program)
        read, write = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, write, 2)]
        try:
            spawned = os.posix_spawn(path, [program, str(pid), *numbers], {}, file_actions=actions)
        finally:
            os.close(write)
        running.append((program, spawned, read))
    failures = []
    for program, spawned, read in running:
        with open(read, "rb") as pipe:
            said = pipe.read().decode(errors="replace").strip().replace("\n", "; ")
        _, status = os.waitpid(spawned, 0)
        if status != 0:
            failures.append(f"{program} refused the id map: {said or 'no reason given'}")
    if failures:
        raise LaunchError(
            failures[0],
            hint="check /etc/subuid and /etc/subgid, and that the helpers are setuid root "
            "or carry CAP_SETUID",
        )


def _find(program: str) -> str:
    for directory in _SEARCH.split(":"):
        path = f"{directory}/{program}"
        if os.access(path, os.X_OK):
            return path
    raise HostSupportError(
        f"{program} is not installed", hint="install the package uidmap (shadow-utils on Fedora)"
    )
