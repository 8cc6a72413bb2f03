"""The file server: a process outside the container that answers its file system.

The monitor forks it before anything else, so that it imports `unionfs` while the monitor imports what
creates the container. The description of the container and the descriptor of the mount come over a
socket; without them the server ends with the monitor. The server has the user's own identity and
namespaces, and none of the user's streams. It ends by itself when the file system is unmounted, which
is when the last process of the container's mount namespace has ended.
"""

from __future__ import annotations

import gc
import os
import select
import sys

from rootless import module_packs
from rootless.containers.launch_description import HostTree, LaunchDescription, unpack
from rootless.errors import RootlessError
from rootless.light_stdlib import read_file, signal, socket
from rootless.supervisor.detach import detach
from rootless.supervisor.engine_log import log, log_exception
from rootless.supervisor.messages import close_all_but
from rootless.syscalls import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.supervisor.file_servers.access_trace import AccessTrace
    from rootless.supervisor.file_servers.resting import RestingServer
    from unionfs.copy_up_stats import CopyUpStats
    from unionfs.session.continuation import Continuation
    from unionfs.session.options import ServeOptions
    from unionfs.union import Union

_READY = b"ready"
_EXECUTED_END = 3
"""The descriptor of the socket in a server that was executed."""

_DESCRIPTORS = 1024
"""How many files the server opens if it may; with a lower limit it keeps fewer open."""
_MAX_REPLACEMENTS = 20
_PERIOD = 60.0
"""Seconds without a replacement after which the count of `Replacements` begins anew."""
_MAXIMUM = 1 << 17
"""Bytes of a description: less than a Unix socket holds (net.core.wmem_default), and twice what an
image of 127 layers takes."""


