"""The volumes of one run of a container: mounts that the monitor gets from their file servers, which it starts if
they do not run.
"""

from __future__ import annotations

import os
import select
import time

from rootless.durable import LockFile, acquire_lock, locked
from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import socket
from rootless.private_directory import make_private_directory
from rootless.run_in_child import run_in_child
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import UserNamespaceMode
from rootless.runtime.nested import SharedNamespace
from rootless.supervisor import control_socket
from rootless.supervisor.engine_log import log
from rootless.supervisor.file_servers import volume_server
from rootless.supervisor.file_servers.claim import servers_directory
from rootless.supervisor.file_servers.file_server import Replacements
from rootless.supervisor.file_servers.served_mounts import served_mounts, served_volume
from rootless.supervisor.file_servers.volume_server import KeptMount, ServedTree
from rootless.syscalls import descriptors, mount_flags, mounts, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from rootless.containers.launch_description import LaunchDescription
    from rootless.runtime.idmap import IdMaps

_ANSWER_WAIT = 60.0
"""Seconds that a server has to answer; one that is stopped does not."""
_REPLACEMENT_WAIT = 20.0
"""Seconds that another container's monitor has to replace a server."""


def open_volumes(description: LaunchDescription) -> VolumeMounts:
    """The volumes and other served mounts, for a start of a container that has some. Raises RootlessError."""
    return VolumeMounts(served_mounts(description, keeps_copies=False), description.runtime)


def open_volumes_at_rest(description: LaunchDescription) -> VolumeMounts:
    """As `open_volumes`, for a container that does not run, with what it wrote where it has mounts that are copied
    on write.
    """
    return VolumeMounts(served_mounts(description, keeps_copies=True), description.runtime)


class _Served:
    """A connection to the server of a mount, and what another one needs to take its place."""

    def __init__(self, served: ServedTree, connection: socket.socket) -> None:
        self.served = served
        self.connection = connection
        self.kept: KeptMount | None = None
        self.replacements = Replacements()
        self._mark: LockFile | None = None
        """Held by each monitor that can start another server of the mount."""

    def keep(self) -> None:
        """Have the server give what another needs, if the kernel can go on with another. Raises OSError if it
        has ended."""
        received = _request(self.connection, volume_server.KEEP)
        if len(received) == len(KeptMount._fields):
            if self.kept is not None:
                self.kept.close()
            self.kept = KeptMount(*received)
            if self._mark is None:
                self._mark = acquire_lock(_mark_of(self.served.control), shared=True)
        else:
            for descriptor in received:
                os.close(descriptor)

    def reconnect(self) -> bool:
        """Connect to another server that serves already, after one has ended; False if there is none."""
        try:
            connection = control_socket.connect(self.served.control).detached()
        except NotFoundError:
            return False
        self.connection.close()
        self.connection = connection
        try:
            self.keep()
        except OSError:
            return False
        return True

    def let_go(self) -> None:
        """Close what is kept: without a server, requests of the container fail from now on. Idempotent."""
        if self.kept is not None:
            self.kept.close()
            self.kept = None
        if self._mark is not None:
            self._mark.release()
            self._mark = None
            _is_kept(self.served.control)


class _BeingReplacedError(Exception):
    """The server of what it names was killed, and another container's monitor has what a new one needs."""


def _mark_of(control: str) -> str:
    return f"{control}.kept.lock"


def _is_kept(control: str) -> bool:
    """Whether a monitor holds the mark of a mount; without one the file of the mark is removed."""
    lock = acquire_lock(_mark_of(control), wait=False)
    if lock is None:
        return True
    os.unlink(_mark_of(control))
    lock.release()
    return False


class _StartLock:
    """So that one server is started, and not one by each container that needs it. Several are locked in one order
    in every process.
    """

    def __init__(self, controls: Collection[str]) -> None:
        self._paths = [f"{control}.lock" for control in sorted(controls)]
        self._locks: list[tuple[str, LockFile]] = []

    def __enter__(self) -> None:
        try:
            for path in self._paths:
                lock = acquire_lock(path)
                assert lock is not None  # it is waited for
                self._locks.append((path, lock))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for path, lock in self._locks:
            os.unlink(path)
            lock.release()
        self._locks.clear()


