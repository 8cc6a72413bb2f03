"""The monitor: the process that a container belongs to, from before its start until nothing of it
is left.

It is forked by `run`, is a session of its own, and keeps nothing of the caller's: no terminal, no
standard streams, no working directory. It forks the union server, starts the container, passes
signals on, and cleans up. Whoever dies, the rest follows:

    run dies        its end of the channel closes; the monitor kills the container and cleans up
    monitor dies    the container was told to die with it (PR_SET_PDEATHSIG); the union server ends
                    when the mount is gone; the next command marks or removes the container
    server dies     the container's file operations fail with ENOTCONN; `run` is told
    container ends  the mount goes with its namespace, and so the server; then the monitor cleans up

The loop is poll(2) on three descriptors (docs/decisions/0700-no-event-loop-on-the-way-to-exec.md).
"""

from __future__ import annotations

import gc
import os
import select
import sys
import time

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.directory import Containers
from rootless.containers.launch_description import Container
from rootless.containers.process_identity import start_time
from rootless.containers.reconcile import sweep
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.containers.timestamps import now
from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import signal
from rootless.runtime.parent import ContainerProcess, LaunchArgs, Stdio, launch
from rootless.supervisor.file_server import UnionServer
from rootless.supervisor.messages import Channel, Kind
from rootless.supervisor.signal_disposition import Fate, fate_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.cgroups.control_group import ControlGroup

_SERVER_GRACE = 10.0
"""Seconds the server has to write out what the container left behind, before it is killed."""
_LOOK_AFTER = 0.05
_LOOKS = 40
"""A shell blocks signals for microseconds; who blocks them for two seconds fetches them itself."""


class Ending:
    """How a container ended, as far as is known."""

    def __init__(self) -> None:
        self.status = 0
        self.signal_passed_on = 0
        """The signal that the container's SIGKILL stands for."""
        self.out_of_memory = False