class FileServer:
    """The monitor's side. `pidfd` becomes readable when the process ends."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._socket = end
        self._ended: os.waitid_result | None = None
        self._reason = ""
        """What it has reported of its failure."""
        self._memory = -1
        """What another server needs to go on (`unionfs.session.continuation`, `unionfs.journal`)."""
        self._device = -1
        self._init = 0
        self._layer: tuple[int, ...] = ()

    @classmethod
    def fork(cls) -> FileServer:
        """Start the process, which waits for a description. The caller must have one thread."""
        ours, theirs = descriptors.pair()
        pid = os.fork()
        if pid == 0:
            _main(theirs)
        theirs.close()
        return cls(pid, ours)

    @classmethod
    def execute(cls, executable: str, path: str) -> FileServer:
        """Start the process by another interpreter, or with modules of another release (PYTHONPATH). It
        announces itself: see `is_announced`. Raises OSError.
        """
        import fcntl

        ours, theirs = descriptors.pair()
        high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, _EXECUTED_END + 1)
        theirs.close()
        argv = [executable, "-P", "-m", "rootless.supervisor.file_servers.executed"]
        try:
            pid = os.posix_spawn(
                executable,
                argv,
                {**os.environ, "PYTHONPATH": path},
                file_actions=[(os.POSIX_SPAWN_DUP2, high, _EXECUTED_END)],
            )
        finally:
            os.close(high)
        return cls(pid, ours)

    def fileno(self) -> int:
        """Becomes readable when a server that was executed announces itself, or ends."""
        return self._socket.fileno()

    def is_announced(self) -> bool:
        """Whether it has announced itself, and waits for its description; False: it has ended."""
        try:
            return self._socket.recv(len(_READY)) == _READY
        except OSError:
            return False

    def describe(
        self, description: LaunchDescription, memory: int = -1, layer: tuple[int, ...] = ()
    ) -> None:
        """Send what the server is to open. Raises RootlessError if it has ended.

        Args:
            memory: That of the server which this one replaces; taken over.
            layer: The descriptor of a writable layer in memory, if it is there; it stays the caller's.
        """
        self._layer = layer
        self._memory = os.memfd_create("file-server", os.MFD_CLOEXEC) if memory < 0 else memory
        # What only starts the container stays here: the command and the labels can be long.
        record = description.record._replace(command=(), labels={})
        needed = description._replace(record=record, spec={}, extra={})
        try:
            descriptors.send(self._socket, needed.packed(), [self._memory, *layer])
        except (BrokenPipeError, ConnectionResetError):
            raise RootlessError(self.exit_reason()) from None

    def serve(self, device: int, init: int) -> None:
        """Hand over the descriptor of the mounted file system, which is taken over, and the PID of the
        container's first process.

        Raises RootlessError if the server cannot open the layers.
        """
        if not self.hand_over(device, init):
            self.let_go()
            raise RootlessError(self.exit_reason())

    def hand_over(self, device: int, init: int) -> bool:
        """As `serve`; False if the process has ended, and then the device stays here all the same."""
        self._device, self._init = device, init
        try:
            descriptors.send(self._socket, b"%d" % init, [device])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def was_killed(self) -> bool:
        """Whether it has ended by a signal."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0)) and self._reap().si_code != os.CLD_EXITED

    def can_be_replaced(self) -> bool:
        """Whether another server can go on where this one, which has ended, was: if it was killed, and
        the kernel sends the requests again that it has not answered (Linux 6.9).
        """
        return self._reap().si_code != os.CLD_EXITED and self.is_continued()

    def is_continued(self) -> bool:
        """Whether another server can go on with its device."""
        if self._device < 0:
            return False
        from unionfs.session.continuation import can_continue

        return can_continue(self._memory)

    def kill(self) -> None:
        """End the process at once, and wait for that."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self._reap()

    def replace(
        self, description: LaunchDescription, other: FileServer | None = None
    ) -> FileServer:
        """Have another process, a fresh one by default, go on where this one, which has ended, was; this
        object is closed.
        """
        other = other or FileServer.fork()
        device, memory, self._device, self._memory = self._device, self._memory, -1, -1
        self._socket.close()
        os.close(self.pidfd)
        try:
            other.describe(description, memory, self._layer)
        except RootlessError:
            pass  # it has ended too, which its pidfd tells
        other.hand_over(device, self._init)
        return other

    def let_go(self) -> None:
        """Close the device: if the server has ended, requests of the container fail from now on."""
        for descriptor in (self._device, self._memory):
            if descriptor >= 0:
                os.close(descriptor)
        self._device = self._memory = -1

    def end(self, grace: float | None) -> None:
        """Wait for the end of the process; kill it after `grace` seconds, None for never. Without a mount it
        ends at once.
        """
        self._socket.shutdown(socket.SHUT_WR)
        self.let_go()
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(None if grace is None else grace * 1000):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if not self.is_finished():
            self._reported_reason()  # which may have come only at its end
        self._socket.close()
        os.close(self.pidfd)

    def is_finished(self) -> bool:
        """Whether it ended, or is about to end, because its work was done."""
        result = self._reap()
        return result.si_code == os.CLD_EXITED and result.si_status == 0

    def exit_reason(self) -> str:
        """Why the process has ended, in one line."""
        result = self._reap()
        if result.si_code == os.CLD_EXITED:
            reason = self._reported_reason() or f"status {result.si_status}"
            return f"the file server of the container failed: {reason}"
        return f"the file server of the container was killed (signal {result.si_status})"

    def _reported_reason(self) -> str:
        # A process that ends without having read all leaves ECONNRESET, which comes before what it has sent
        # (unix_release_sock, net/unix/af_unix.c).
        for _ in range(2):
            if self._reason:
                break
            try:
                self._reason = self._socket.recv(4096, socket.MSG_DONTWAIT).decode(errors="replace")
            except OSError:
                pass
        return self._reason

    def _reap(self) -> os.waitid_result:
        if self._ended is None:
            self._ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        assert self._ended is not None  # without WNOHANG it is never None
        return self._ended


class NextServer:
    """The file server of a container's next run, forked ahead of it: it imports meanwhile."""

    def __init__(self, first: FileServer | None) -> None:
        self._server = first

    @property
    def pids(self) -> tuple[int, ...]:
        """The PID of the server that waits."""
        return () if self._server is None else (self._server.pid,)

    def fork(self) -> None:
        """Fork it, unless it waits already. The caller must have one thread."""
        if self._server is None:
            self._server = FileServer.fork()

    def take(self) -> FileServer:
        """The server, for a run that begins now."""
        server, self._server = self._server or FileServer.fork(), None
        return server

    def end(self, grace: float) -> None:
        """End the one that waits, if there is one."""
        if self._server is not None:
            self.take().end(grace)