class VolumeMounts:
    """`trees` are detached mounts by the position of the spec's mount, `namespace` is where they are from.
    Both are for one start of the container; the trees are closed by `close_trees`. `keep` after the start,
    `release` after the container's end.
    """

    def __init__(self, mounts: Mapping[int, ServedTree], runtime: str) -> None:
        """The mounts belong to one user namespace. Raises RootlessError if one of them cannot be served."""
        self.trees: dict[int, int] = {}
        self._connections: list[_Served] = []
        self._started: list[StartingServer] = []
        """Servers of which it is not known yet that they can answer."""
        single = any(served.single for served in mounts.values())
        self._top = servers_directory(runtime, single=single)
        self._namespace = -1
        self._maps = read_id_maps(UserNamespaceMode(single=single))
        for each in (runtime, self._top, f"{self._top}/mount"):
            make_private_directory(each, "ROOTLESS_RUNROOT")
        until = time.monotonic() + _REPLACEMENT_WAIT
        while True:
            try:
                with _StartLock({served.control for served in mounts.values()}):
                    self._mount(mounts)
                return
            except _BeingReplacedError as error:
                self.release()
                if time.monotonic() > until:
                    raise RootlessError(
                        f"cannot mount {error}: its file server was killed"
                    ) from None
                time.sleep(0.02)
            except BaseException:
                self.release()
                raise

    def _mount(self, mounts: Mapping[int, ServedTree]) -> None:
        missing = {
            position: served
            for position, served in mounts.items()
            if not self._connect(position, served)
        }
        for served in missing.values():
            if _is_kept(served.control):
                raise _BeingReplacedError(served.what)
        started: dict[str, StartingServer] = {}
        try:
            for served in missing.values():
                if served.control not in started:
                    started[served.control] = StartingServer(served, self._top, self._maps)
            for server in started.values():
                server.wait()
            self._started += started.values()
        except BaseException:
            for server in started.values():
                server.close()
            raise
        for position, served in missing.items():
            if not self._connect(position, served):
                raise RootlessError(f"cannot mount {served.what}: its file server was killed")

    def _connect(self, position: int, served: ServedTree) -> bool:
        """False if there is no server, or one that is ending."""
        mounted = _ask(served.control, volume_server.MOUNT, 2)
        if mounted is None:
            return False
        connection, (self.trees[position], namespace) = mounted
        self._connections.append(_Served(served._replace(start=None), connection))
        if self._namespace >= 0:
            os.close(self._namespace)
        self._namespace = namespace
        return True

    @property
    def namespace(self) -> SharedNamespace:
        return SharedNamespace(self._namespace, self._maps)

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when a server ends."""
        return tuple(each.connection.fileno() for each in self._connections)

    def keep(self) -> None:
        """Take what is needed to replace servers that are killed from now on."""
        for each in self._connections:
            try:
                each.keep()
            except OSError:
                pass  # it has ended, which `failure` finds

    def failure(self) -> str:
        """The server that has ended and cannot be replaced, in one line; empty if there is none."""
        poll = select.poll()
        for descriptor in self.watched():
            poll.register(descriptor, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll(0)}
        for each in self._connections:
            if each.connection.fileno() in ended and not self._replace(each):
                each.let_go()
                return f"the file server of {each.served.what} was killed"
        return ""

    def _replace(self, lost: _Served) -> bool:
        """Have another server go on in place of one that has ended: one that another container's monitor has
        started, or a new one. False if that cannot be, or the servers end too often.
        """
        while lost.kept is not None and lost.replacements.add(time.monotonic()):
            log(f"the file server of {lost.served.what} was killed; another one goes on")
            try:
                with _StartLock({lost.served.control}):
                    if lost.reconnect() or self._start_another(lost, lost.kept):
                        return True
            except (OSError, RootlessError) as error:
                log(f"it cannot be replaced: {error}")
                break
        return False

    def _start_another(self, lost: _Served, kept: KeptMount) -> bool:
        """False if the new server was killed too. Raises RootlessError if it cannot go on, OSError."""
        server = StartingServer(lost.served, self._top, self._maps, self._namespace, kept)
        try:
            server.wait()
        except RootlessError:
            if server.was_killed:
                return False
            raise
        finally:
            server.close()
        return lost.reconnect()

    def failure_of_start(self) -> str:
        """Why a server that the container needs cannot answer; empty if that is not known."""
        return next(filter(None, (each.failure() for each in self._started)), "") or self.failure()

    def close_trees(self) -> None:
        """After the start: the mounts are the container's now. Idempotent."""
        for server in self._started:
            server.close()
        self._started.clear()
        for tree in self.trees.values():
            os.close(tree)
        self.trees.clear()

    def release(self) -> None:
        """Return when everything that the container wrote is in the volumes' directories. Idempotent."""
        self.close_trees()
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1
        self.failure()  # what the kernel has still to write back needs a server
        for each in self._connections:
            each.let_go()
        for each in self._connections:
            try:
                descriptors.send(each.connection, volume_server.RELEASE)
                each.connection.recv(16)
            except OSError:
                pass  # the server was killed
            each.connection.close()
        self._connections.clear()