class Monitor:
    """One container's life. `main` is the whole program of the process, which leads a session."""

    def __init__(self, container: Container, channel: Channel) -> None:
        self._container = container
        self._containers = Containers(os.path.dirname(container.directory), remove_container_tree)
        self._channel = channel
        self._ending = Ending()
        self._deadline: float | None = None
        self._unsettled = 0
        """A signal that was passed on while the container blocked it."""
        self._looks = 0
        self._mourned = False

    def main(self, stdio: tuple[int, int, int] | None, debug: int | None) -> NoReturn:
        """Never returns and never raises."""
        status = 1
        try:
            self._detach()
            self._supervise(stdio, debug)
            status = 0
        except RootlessError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - the last resort of this process
            import traceback

            traceback.print_exception(error)
            self._fail(RootlessError(f"the monitor failed: {type(error).__name__}: {error}"))
        finally:
            os._exit(status)

    def _detach(self) -> None:
        """Leave the caller's session, terminal, streams and directory; what is said goes to the
        log.
        """
        # `python -c` has the working directory on its path as "", and modules are yet to come.
        sys.path[:] = map(os.path.abspath, sys.path)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        log = os.open(
            self._container.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(log, 2)
        os.close(null)
        os.close(log)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _supervise(self, stdio: tuple[int, int, int] | None, debug: int | None) -> None:
        group = self._control_group()
        server = UnionServer.fork(self._container)
        try:
            process = self._launch(server, group, stdio, debug)
        except BaseException:
            server.end(_SERVER_GRACE)
            if group is not None:
                group.remove()
            raise
        finally:
            for descriptor in (*(stdio or ()), *(() if debug is None else (debug,))):
                os.close(descriptor)
        console = () if process.console is None else (process.console,)
        self._channel.send(Kind.RUNNING, *console, pid=process.pid)
        for descriptor in console:
            os.close(descriptor)
        signal.signal(signal.SIGTERM, lambda *_: _send(process.pidfd, signal.SIGKILL))
        gc.enable()
        self._note_running(process, server)
        sweep(self._containers)
        self._watch(process, server)
        self._ending.status = _exit_status(process.pidfd)
        self._clean_up(server, group)
        self._channel.send(
            Kind.EXITED,
            status=self._ending.status,
            out_of_memory=self._ending.out_of_memory,
        )

    def _control_group(self) -> ControlGroup | None:
        from rootless.cgroups.delegation import create

        linux = self._container.spec["linux"]
        return create(
            self._container.record.id,
            linux.get("resources", {}),
            os.environ,
            self._container.cgroup_parent,
        )

    def _launch(
        self,
        server: UnionServer,
        group: ControlGroup | None,
        stdio: tuple[int, int, int] | None,
        debug: int | None,
    ) -> ContainerProcess:
        container = self._container

        def say(line: str) -> None:
            os.write(debug or 2, f"{line}\n".encode())

        return launch(
            LaunchArgs(
                spec=container.spec,
                bundle=container.directory,
                rootfs=container.rootfs,
                id_maps=container.id_maps,
                stdio=None if stdio is None else Stdio(*stdio),
                cgroup_fd=None if group is None else group.directory_fd,
                serve=server.serve,
                seccomp_cache=container.seccomp_cache,
                debug=None if debug is None else say,
            )
        )

    def _note_running(self, process: ContainerProcess, server: UnionServer) -> None:
        def running(record: ContainerRecord) -> ContainerRecord:
            return record.moved_to(
                Status.RUNNING,
                pid=process.pid,
                pid_start=start_time(process.pid),
                monitor_pid=os.getpid(),
                monitor_pid_start=start_time(os.getpid()),
                server_pid=server.pid,
                server_pid_start=start_time(server.pid),
                started=now(),
            )

        self._containers.change(self._container.record.id, running)

    def _watch(self, process: ContainerProcess, server: UnionServer) -> None:
        """Return when the container has ended; until then do what `run` says."""
        poll = select.poll()
        for descriptor in (process.pidfd, self._channel.fileno(), server.pidfd):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if process.pidfd in ready:
                return
            if self._unsettled and not ready:
                self._look_again(process)
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._deadline = None
                _send(process.pidfd, signal.SIGKILL)
            if server.pidfd in ready:
                poll.unregister(server.pidfd)
                self._mourn(server)
            if self._channel.fileno() in ready and not self._obey(process):
                poll.unregister(self._channel.fileno())

    def _mourn(self, server: UnionServer) -> None:
        """Tell `run`, once, of a server that ended before its work was done. That the file system
        is unmounted, and the server done, may be seen a moment before the container's end.
        """
        if not self._mourned and not server.finished():
            self._mourned = True
            self._channel.send(Kind.NOTICE, text=server.epitaph())

    def _patience(self) -> float | None:
        """Milliseconds until something is to be done without being told."""
        waits = [_LOOK_AFTER * 1000] if self._unsettled else []
        if self._deadline is not None:
            waits.append(max(0.0, self._deadline - time.monotonic()) * 1000)
        return min(waits, default=None)

    def _obey(self, process: ContainerProcess) -> bool:
        """Carry out one message; False when `run` is gone and the container is told to go too."""
        message = self._channel.receive()
        if message is None:
            _send(process.pidfd, signal.SIGKILL)
            return False
        if message.kind is Kind.SIGNAL:
            self._pass_on(process, int(message.fields["number"]))
        return True

    def _pass_on(self, process: ContainerProcess, number: int) -> None:
        fate = _fate(process.pid, number)
        if fate is Fate.DROPPED:
            self._end_by(process, number)
            return
        if fate is Fate.WAITING:
            self._unsettled = number
            self._looks = _LOOKS
        if number == signal.SIGTERM and self._container.stop_timeout is not None:
            self._deadline = time.monotonic() + self._container.stop_timeout
        _send(process.pidfd, number)

    def _end_by(self, process: ContainerProcess, number: int) -> None:
        """Give the container the end that the signal would have been. The kernel drops it for the
        first process of a PID namespace, and `run` would hang where any other program had ended.
        """
        self._ending.signal_passed_on = number
        _send(process.pidfd, signal.SIGKILL)

    def _look_again(self, process: ContainerProcess) -> None:
        """See what became of a signal that was blocked when it was sent."""
        self._looks -= 1
        fate = _fate(process.pid, self._unsettled)
        if fate is Fate.DROPPED:
            self._end_by(process, self._unsettled)
        if fate is not Fate.WAITING or not self._looks:
            self._unsettled = 0

    def _clean_up(self, server: UnionServer, group: ControlGroup | None) -> None:
        ending = self._ending
        if group is not None:
            ending.out_of_memory = group.oom_kills() > 0
            group.kill()
        server.end(_SERVER_GRACE)
        self._mourn(server)
        if group is not None:
            group.remove()
        if ending.signal_passed_on and ending.status == 128 + signal.SIGKILL:
            ending.status = 128 + ending.signal_passed_on
        record = self._container.record
        try:
            if record.auto_remove:
                self._containers.remove(record.id)
            else:
                self._containers.change(record.id, self._ended)
        except NotFoundError:
            pass  # removed by force meanwhile

    def _ended(self, record: ContainerRecord) -> ContainerRecord:
        return record.moved_to(
            Status.EXITED,
            exit_code=self._ending.status,
            oom_killed=self._ending.out_of_memory,
            finished=now(),
            pid=0,
            monitor_pid=0,
            server_pid=0,
        )

    def _fail(self, error: RootlessError) -> None:
        """The container could not be started: nothing of it stays, or its record says why."""
        record = self._container.record
        try:
            if record.auto_remove:
                self._containers.remove(record.id)
            else:
                self._containers.change(record.id, lambda old: _failed(old, error))
        except (OSError, RootlessError) as further:
            print(f"cleaning up: {further}", file=sys.stderr)  # noqa: T201 - stderr is the log
        self._channel.send(
            Kind.FAILED,
            error=type(error).__name__,
            message=error.message,
            hint=error.hint,
            details=dict(error.details),
        )


def _failed(record: ContainerRecord, error: RootlessError) -> ContainerRecord:
    failed = record._replace(error=error.message, exit_code=error.exit_status, finished=now())
    return failed._replace(status=Status.EXITED, monitor_pid=0)


def _send(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass  # it ends, and the loop is about to see it


def _fate(pid: int, number: int) -> Fate:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return fate_of(number, file.read())
    except OSError:
        return Fate.TAKEN


def _exit_status(pidfd: int) -> int:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    if result is None:
        return 255
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
