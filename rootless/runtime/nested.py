"""A container whose user namespace lies below another one, so that it may use file systems that were
mounted there: FUSE serves only processes of the mount's user namespace and of those below it
(fuse_allow_current_process), and several containers that share a volume share one mount.

    caller ── V: the maps of root_map, shared by all containers that use volumes
              ├─ N1: container
              └─ N2: container

A process enters V for good, so that this is done by one in between: it joins V, makes the container as
a child of its own parent (CLONE_PARENT), writes the maps, which a parent namespace's root may do
without newuidmap, and ends.
"""

from __future__ import annotations

import marshal
import os

from rootless.errors import LaunchError
from rootless.light_stdlib import signal
from rootless.runtime.idmap import IdMaps, IdRange, composed
from rootless.syscalls import processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


class SharedNamespace(NamedTuple):
    """A user namespace of this account: a descriptor of it, and its maps. `flags`: with a pidfd as descriptor, which
    namespaces of the process are entered (setns(2)).
    """

    descriptor: int
    id_maps: IdMaps
    flags: int = processes.CLONE_NEWUSER

    @property
    def entered(self) -> tuple[str, ...]:
        """The types of the namespaces that are entered, by their OCI names."""
        return tuple(name for name, flag in processes.NAMESPACE_FLAGS.items() if flag & self.flags)


def maps_below(maps: IdMaps, outer: IdMaps) -> IdMaps:
    """The maps that make a namespace below `outer` have the ids of the host that `maps` name.

    Raises:
        LaunchError: `outer` does not have all of them.
    """
    uids = composed(maps.uids, _inverse(outer.uids))
    gids = composed(maps.gids, _inverse(outer.gids))
    if _count(uids) != _count(maps.uids) or _count(gids) != _count(maps.gids):
        raise LaunchError(
            "the container's ids are not among those of the user namespace that it needs a volume or the network of",
            hint="use the same --userns, and stop the other containers if /etc/subuid or /etc/subgid changed",
        )
    return maps._replace(uids=uids, gids=gids)


def clone_below(
    namespace: SharedNamespace,
    maps: IdMaps,
    flags: int,
    cgroup: int | None,
    run: Callable[[], NoReturn],
) -> tuple[int, int]:
    """A new child of this process, in new namespaces of which the user namespace lies below `namespace`
    and has the maps. It calls `run`. Returns its PID and a pidfd.

    Raises OSError as clone3(2), LaunchError if the maps cannot be written.
    """
    inner = maps_below(maps, namespace.id_maps)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    between = os.fork()
    if between == 0:
        _between(
            namespace._replace(id_maps=inner),
            lambda: processes.fork_into(flags | processes.CLONE_PARENT, cgroup),
            run,
            writer,
        )
    os.close(writer)
    with open(reader, "rb") as pipe:
        report = pipe.read()
    os.waitpid(between, 0)
    if not report:
        raise LaunchError("the process that makes the container was killed")
    pid, number, path = marshal.loads(report)
    if number:
        raise OSError(number, os.strerror(number), path)
    return pid, os.pidfd_open(pid)


def _between(
    namespace: SharedNamespace,
    fork: Callable[[], tuple[int, int]],
    run: Callable[[], NoReturn],
    writer: int,
) -> NoReturn:
    """The program of the process in between. The maps of `namespace` are those to write."""
    pid, pidfd = -1, -1
    try:
        processes.setns(namespace.descriptor, namespace.flags)
        pid, pidfd = fork()
        if pid == 0:
            os.close(writer)
            run()
        write_maps_below(pid, namespace.id_maps)
        os.write(writer, marshal.dumps((pid, 0, None)))
    except OSError as error:
        if pidfd >= 0:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.write(writer, marshal.dumps((-1, error.errno or 0, str(error.filename or ""))))
    finally:
        os._exit(0)


def write_maps_inside(namespace: SharedNamespace, pid: int, maps: IdMaps) -> None:
    """Give a process in a new user namespace below `namespace` the maps, by a process that enters that one. Raises
    OSError, LaunchError.
    """
    from rootless.run_in_child import run_in_child

    inner = maps_below(maps, namespace.id_maps)

    def write() -> None:
        processes.setns(namespace.descriptor, processes.CLONE_NEWUSER)
        write_maps_below(pid, inner)

    run_in_child(write)


def write_maps_below(pid: int, maps: IdMaps) -> None:
    """Give a process in a new user namespace below this process's its maps. Raises OSError."""
    _write_map(pid, "uid_map", maps.uids)
    _write_map(pid, "gid_map", maps.gids)


def _write_map(pid: int, name: str, ranges: tuple[IdRange, ...]) -> None:
    """At once: a second write(2) is refused (user_namespaces(7))."""
    text = "".join(f"{each.inside} {each.outside} {each.size}\n" for each in ranges)
    with open(f"/proc/{pid}/{name}", "wb", buffering=0) as file:
        file.write(text.encode())


def _inverse(ranges: tuple[IdRange, ...]) -> tuple[IdRange, ...]:
    return tuple(IdRange(each.outside, each.inside, each.size) for each in ranges)


def _count(ranges: tuple[IdRange, ...]) -> int:
    return sum(each.size for each in ranges)
