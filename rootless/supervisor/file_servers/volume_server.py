"""The file server of a volume, or of another mount of containers that a union serves: one process for all containers
that mount it, as long as one does.

    RUNROOT/volumes/<device>-<inode of the volume's directory>/control.sock
    RUNROOT/volumes/<id of the container>-<position of the mount>/control.sock

It lives in the user namespace V that the containers' own lie below (`rootless.runtime.nested`), and in a
mount namespace of its own, where it mounts the volume. Each client, a container's monitor, gets a clone of
that mount, so that all containers have one file system: what one writes or locks the others see at once, also in
memory that they map. A client's requests, each a packet:

    namespace        V. Answer: `ok`, and a descriptor of V
    mount            Answer: `ok`, and descriptors of a clone of the mount and of V
    keep             The client is to start another server if this one is killed (decision 1672). Answer: `ok`, and
                     descriptors of another clone of the mount, of the FUSE device and of the memory of the
                     connection; without descriptors if the kernel cannot go on with another server
    release          What the client's container wrote is written to the volume's directory. Answer: `ok`
    (end)            The client is gone

When its last client is, the server takes no more, unmounts, and ends when every container's mount has gone.
All servers that listen at one time have one V: a lock is held while a server is started, which takes V from
one that listens and makes a new one only if none does.
"""

from __future__ import annotations

import _thread
import errno
import gc
import os
import select
import sys
import time

from rootless.errors import RootlessError
from rootless.light_stdlib import signal, socket
from rootless.runtime.idmap_writer import write_maps
from rootless.supervisor import control_socket
from rootless.supervisor.detach import ignore_signals
from rootless.supervisor.engine_log import log_exception, take_streams
from rootless.supervisor.messages import close_all_but, send_failure
from rootless.syscalls import descriptors, identity, mount_flags, mounts, processes
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.rootfs.served import ConnectionServer
    from rootless.runtime.idmap import IdMaps
    from rootless.supervisor.file_servers.volume_tmpfs import VolumeTmpfs
    from unionfs.session.continuation import Continuation
    from unionfs.union import Union

NAMESPACE, MOUNT, KEEP, RELEASE, OK = b"namespace", b"mount", b"keep", b"release", b"ok"
LISTENING, READY = b"listening", b"ready"
"""What a server reports to the process that started it; anything else is why it failed."""

_FIRST_CLIENT_WAIT = 30_000
"""Milliseconds after which a server ends that no client has come to: its starter was killed."""
_PREDECESSOR_WAIT = 60.0
"""Seconds to wait for the end of the server before, which may have much to write."""
_LOST_WAIT = 3.0
"""The same where that server has not said that it ends: its socket was removed, or it is of a release that does not say it."""
_SWITCH_INTERVAL = 0.0002
"""Seconds after which a thread has to give way to another while the server starts."""
_FSTYPE = "fuse.rootless-volume"


class ServedTree(NamedTuple):
    """The tree of a server, and its mount. All paths are absolute.

    `what` names it in messages, `source` is its device in /proc/mounts. `open_union` is called in the server with
    the maps of its user namespace and what it has to know of the connection. `control` is the directory of
    the socket; `mountpoint` an empty directory, which all servers mount on, each in its mount namespace;
    `log` the file of standard error.
    """

    what: str
    source: str
    open_union: Callable[[IdMaps, ConnectionServer], Union]
    control: str
    mountpoint: str
    log: str
    read_only: bool = False
    writeback: bool = True
    """Whether the kernel may keep written data for some time (docs/decisions/1851)."""
    start: Callable[[], socket.socket] | None = None
    """Starts the first server in a user namespace of its own, in the place of `fork_server`; called once at most."""
    single: bool = False
    """In the user namespace with one id (`servers_directory`)."""
    tmpfs: VolumeTmpfs | None = None
    """The volume is this tmpfs, and the server opens no union."""


class KeptMount(NamedTuple):
    """Descriptors that outlive a server: of a detached clone of the mount, of the FUSE device, and of the memory
    of the connection (`unionfs.session.continuation`, `unionfs.journal`). Of a tmpfs, which needs neither, both are
    the null device.
    """

    tree: int
    device: int
    memory: int

    def close(self) -> None:
        """The device first: without a server, the end of the last mount would wait for answers."""
        for descriptor in (self.device, self.memory, self.tree):
            os.close(descriptor)


