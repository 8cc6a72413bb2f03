"""Shares the network, PID, IPC and UTS namespaces of another container (--network, --pid, --ipc and --uts
container:NAME).

The user namespace of the container is made below the other's, because only a process that has entered that may enter these
namespaces. The container has no capabilities over them: its addresses and routes are the other's to change. The file
systems of a PID and an IPC namespace, /proc, /dev/shm and /dev/mqueue, are those that the other has mounted.
"""

from __future__ import annotations

import errno
import os

from rootless.containers.config import read_spec
from rootless.containers.directory import Containers
from rootless.containers.exec_target import open_process
from rootless.containers.status import ALIVE
from rootless.errors import ConflictError
from rootless.network.options import CONTAINER
from rootless.runtime.idmap import IdMaps
from rootless.runtime.mount_options import OF_CONTAINER
from rootless.runtime.nested import SharedNamespace
from rootless.syscalls import descriptors, mounts, processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from rootless.containers.launch_description import LaunchDescription
    from rootless.light_stdlib import socket


class SharedNamespaces(NamedTuple):
    """The namespaces of another container, and detached mounts of its own by the position of the mount of the OCI configuration.
    The descriptors are the caller's to close.
    """

    namespace: SharedNamespace
    trees: Mapping[int, int]

    def close(self) -> None:
        for descriptor in (self.namespace.descriptor, *self.trees.values()):
            os.close(descriptor)


def open_shared_namespaces(description: LaunchDescription) -> SharedNamespaces | None:
    """None for a container that shares no namespaces.

    Raises NotFoundError, and ConflictError if the other container does not run.
    """
    container = _container(description.spec)
    if not container:
        return None
    types = [each["type"] for each in description.spec["linux"]["namespaces"] if "path" in each]
    containers = Containers(os.path.dirname(description.directory))
    record = containers.read(container)
    if record.status not in ALIVE:
        raise ConflictError(
            f"cannot join {types[0]} namespace of a non running container: "
            f"container {record.name} is {record.status.value}"
        )
    spec = read_spec(containers.directory(container))
    flags = processes.CLONE_NEWUSER
    for each in types:
        flags |= processes.NAMESPACE_FLAGS[each]
    process = open_process(record, spec)
    try:
        trees = _open_trees(process, description.spec)
    except BaseException:
        os.close(process)
        raise
    return SharedNamespaces(SharedNamespace(process, IdMaps.from_spec(spec["linux"]), flags), trees)


def is_below(process: int, namespace: int) -> bool:
    """Whether the user namespace of a process, whose pidfd it is, is a child of the one of a descriptor."""
    import fcntl

    try:
        own = fcntl.ioctl(process, _PIDFD_GET_USER_NAMESPACE, 0)
        parent = fcntl.ioctl(own, _NS_GET_PARENT, 0)
    except OSError:
        return False
    try:
        return os.path.sameopenfile(parent, namespace)
    finally:
        os.close(own)
        os.close(parent)


def _open_trees(process: int, spec: Mapping[str, Any]) -> dict[int, int]:
    """Detached copies of mounts of a container, by the position of the mount that each is for. Raises OSError."""
    wanted = {
        position: str(mount["source"])
        for position, mount in enumerate(spec.get("mounts", ()))
        if OF_CONTAINER in mount.get("options", ())
    }
    if not wanted:
        return {}
    ours, theirs = descriptors.pair()
    pid = os.fork()
    if pid == 0:
        _send_trees(process, list(wanted.values()), theirs)
    theirs.close()
    word, received = descriptors.receive(ours, 4096, len(wanted))
    ours.close()
    os.waitpid(pid, 0)
    if word != b"ok":
        number = int(word or errno.EIO)
        raise OSError(number, os.strerror(number))
    return dict(zip(wanted, received, strict=True))


def _send_trees(process: int, paths: Sequence[str], end: socket.socket) -> NoReturn:
    """The program of a process that enters the container."""
    try:
        processes.setns(process, processes.CLONE_NEWUSER | processes.CLONE_NEWNS)
        descriptors.send(end, b"ok", [mounts.open_tree(path) for path in paths])
    except OSError as error:
        end.send(str(error.errno or errno.EIO).encode())
    finally:
        os._exit(0)


_NS_GET_PARENT = 0xB702
"""ioctl_nsfs(2)"""
_PIDFD_GET_USER_NAMESPACE = 0xFF09
"""linux/pidfd.h, Linux 6.11"""


def _container(spec: Mapping[str, Any]) -> str:
    """The id of the other container, by which the OCI configuration names its namespace; empty if there is none."""
    paths = (str(each.get("path", "")) for each in spec["linux"]["namespaces"])
    return next((path.removeprefix(CONTAINER) for path in paths if path.startswith(CONTAINER)), "")