class Replacements:
    """Counts the file servers of one mount that were killed in a row and replaced. After _MAX_REPLACEMENTS the cause is
    assumed to end each server: a request that is sent again, or a limit of memory. On a slow host a server may live for
    seconds.
    """

    def __init__(self) -> None:
        self._number = 0
        self._last = 0.0

    def add(self, now: float) -> bool:
        """Count one more at this time of the monotonic clock; False if there were too many."""
        if now - self._last > _PERIOD:
            self._number = 0
        if self._number >= _MAX_REPLACEMENTS:
            return False
        self._number += 1
        self._last = now
        return True


class WatchedServer:
    """The file server of a container that is being created, as `runtime.parent.RootServer`.

    Args:
        server: gives the server of the moment.
        replace: has another go on; False if that cannot be.
    """

    def __init__(self, server: Callable[[], FileServer], replace: Callable[[], bool]) -> None:
        self._server = server
        self._replace = replace
        self._has_ended = False

    def fileno(self) -> int:
        return -1 if self._has_ended else self._server().pidfd

    def note_end(self) -> None:
        if not self._replace():
            self._has_ended = True
            self._server().let_go()


def _main(end: socket.socket) -> NoReturn:
    """The whole program of the server."""

    def serve() -> None:
        close_all_but((end.fileno(),))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the monitor's handler
        _import_server()  # while the monitor imports what creates the container
        packed, received = descriptors.receive(end, _MAXIMUM, 2)
        if packed:
            description = unpack(packed)
            if len(received) > 1:
                description = description._replace(layer=f"/proc/self/fd/{received[1]}")
            detach(description.log)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _lift_limits()
            _serve(description, end, received[0])

    _be_program(serve, end)


def _be_program(serve: Callable[[], None], end: socket.socket) -> NoReturn:
    """Never returns and never raises."""
    status = 1
    try:
        serve()
        status = 0
    except OSError as error:
        _report_reason(end, f"{error.strerror}: {os.fsdecode(error.filename or '')}".rstrip(": "))
    except BaseException as error:  # noqa: BLE001 - the last resort of this process
        log_exception(error)
        _report_reason(end, f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)


def _import_server() -> None:
    """Import what serves a file system, if it is not imported yet."""
    if "unionfs.session.device" not in sys.modules:
        module_packs.load(module_packs.FILE_SERVER)
    from rootless.rootfs import union  # noqa: F401
    from unionfs import journal  # noqa: F401
    from unionfs.session import continuation, device  # noqa: F401


def run_executed() -> NoReturn:
    """The program of `python -m rootless.supervisor.file_servers.executed`."""
    os.environ.pop("PYTHONPATH", None)
    os.set_inheritable(_EXECUTED_END, False)
    end = socket.socket(fileno=_EXECUTED_END)
    _import_server()
    end.send(_READY)  # once what it serves with has been found
    _main(end)


def _lift_limits() -> None:
    """The kernel holds each process of the container to its own limits before it asks the server; the server's files are
    none of theirs.
    """
    limits = read_file("/proc/self/limits")
    few = os.sysconf("SC_OPEN_MAX") < _DESCRIPTORS
    if b"Max file size             unlimited" in limits and not few:
        return  # as nearly always: `resource` is a shared object of its own
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    if few:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(_DESCRIPTORS, hard)), hard))


def _report_reason(end: socket.socket, reason: str) -> None:
    try:
        end.send(reason.encode(errors="replace")[:4096], socket.MSG_NOSIGNAL)
    except OSError:
        pass  # the monitor has ended too


def _serve(description: LaunchDescription, end: socket.socket, memory: int) -> None:
    from rootless.rootfs.union import open_union
    from rootless.supervisor.file_servers.resting import RestingServer
    from unionfs.journal import Journal
    from unionfs.model import ROOT_NODE
    from unionfs.session.continuation import Continuation

    if description.prefetch:
        from rootless.supervisor.file_servers.prefetch import begin_prefetch

        begin_prefetch(description)
    continuation = Continuation(memory)
    os.umask(0)  # modes come from the container, its umask taken off already
    union = open_union(description, Journal(memory))
    write_report_on_signal(description.directory, union.copy_up_stats)
    # Read the first thing that will be asked for while the namespaces are being made: that opens
    # the index.
    union.getattr(ROOT_NODE)
    init, received = descriptors.receive(end, 16, 1)
    if not received:
        union.destroy()  # the container was never mounted
        return
    resting = RestingServer(description, end, memory, received[0], int(init), go_on=_go_on)
    _answer(description, union, continuation, resting)


