"""The volumes of one run of a container: mounts that their file servers give its monitor, which starts
those servers that do not run yet.
"""

from __future__ import annotations

import os
import select

from rootless.durable import LockFile, acquire_lock, locked
from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import socket
from rootless.private_directory import make_private_directory
from rootless.run_in_child import run_in_child
from rootless.runtime.account import read_id_maps
from rootless.runtime.nested import SharedNamespace
from rootless.spec.options import ROOT_IS_CALLER
from rootless.supervisor import control_socket, volume_server
from rootless.supervisor.served_mounts import served_mounts, served_volume
from rootless.supervisor.volume_server import ServedTree
from rootless.syscalls import descriptors, mount_flags, mounts, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.containers.launch_description import LaunchDescription
    from rootless.runtime.idmap import IdMaps

_ANSWER_WAIT = 60.0
"""Seconds that a server has to answer; one that is stopped does not."""


def open_volumes(description: LaunchDescription) -> VolumeMounts:
    """The volumes and other served mounts of a container that has some. Raises RootlessError."""
    return VolumeMounts(served_mounts(description), description.runtime)


class VolumeMounts:
    """`trees` are detached mounts by the position of the spec's mount, `namespace` is where they are from.
    Both are for one start of the container, and closed by `close_trees`. `release` after its end.
    """

    def __init__(self, mounts: Mapping[int, ServedTree], runtime: str) -> None:
        """Raises RootlessError if one of them cannot be served."""
        self.trees: dict[int, int] = {}
        self._connections: list[tuple[str, socket.socket]] = []
        self._namespace = -1
        self._maps = read_id_maps(ROOT_IS_CALLER)
        top = f"{runtime}/volumes"
        for each in (runtime, top, f"{top}/mount"):
            make_private_directory(each, "ROOTLESS_RUNROOT")
        locks: list[tuple[str, LockFile]] = []
        try:
            # So that one server is started, and not one by each container that needs it. In one order in
            # every process, because several are locked at once.
            for control in sorted({served.control for served in mounts.values()}):
                lock = acquire_lock(f"{control}.lock")
                assert lock is not None  # it is waited for
                locks.append((f"{control}.lock", lock))
            self._mount(mounts, top)
        except BaseException:
            self.release()
            raise
        finally:
            for path, lock in locks:
                os.unlink(path)
                lock.release()

    def _mount(self, mounts: Mapping[int, ServedTree], top: str) -> None:
        missing = {
            position: served
            for position, served in mounts.items()
            if not self._connect(position, served)
        }
        started: dict[str, StartingServer] = {}
        try:
            for served in missing.values():
                if served.control not in started:
                    started[served.control] = StartingServer(served, top, self._maps)
            for server in started.values():
                server.wait()
        finally:
            for server in started.values():
                server.close()
        for position, served in missing.items():
            if not self._connect(position, served):
                raise RootlessError(f"cannot mount {served.what}: its file server was killed")

    def _connect(self, position: int, served: ServedTree) -> bool:
        """False if there is no server, or one that is ending."""
        mounted = _ask(served.control, volume_server.MOUNT, 2)
        if mounted is None:
            return False
        connection, (self.trees[position], namespace) = mounted
        self._connections.append((served.what, connection))
        if self._namespace >= 0:
            os.close(self._namespace)
        self._namespace = namespace
        return True

    @property
    def namespace(self) -> SharedNamespace:
        return SharedNamespace(self._namespace, self._maps)

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when a server ends."""
        return tuple(connection.fileno() for _, connection in self._connections)

    def failure(self) -> str:
        """Which server has ended, in one line; empty if none has."""
        poll = select.poll()
        for descriptor in self.watched():
            poll.register(descriptor, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll(0)}
        for what, connection in self._connections:
            if connection.fileno() in ended:
                return f"the file server of {what} was killed"
        return ""

    def close_trees(self) -> None:
        """After the start: the mounts are the container's now. Idempotent."""
        for tree in self.trees.values():
            os.close(tree)
        self.trees.clear()
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1

    def release(self) -> None:
        """Return when everything that the container wrote is in the volumes' directories. Idempotent."""
        self.close_trees()
        for _, connection in self._connections:
            try:
                descriptors.send(connection, volume_server.RELEASE)
                connection.recv(16)
            except OSError:
                pass  # the server was killed
            connection.close()
        self._connections.clear()


def call_with_volume(
    name: str, data: str, runtime: str, function: Callable[[int, IdMaps], int]
) -> int:
    """What `function` returns, called in another process with a descriptor of the volume's root, in the user
    namespace that its owners are the ids of, and with the maps of that. The caller must have one thread. Raises
    RootlessError, and what `function` raises.
    """
    volume = VolumeMounts({0: served_volume(name, data, runtime)}, runtime)

    def call() -> int:
        processes.setns(volume.namespace.descriptor, processes.CLONE_NEWUSER)
        processes.unshare(processes.CLONE_NEWNS)
        mounts.mount(None, "/", None, mount_flags.MS_REC | mount_flags.MS_SLAVE)
        place = os.open(f"{runtime}/volumes/mount", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.move_mount(volume.trees[0], place)
        root = os.open(f"{runtime}/volumes/mount", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.umask(0)
        return function(root, volume.namespace.id_maps)

    try:
        return run_in_child(call)
    finally:
        volume.release()


def _ask(control: str, request: bytes, count: int) -> tuple[socket.socket, list[int]] | None:
    """Connect to a server and send a request; None if it is not there, or is ending."""
    try:
        connection = control_socket.connect(control).detached()
    except NotFoundError:
        return None
    connection.settimeout(_ANSWER_WAIT)
    try:
        descriptors.send(connection, request)
        word, received = descriptors.receive(connection, 16, count)
    except OSError:
        word, received = b"", []
    if word != volume_server.OK or len(received) != count:
        connection.close()
        return None
    connection.settimeout(None)
    return connection, received


class StartingServer:
    """A server from its fork, after which others can take its user namespace, to `wait`."""

    def __init__(self, served: ServedTree, top: str, maps: IdMaps) -> None:
        self._served = served
        with locked(f"{top}/namespace.lock"):
            namespace = _existing_namespace(top)
            try:
                self._reports = volume_server.fork_server(served, maps, namespace)
            finally:
                if namespace is not None:
                    os.close(namespace)
            self._word = self._reports.recv(4096)

    def wait(self) -> None:
        """Until it serves. Raises RootlessError if it cannot."""
        if self._word == volume_server.LISTENING:
            self._word = self._reports.recv(4096)
        if self._word != volume_server.READY:
            reason = self._word.decode(errors="replace") or "it was killed"
            raise RootlessError(
                f"cannot mount {self._served.what}: its file server failed: {reason}"
            )

    def close(self) -> None:
        self._reports.close()


def _existing_namespace(top: str) -> int | None:
    """The user namespace of the servers that listen; None if none does."""
    for entry in sorted(os.listdir(top)):
        if entry.endswith(".lock") or entry == "mount":
            continue
        found = _ask(f"{top}/{entry}", volume_server.NAMESPACE, 1)
        if found is not None:
            connection, (namespace,) = found
            connection.close()
            return namespace
    return None