def fork_server(
    served: ServedTree, maps: IdMaps, namespace: int | None, kept: KeptMount | None = None
) -> socket.socket:
    """Start the server, in the user namespace of that descriptor or in a new one with the maps; what it
    reports comes on the socket. It is not a child of this process, which must have one thread.

    Args:
        kept: where a killed server was, in that namespace, and this one goes on. It stays the caller's.
    """
    ours, theirs = descriptors.pair()
    pid = os.fork()
    if pid == 0:
        _detach(served, maps, namespace, theirs, kept)
    theirs.close()
    os.waitpid(pid, 0)
    return ours


def _detach(
    served: ServedTree,
    maps: IdMaps,
    namespace: int | None,
    end: socket.socket,
    kept: KeptMount | None,
) -> NoReturn:
    """The program of the process that makes the server and ends."""
    try:
        leave_monitor(
            served, (end.fileno(), *(() if namespace is None else (namespace,)), *(kept or ()))
        )
        if namespace is None:
            ready, mapped = os.pipe2(os.O_CLOEXEC)
            pid, _ = processes.fork_into(processes.CLONE_NEWUSER | processes.CLONE_NEWNS)
            if pid == 0:
                os.close(mapped)
                if served.tmpfs is None:
                    import_server()  # while the maps are written
                if os.read(ready, 1):
                    run_server(served, maps, end, kept)
                os._exit(1)
            write_maps(pid, maps)
            os.write(mapped, b"1")
        elif os.fork() == 0:
            processes.setns(namespace, processes.CLONE_NEWUSER)
            processes.unshare(processes.CLONE_NEWNS)
            run_server(served, maps, end, kept)
    except BaseException as error:  # noqa: BLE001 - the last resort of this process
        _report(end, error)
    finally:
        os._exit(0)


def leave_monitor(served: ServedTree, descriptors_kept: tuple[int, ...]) -> None:
    """Take nothing of the monitor's along but these descriptors: a session, streams and signals of the server's."""
    os.setsid()
    close_all_but(descriptors_kept)
    take_streams(served.log)
    os.chdir("/")
    ignore_signals(signal.SIGTERM)


def import_server() -> None:
    """Load what a server needs."""
    for each in IMPORTS:
        each()


def _import_session() -> None:
    from unionfs.session import device  # noqa: F401


def _import_union() -> None:
    from unionfs import union  # noqa: F401


def _import_rest() -> None:
    from rootless.rootfs import served, volume  # noqa: F401
    from unionfs import journal  # noqa: F401
    from unionfs.session import continuation, workers  # noqa: F401


IMPORTS: tuple[Callable[[], None], ...] = _import_union, _import_session, _import_rest
"""The steps of `import_server`."""


def _report(end: socket.socket, error: BaseException) -> None:
    if isinstance(error, OSError):
        text = f"{error.strerror}: {os.fsdecode(error.filename or '')}".rstrip(": ").lower()
    elif isinstance(error, RootlessError):
        text = error.message
    else:
        log_exception(error)
        text = f"{type(error).__name__}: {error}"
    send_failure(end, text)


def run_server(
    served: ServedTree, maps: IdMaps, end: socket.socket, kept: KeptMount | None = None
) -> NoReturn:
    """The whole program of the server, in a user namespace with the maps and a mount namespace: never returns and
    never raises.

    A mount that is only read is given to clients at once: the kernel holds their requests until they can be answered.
    """
    try:
        uid, gid = maps.root
        identity.become(uid, gid, drop_groups=bool(maps.helper))
        # Mounts of the host come and go here too, so that none is kept busy.
        mounts.mount(None, "/", None, mount_flags.MS_REC | mount_flags.MS_SLAVE)
        sys.setswitchinterval(_SWITCH_INTERVAL)  # clients wait while this thread loads and opens
        clients = VolumeClients(served)
        if served.tmpfs is not None:
            _keep_tmpfs(served, served.tmpfs, clients, end, kept)
            os._exit(0)
        _thread.start_new_thread(clients.serve, ())
        _tell(end, LISTENING)
        try:
            memory = (
                os.memfd_create("volume-server", os.MFD_CLOEXEC) if kept is None else kept.memory
            )
            device = -1
            if served.read_only and kept is None:
                device = _mount(served, uid, gid)
                clients.mounted(device, memory)
                _tell(end, READY)
            continuation, union = _open(served, maps, memory)
            if device < 0:
                device = _mount(served, uid, gid) if kept is None else _mount_kept(served, kept)
                clients.mounted(device, memory)
                _tell(end, READY)
        except BaseException:
            control_socket.remove(served.control)
            raise
        end.close()
        _serve(device, union, continuation, records_owners=maps.single, writeback=served.writeback)
        clients.report_end()
    except BaseException as error:  # noqa: BLE001 - the last resort of this process
        _report(end, error)
    finally:
        os._exit(0)