def _go_on(resting: RestingServer, description: LaunchDescription) -> NoReturn:
    """The whole program of a server that stood by."""

    def serve() -> None:
        union = open_union(description, Journal(resting.memory))
        write_report_on_signal(description.directory, union.copy_up_stats)
        _answer(description, union, Continuation(resting.memory), resting)

    from rootless.rootfs.union import open_union
    from unionfs.journal import Journal
    from unionfs.session.continuation import Continuation

    _be_program(serve, resting.end)


def _answer(
    description: LaunchDescription,
    union: Union,
    continuation: Continuation,
    resting: RestingServer,
) -> None:
    """Answer requests until the file system is unmounted, and write the reports."""
    from rootless.supervisor.file_servers.process_names import ProcessNames
    from unionfs.session.device import serve
    from unionfs.session.workers import SWITCH_INTERVAL

    union.name_callers(ProcessNames(resting.init))

    def freeze(request: bytes) -> None:
        from rootless.snapshots.freezing import Freezer

        Freezer(union, description.directory, description.store)(request)

    union.on_freeze = freeze
    # What is there now stays: the collector need not look at it, nor unshare its pages.
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(SWITCH_INTERVAL)
    trace = None
    if description.access_trace is not None:
        from rootless.supervisor.file_servers.access_trace import AccessTrace

        trace = AccessTrace(description, union, resting.init, complete=continuation.is_first)
        write_report_on_signal(description.directory, union.copy_up_stats, trace)
    tracer = None if trace is None else trace.tracer
    resting.begin(union)
    serve(
        resting.device,
        union,
        _serve_options(description),
        continuation,
        tracer,
        rest=resting.rest,
    )
    if trace is not None:
        trace.write(finished=True)
    _write_at_end(description, union)


def _serve_options(description: LaunchDescription) -> ServeOptions:
    from rootless.runtime.rootfs import ROOT_NAME, FuseRootfs
    from unionfs.session.options import ServeOptions

    limits = description.storage
    return ServeOptions(
        fsync=not description.volatile,
        # With it, the kernel asks for a file's attributes again once it has been closed (fuse_flush): a work tree is
        # read far more than it is written in small pieces (docs/decisions/1851).
        writeback=not limits.size and not isinstance(description.tree, HostTree),
        readdirplus=not description.traces_every_name,
        records_owners=description.id_maps.single,
        bps=limits.bps or None,
        iops=limits.iops or None,
        root_name=ROOT_NAME if isinstance(description.rootfs, FuseRootfs) else "",
    )


def _write_at_end(description: LaunchDescription, union: Union) -> None:
    """Write what a build wants to know of the accesses of a step, and the statistics of copy-ups."""
    if description.is_traced:
        from unionfs.traced.trace import encode
        from unionfs.traced.union import TracedUnion

        if isinstance(union, TracedUnion) and union.trace is not None:
            with open(description.trace, "wb") as file:
                file.write(encode(union.trace))
    if not description.record.auto_remove:
        from rootless.supervisor.file_servers.copy_up_report import write_report

        try:
            write_report(description.directory, union.copy_up_stats, finished=True)
        except OSError as error:
            # On a full disk the statistics are lost, but nothing of the container is.
            log(f"cow.json: {error.strerror}")


def write_report_on_signal(
    directory: str, stats: CopyUpStats, trace: AccessTrace | None = None
) -> None:
    """Write cow.json, and trace.json of what is traced, at each SIGUSR1, which `rootless cow` and `rootless trace`
    send, from now on. The handler runs between two steps of the interpreter, and so sees every record whole.
    """

    def answer(*_: object) -> None:
        from rootless.supervisor.file_servers.copy_up_report import write_report

        try:
            write_report(directory, stats, finished=False)
        except OSError as error:
            # No space, or the directory is gone: `rootless cow` times out, the file server goes on.
            log(f"cow.json: {error.strerror}")
        if trace is not None:
            trace.write(finished=False)

    signal.signal(signal.SIGUSR1, answer)