def call_with_volume(
    name: str,
    data: str,
    runtime: str,
    function: Callable[[int, IdMaps], int],
    *,
    is_tmpfs: bool = False,
) -> int:
    """Return what `function` returns, called in another process with a descriptor of the volume's root, in the user
    namespace that its owners are the ids of, and with the maps of that. The caller must have one thread. Raises
    RootlessError, and what `function` raises.
    """
    served = served_volume(name, data, runtime, is_tmpfs=is_tmpfs)
    volume = VolumeMounts({0: served}, runtime)

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


def _request(connection: socket.socket, request: bytes) -> list[int]:
    """The descriptors of the server's answer. Raises OSError if it has ended."""
    connection.settimeout(_ANSWER_WAIT)
    descriptors.send(connection, request)
    word, received = descriptors.receive(connection, 16, 3)
    connection.settimeout(None)
    if word != volume_server.OK:
        raise ConnectionResetError
    return received


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
    """A server from its fork, after which others can take its user namespace, to `wait`. `kept` is that of a
    killed server, which was in the user namespace of that descriptor.
    """

    def __init__(
        self,
        served: ServedTree,
        top: str,
        maps: IdMaps,
        namespace: int = -1,
        kept: KeptMount | None = None,
    ) -> None:
        self.was_killed = False
        self._served = served
        with locked(f"{top}/namespace.lock"):
            existing = existing_namespace(top) if kept is None else os.dup(namespace)
            try:
                if existing is None and served.start is not None:
                    self._reports = served.start()
                else:
                    self._reports = volume_server.fork_server(served, maps, existing, kept)
            finally:
                if existing is not None:
                    os.close(existing)
            self._word = self._reports.recv(4096)

    def wait(self) -> None:
        """Until it serves. Raises RootlessError if it cannot."""
        if self._word == volume_server.LISTENING:
            self._word = self._reports.recv(4096)
        self.was_killed = not self._word
        if self._word != volume_server.READY:
            reason = self._word.decode(errors="replace") or "it was killed"
            raise RootlessError(self._message(reason))

    def failure(self) -> str:
        """Why it has failed after it has given clients the mount; empty if it has not."""
        try:
            reason = self._reports.recv(4096, socket.MSG_DONTWAIT).decode(errors="replace")
        except OSError:
            return ""
        return reason and self._message(reason)

    def _message(self, reason: str) -> str:
        if self._served.tmpfs is not None:
            return reason
        return f"cannot mount {self._served.what}: its file server failed: {reason}"

    def close(self) -> None:
        self._reports.close()


def existing_namespace(top: str) -> int | None:
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