def _tell(end: socket.socket, word: bytes) -> None:
    """Report to the process that started the server. If that was killed, the server ends when no client comes."""
    try:
        end.send(word, socket.MSG_NOSIGNAL)
    except ConnectionError:
        pass


def _keep_tmpfs(
    served: ServedTree,
    tmpfs: VolumeTmpfs,
    clients: VolumeClients,
    end: socket.socket,
    kept: KeptMount | None,
) -> None:
    """Mount a tmpfs, which the kernel serves, and give it to clients until the last one has left."""
    try:
        if kept is None:
            tmpfs.mount_on(served.mountpoint)
        else:
            _mount_kept(served, kept)
    except BaseException:
        control_socket.remove(served.control)
        raise
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    clients.mounted(null, null)
    _tell(end, READY)
    end.close()
    clients.serve()
    clients.report_end()


def _open(served: ServedTree, maps: IdMaps, memory: int) -> tuple[Continuation, Union]:
    from rootless.rootfs.served import ConnectionServer
    from unionfs.journal import Journal
    from unionfs.session.continuation import Continuation

    continuation = Continuation(memory)
    server = ConnectionServer(continuation.is_first, Journal(memory))
    begun = time.monotonic()
    while True:
        try:
            return continuation, served.open_union(maps, server)
        except OSError as error:
            waited = time.monotonic() - begun
            if error.errno != errno.EBUSY or waited > _PREDECESSOR_WAIT:
                raise
            if waited > _LOST_WAIT and not os.path.exists(_mark_of_end(served)):
                raise RootlessError(
                    "another one serves it, whose control socket was removed: stop the containers that use it"
                ) from None


def _mark_of_end(served: ServedTree) -> str:
    """A file that is there while a server ends and others cannot serve yet. What ends in .lock is no directory of a socket."""
    return f"{served.control}.ending.lock"


def _mount(served: ServedTree, uid: int, gid: int) -> int:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = (
        f"fd={device},rootmode=40000,user_id={uid},group_id={gid},allow_other,default_permissions"
    )
    flags = mount_flags.MS_RDONLY if served.read_only else 0
    mounts.mount(served.source, served.mountpoint, _FSTYPE, flags, data)
    return device


