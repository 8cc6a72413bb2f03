"""Writes the id maps of a new user namespace: as its owner for a single id, by the setuid helpers for ranges."""

from __future__ import annotations

import os

from rootless.errors import HostSupportError, LaunchError
from rootless.light_stdlib import read_to_end
from rootless.runtime.idmap import IdMaps, IdRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_maps(pid: int, id_maps: IdMaps) -> None:
    """Give process `pid` its maps. Raises what `begin_maps` and `wait` of its result raise."""
    begin_maps(pid, id_maps).wait()


def begin_maps(pid: int, id_maps: IdMaps) -> MapHelpers:
    """Begin to give process `pid` its maps, which it has when `wait` of the result returns.

    Raises:
        HostSupportError: newuidmap or newgidmap is missing.
        LaunchError: a map was refused.
    """
    if id_maps.helper:
        return MapHelpers(pid, id_maps)
    # gid_map can be written without privilege only once setgroups is denied (user_namespaces(7)).
    _write(pid, "setgroups", "deny")
    _write(pid, "uid_map", _lines(id_maps.uids))
    _write(pid, "gid_map", _lines(id_maps.gids))
    return MapHelpers(pid, None)


class MapHelpers:
    """newuidmap and newgidmap at work, both at once: each is a setuid program of a few milliseconds. With
    `id_maps` None there are none to wait for.
    """

    def __init__(self, pid: int, id_maps: IdMaps | None) -> None:
        self._running: list[tuple[str, int, int]] = []
        if id_maps is None:
            return
        for program, ranges in (("newuidmap", id_maps.uids), ("newgidmap", id_maps.gids)):
            numbers = [str(n) for r in ranges for n in r]
            path = _find(program)
            read, write = os.pipe()
            actions = [(os.POSIX_SPAWN_DUP2, write, 2)]
            arguments = [program, str(pid), *numbers]
            try:
                spawned = os.posix_spawn(path, arguments, {}, file_actions=actions)
            finally:
                os.close(write)
            self._running.append((program, spawned, read))

    def wait(self) -> None:
        """Wait for the end of both. Raises LaunchError if a map was refused."""
        failures = []
        for program, spawned, read in self._running:
            said = read_to_end(read).decode(errors="replace").strip().replace("\n", "; ")
            os.close(read)
            _, status = os.waitpid(spawned, 0)
            if status != 0:
                failures.append(f"{program} refused the id map: {said or 'no reason given'}")
        self._running.clear()
        if failures:
            raise LaunchError(
                failures[0],
                hint="check /etc/subuid and /etc/subgid, and that the helpers are setuid root "
                "or carry CAP_SETUID",
            )


def _lines(ranges: Sequence[IdRange]) -> str:
    return "".join(f"{r.inside} {r.outside} {r.size}\n" for r in ranges)


def _write(pid: int, name: str, text: str) -> None:
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())  # a map is taken in one write(2) or not at all
        finally:
            os.close(descriptor)
    except OSError as error:
        from rootless.runtime.refused_namespaces import remedy

        # AppArmor lets a process make the namespace, and takes all capabilities in it away.
        raise LaunchError(
            f"cannot write the {name} of the container: {error.strerror}",
            hint=remedy(("user",)) or None,
        ) from error


def _find(program: str) -> str:
    for directory in _SEARCH.split(":"):
        path = f"{directory}/{program}"
        if os.access(path, os.X_OK):
            return path
    raise HostSupportError(
        f"{program} is not installed", hint="install the package uidmap (shadow-utils on Fedora)"
    )
