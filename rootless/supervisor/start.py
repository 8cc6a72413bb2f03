"""Starts the monitor of a container: by fork(2) where the calling process has one thread, and else by
executing a fresh interpreter. The monitor's program is the same.

The monitor is started before the container is described: while the caller imports what understands
the request, the monitor imports what creates a container (docs/decisions/0703). The description
follows on a pipe. The monitor's first client is connected from the start, by a socket pair, so that
at no time does a monitor run without a client that would learn of its end.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys

from rootless import module_packs
from rootless.durable import write_all
from rootless.errors import RootlessError
from rootless.light_stdlib import read_to_end, signal
from rootless.supervisor import turn
from rootless.supervisor.client import MonitorClient
from rootless.supervisor.file_servers.file_server import FileServer, NextServer
from rootless.supervisor.messages import Connection
from rootless.supervisor.signal_disposition import FORWARDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.containers.launch_description import LaunchDescription
    from rootless.light_stdlib import socket
    from rootless.runtime.parent import Caller
    from rootless.supervisor.file_servers.claim import ServerClaim

_CONNECTION, _DESCRIPTION, _PID = 3, 4, 5
"""Descriptors of an executed monitor; the last is there if it is to outlive its caller."""


_NO_SERVER = "--no-file-server"
"""Option of an executed monitor: it forks no file server ahead."""


_NO_PROCESS = 75
"""The status of a monitor that could not fork: EX_TEMPFAIL of sysexits.h."""


class StartedMonitor:
    """A monitor that has been started. `client` is connected to it.

    Leave it by `wait`, which ends the monitor if it was given no description, by `leave`, or by leaving the
    process: whether the container ends with it is up to `ends_with_client` of the description.
    """

    def __init__(
        self, pid: int, connection: Connection, writer: int, *, is_child: bool = True
    ) -> None:
        self.pid = pid
        self._is_child = is_child
        self.client = MonitorClient(connection, self._reason)
        self._writer = writer
        self._ended: str | None = None

    def describe(self, description: LaunchDescription) -> None:
        """Send the description of the container, which the monitor then creates.

        Raises RootlessError if the monitor has ended.
        """
        try:
            write_all(self._writer, description.packed())
        except BrokenPipeError:
            raise RootlessError(self._reason()) from None
        finally:
            self._close_writer()

    def wait(self) -> None:
        """End the connection and wait for the monitor's end."""
        self.client.close()
        self._close_writer()
        self._reap()

    def leave(self) -> None:
        """End the connection. A monitor that has not started its container ends too, and is waited for."""
        if self.client.has_started:
            self.client.close()
        else:
            self.wait()

    def _close_writer(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def _reap(self) -> str:
        """Wait for the monitor's end; returns how it ended, in words."""
        if self._ended is None and not self._is_child:
            _wait_for_end(self.pid)
            self._ended = "ended"
        if self._ended is None:
            try:
                code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:  # the caller ignores SIGCHLD
                self._ended = "ended"
            else:
                self._ended = (
                    f"was killed (signal {-code})" if code < 0 else f"ended with status {code}"
                )
                if code == _NO_PROCESS:
                    self._ended = "could not start its processes: resource temporarily unavailable (raise the limit ulimit -u)"
        return self._ended

    def _reason(self) -> str:
        """The message for a connection that the monitor has ended without a last message."""
        how = self._reap()
        if self.client.has_started:
            return f"the monitor of the container {how}, and the container with it"
        return f"the monitor of the container {how} before it had started the container"


def _wait_for_end(pid: int) -> None:
    """Wait for the end of a process that is no child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Readable when the process has ended (pidfd_open(2)).
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def start(description: LaunchDescription) -> StartedMonitor:
    """Start the monitor of a container. The caller goes on with the `client` of the result."""
    started = start_monitor()
    try:
        started.describe(description)
    except BaseException:
        started.wait()
        raise
    return started


def start_monitor(
    *,
    outlives_caller: bool = False,
    debug: bool = False,
    forks_server: bool = True,
    claim: ServerClaim | None = None,
    caller: Caller | None = None,
    callers_end: socket.socket | None = None,
) -> StartedMonitor:
    """Start a monitor that waits for the description of its container.

    Args:
        outlives_caller: The monitor is to be no child of the caller, which may go on for long and
            would have to wait for it.
        debug: Write the steps of the container's start to standard error.
        forks_server: The monitor forks a file server at once, which imports while it is not known yet what it serves.
        claim: The monitor forks a server of a shared image instead, which holds the lock of the claim.
        caller: The caller, if it is to become the container's first process. It must have one thread.
        callers_end: The caller's end of that handshake.

    Raises RootlessError if no monitor could be started.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    options = [*(["--debug"] if debug else []), *([] if forks_server else [_NO_SERVER])]
    ours, theirs = Connection.pair()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid_reader, pid_writer = os.pipe2(os.O_CLOEXEC) if outlives_caller else (-1, -1)
    # Blocked over the fork, so that no handler of the caller runs in the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        if has_one_thread():
            pid = os.fork()
            if pid == 0:
                ours.close()
                os.close(writer)
                if callers_end is not None:
                    callers_end.close()
                if outlives_caller:
                    os.close(pid_reader)
                    _leave_caller(pid_writer)
                become_monitor(
                    theirs,
                    reader,
                    debug=debug,
                    forks_server=forks_server,
                    claim=claim,
                    caller=caller,
                )
        else:
            pid = _execute(theirs, reader, pid_writer, options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    os.close(reader)
    if claim is not None:
        claim.lock.release()
    if not outlives_caller:
        return StartedMonitor(pid, ours, writer)
    os.close(pid_writer)
    with open(pid_reader, "rb") as pipe:
        adopted = pipe.read()
    if not adopted:  # it failed: the first message to it reports how
        return StartedMonitor(pid, ours, writer)
    os.waitpid(pid, 0)
    return StartedMonitor(int(adopted), ours, writer, is_child=False)


def _leave_caller(pid_writer: int) -> None:
    """Go on in a child, which init or the nearest subreaper adopts, and send the caller its PID."""
    pid = os.fork()
    if pid:
        os.write(pid_writer, str(pid).encode())
        os._exit(0)
    os.close(pid_writer)


def has_one_thread() -> bool:
    """Whether this process may fork without exec: whatever made a second thread, its locks would stay
    locked in the child.
    """
    # /proc/self/task has ".", ".." and a directory for each thread (proc_pid_task(5)).
    return os.stat("/proc/self/task").st_nlink == 3


def _execute(connection: Connection, description: int, pid_writer: int, options: list[str]) -> int:
    """Run `python -m rootless.supervisor` with the descriptors and options; returns its PID.

    `pid_writer`: for the PID of a monitor that outlives the caller, else -1.
    """
    places = {_CONNECTION: connection.fileno(), _DESCRIPTION: description}
    if pid_writer >= 0:
        places[_PID] = pid_writer
        options = [*options, "--outlives-caller"]
    # Above what posix_spawn(3) puts in place, so that no descriptor is overwritten before its turn.
    high = {place: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for place, fd in places.items()}
    argv = [sys.executable, "-P", "-m", "rootless.supervisor", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    actions = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in high.items()]
    try:
        return os.posix_spawn(sys.executable, argv, environment, file_actions=actions)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise RootlessError(f"cannot execute {sys.executable}: {reason}") from error
    finally:
        for descriptor in high.values():
            os.close(descriptor)


def run_executed() -> NoReturn:
    """The program of `python -m rootless.supervisor`."""
    os.environ.pop("PYTHONPATH", None)
    if "--outlives-caller" in sys.argv:
        _leave_caller(_PID)
    os.set_inheritable(_DESCRIPTION, False)
    connection = Connection.inherited(_CONNECTION)
    become_monitor(
        connection,
        _DESCRIPTION,
        debug="--debug" in sys.argv,
        forks_server=_NO_SERVER not in sys.argv,
    )


def become_monitor(
    connection: Connection,
    description: int,
    *,
    debug: bool,
    forks_server: bool,
    claim: ServerClaim | None = None,
    caller: Caller | None = None,
) -> NoReturn:
    """Import, read from the pipe which container it is, and be its monitor."""
    try:
        turn.end()  # a copy of the caller's descriptor
        os.setsid()
        # Before anything else: the fewer pages this process has written, the fewer are copied. From here on two processors
        # import at once: the file server what serves the layers, this process the rest.
        server, image_server = FileServer.fork() if forks_server else None, None
        if claim is not None:
            from rootless.supervisor.file_servers.first_server import FirstServer

            image_server = FirstServer.fork(claim)
            claim.lock.release()
        steps = os.dup(2) if debug else None
        module_packs.load(module_packs.MONITOR)
        if not forks_server:
            module_packs.load(module_packs.SHARED_IMAGE)
        from rootless.containers.launch_description import unpack
        from rootless.supervisor.clients import Client
        from rootless.supervisor.monitor import Monitor
        from rootless.supervisor.run_resources import RunResources

        packed = read_to_end(description)
        os.close(description)
        if packed:
            client = Client(connection, first=True)
            resources = RunResources(NextServer(server), image_server, caller)
            Monitor(unpack(packed), client, resources).main(steps)
        # Without a description there is no container: the caller has reported why.
        os._exit(0)
    except BlockingIOError:
        os._exit(_NO_PROCESS)  # fork(2)
    except BaseException as error:  # noqa: BLE001 - the caller's program must not go on twice
        os.write(2, f"rootless: the monitor failed: {error!r}\n".encode())
    finally:
        os._exit(1)