def _mount_kept(served: ServedTree, kept: KeptMount) -> int:
    """Attach the clone of a killed server's mount where that was mounted. Returns the device."""
    place = os.open(served.mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.move_mount(kept.tree, place)
    os.close(place)
    os.close(kept.tree)
    return kept.device


def _serve(
    device: int, union: Union, continuation: Continuation, *, records_owners: bool, writeback: bool
) -> None:
    from unionfs.session.device import serve
    from unionfs.session.options import ServeOptions
    from unionfs.session.workers import SWITCH_INTERVAL

    gc.freeze()
    gc.enable()
    os.umask(0)  # modes come from the containers, their umasks taken off already
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Kernel overlayfs asks for an attribute of each file that it finds in a lower layer (ovl_check_metacopy_xattr,
    # fs/overlayfs/namei.c). Once attributes have been refused the kernel asks for none.
    options = ServeOptions(
        writeback=writeback, records_owners=records_owners, xattrs=union.has_xattrs()
    )
    serve(device, union, options, continuation)


class VolumeClients:
    """The server's half of the connections, served in a thread of their own, which touches neither union nor
    device. Listens from the start.
    """

    def __init__(self, served: ServedTree) -> None:
        self._connection: tuple[int, int] | None = None
        """The FUSE device and the memory, once the volume can be given to clients. Before that only the namespace
        is."""
        self._served = served
        self._namespace = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        self._listener = control_socket.listen(served.control)
        self._clients: dict[int, socket.socket] = {}
        self._mounted: set[int] = set()
        """Descriptors of the clients that have a clone of the mount."""
        self._last: list[socket.socket] = []
        """Clients that wait for the end of the server."""

    def mounted(self, device: int, memory: int) -> None:
        """Give the volume to clients from now on."""
        self._connection = device, memory

    def serve(self) -> None:
        """Answer clients until the last one that has mounted the volume is gone."""
        try:
            poll = select.poll()
            poll.register(self._listener.fileno(), select.POLLIN)
            limit: int | None = _FIRST_CLIENT_WAIT
            while (ready := poll.poll(limit)) or self._connection is None:
                for descriptor, _ in ready:
                    if descriptor == self._listener.fileno():
                        self._accept(poll)
                    elif not self._hear(descriptor):
                        poll.unregister(descriptor)
                        self._forget(descriptor)
                if self._mounted:
                    limit = None
                elif limit is None:
                    break
        except BaseException as error:  # noqa: BLE001 - the thread must unmount whatever happens
            log_exception(error)
        self.stop_listening()
        self._refuse_waiting()
        mounts.umount2(self._served.mountpoint, mount_flags.MNT_DETACH)

    def stop_listening(self) -> None:
        """Take no more clients, and say so to the next server."""
        try:
            os.close(os.open(_mark_of_end(self._served), os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            pass  # the directory was removed, or the disk is full: the next server does not wait as long
        control_socket.remove(self._served.control)
        self._listener.close()

    def _refuse_waiting(self) -> None:
        """Close the connections of clients that have no mount yet: they start another server."""
        for descriptor, client in self._clients.items():
            if descriptor not in self._mounted and client not in self._last:
                client.close()

    def report_end(self) -> None:
        """Answer the clients that wait for everything to be written and closed."""
        try:
            os.unlink(_mark_of_end(self._served))
        except OSError:
            pass  # the directory was removed
        for each in self._last:
            _answer(each, OK)

    def _accept(self, poll: select.poll) -> None:
        connection = control_socket.accept(self._listener)
        if connection is None:
            return
        client = connection.detached()
        self._clients[client.fileno()] = client
        poll.register(client.fileno(), select.POLLIN)

    def _hear(self, descriptor: int) -> bool:
        """Answer one request; False when the client needs no more answers from here."""
        client = self._clients[descriptor]
        try:
            request = client.recv(64)
        except OSError:
            return False
        if request == NAMESPACE:
            return _answer(client, OK, self._namespace)
        if request == MOUNT and self._connection is not None:
            return self._give_clone(descriptor, self._namespace)
        if request == KEEP and self._connection is not None:
            if self._can_continue(self._connection[1]):
                return self._give_clone(descriptor, *self._connection)
            return _answer(client, OK)
        if request == RELEASE:
            # At once and not with the end of the connection, so that of two that release at one time the
            # second is known to be the last.
            self._mounted.discard(descriptor)
            if not self._mounted:
                # Everything is written when the file system has gone.
                self._last.append(client)
                return False
            self._write_out()
            return _answer(client, OK)
        return False

    def _can_continue(self, memory: int) -> bool:
        """Whether another server can take the place of this one."""
        if self._served.tmpfs is not None:
            return True
        from unionfs.session.continuation import can_continue

        return can_continue(memory)

    def _give_clone(self, descriptor: int, *passed: int) -> bool:
        """Answer with a clone of the mount and other descriptors; the client has the volume mounted now."""
        tree = mounts.open_tree(self._served.mountpoint)
        try:
            self._mounted.add(descriptor)
            return _answer(self._clients[descriptor], OK, tree, *passed)
        finally:
            os.close(tree)

    def _write_out(self) -> None:
        """Have the kernel write what it has gathered (syncfs(2))."""
        from unionfs.syscalls.files import syncfs

        opened = os.open(self._served.mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(opened)
        finally:
            os.close(opened)

    def _forget(self, descriptor: int) -> None:
        client = self._clients.pop(descriptor)
        self._mounted.discard(descriptor)
        if client not in self._last:
            client.close()


def _answer(client: socket.socket, word: bytes, *passed: int) -> bool:
    """False if the client is gone."""
    try:
        descriptors.send(client, word, passed, socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True
