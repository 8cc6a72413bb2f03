"""The monitor: the process that a container belongs to, from before its start until everything of it
has been cleaned up.

It leads a session of its own and keeps nothing of its starter's: no terminal, no standard streams, no
working directory. It forks the file server, creates the container, and starts it when a client says
START; it owns the container's standard streams, passes signals on, and cleans up. Whichever process
ends, the others follow:

    first client ends  if the description says `ends_with_client`, the monitor kills the container
    monitor ends       the kernel kills the container (PR_SET_PDEATHSIG); the file server ends when
                       the mount is gone; the next command marks or removes the container
    file server ends   the container's file operations fail with ENOTCONN: the monitor kills it
    container ends     its mount goes with its namespace, and so the file server; the monitor cleans up

The loop is poll(2) on a handful of descriptors (docs/decisions/0700-no-event-loop-on-the-way-to-exec.md);
what clients say to it is docs/monitor-protocol.md.
"""

from __future__ import annotations

import gc
import os
import select
import sys

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.directory import Containers
from rootless.containers.launch_description import LaunchDescription
from rootless.containers.process_identity import start_time
from rootless.containers.reconcile import reconcile
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.containers.timestamps import now
from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import signal
from rootless.runtime.parent import ContainerProcess, LaunchArgs, Stdio, create
from rootless.supervisor import control_socket
from rootless.supervisor.clients import Client, Clients
from rootless.supervisor.container_streams import ContainerStreams
from rootless.supervisor.engine_log import log, log_exception
from rootless.supervisor.file_server import FileServer
from rootless.supervisor.protocol import Kind, MonitorState, refusal
from rootless.supervisor.signal_delivery import SignalDelivery, send_signal
from rootless.supervisor.signal_disposition import FORWARDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.cgroups.control_group import ControlGroup
    from rootless.supervisor.messages import Message

_SERVER_GRACE = 10.0
"""Seconds the file server has to write out what the container left behind, before it is killed."""


class Monitor:
    """One container's life. `main` is the whole program of the process, which leads a session."""

    def __init__(self, description: LaunchDescription, first: Client) -> None:
        self._description = description
        self._containers = Containers(os.path.dirname(description.directory), remove_container_tree)
        self._first = first
        self._state = MonitorState.CREATING
        self._ends_with_client = description.ends_with_client
        self._clients = Clients(first)
        self._server_ended = False
        self._server_failure = ""

    def main(self, debug: int | None) -> NoReturn:
        """Never returns and never raises. `debug`: where the steps of the start are written."""
        status = 1
        try:
            self._detach()
            self._supervise(debug)
            status = 0
        except RootlessError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - the last resort of this process
            log_exception(error)
            self._fail(RootlessError(f"the monitor failed: {type(error).__name__}: {error}"))
        finally:
            os._exit(status)

    def _detach(self) -> None:
        """Leave the starter's terminal, streams, directory and signal handlers. Standard error is the
        log from here on.
        """
        # `python -c` has the working directory on its path as "", and modules are yet to come.
        sys.path[:] = map(os.path.abspath, sys.path)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        log = os.open(
            self._description.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(log, 2)
        os.close(null)
        os.close(log)
        for number in FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        # SIGXFSZ: a write beyond RLIMIT_FSIZE is an error of that write and not the end of this process.
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _supervise(self, debug: int | None) -> None:
        directory = self._description.control_directory
        self._clients.listener = control_socket.listen(directory)
        self._streams = ContainerStreams(
            self._description.streams, terminal=self._description.terminal
        )
        group = self._make_control_group()
        self._server = FileServer.fork(self._description)
        try:
            self._process = self._create(group, debug)
            self._live()
        except BaseException:
            self._server.end(_SERVER_GRACE)
            if group is not None:
                group.remove()
            raise
        self._clean_up(group)

    def _make_control_group(self) -> ControlGroup | None:
        from rootless.cgroups.delegation import create

        linux = self._description.spec["linux"]
        return create(
            self._description.record.id,
            linux.get("resources", {}),
            os.environ,
            self._description.cgroup_parent,
        )

    def _create(self, group: ControlGroup | None, debug: int | None) -> ContainerProcess:
        description = self._description
        stdio = self._streams.container_ends

        def write_step(line: str) -> None:
            os.write(debug or 2, f"{line}\n".encode())

        try:
            return create(
                LaunchArgs(
                    spec=description.spec,
                    bundle=description.directory,
                    rootfs=description.rootfs,
                    id_maps=description.id_maps,
                    stdio=None if stdio is None else Stdio(*stdio),
                    cgroup_fd=None if group is None else group.directory_fd,
                    serve=self._server.serve,
                    seccomp_cache=description.seccomp_cache,
                    debug=None if debug is None else write_step,
                )
            )
        finally:
            self._streams.close_container_ends()
            if debug is not None:
                os.close(debug)

    def _live(self) -> None:
        """From READY to the container's end; serves clients meanwhile."""
        process = self._process
        self._streams.take_console(process.console)
        self._signals = SignalDelivery(process.pid, process.pidfd, self._description.stop_timeout)
        signal.signal(signal.SIGTERM, lambda *_: send_signal(process.pidfd, signal.SIGKILL))
        self._state = MonitorState.READY
        # `run` has sent its requests long ago.
        while self._state is MonitorState.READY and _is_readable(self._first):
            self._hear(self._first)
        if self._state is MonitorState.READY:
            self._containers.change(self._description.record.id, self._created)
        gc.enable()
        self._watch()

    def _watch(self) -> None:
        """Return when the container has ended; until then carry out the requests of clients."""
        while True:
            poll = select.poll()
            clients = {client.fileno(): client for client in self._clients.open()}
            unread = self._streams.unread()
            listener = self._clients.fileno()
            server = () if self._server_ended else (self._server.pidfd,)
            for descriptor in (self._process.pidfd, listener, *server, *clients, *unread):
                poll.register(descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(self._signals.wait_limit())}
            if self._process.pidfd in ready:
                return
            self._signals.check(timed_out=not ready)
            if self._server.pidfd in ready:
                self._report_server_exit()
            if listener in ready:
                self._clients.accept()
            for descriptor in ready.intersection(unread):
                self._streams.discard(descriptor)
            for descriptor in ready.intersection(clients):
                self._hear(clients[descriptor])
            if self._ends_with_client and not self._first.is_open:
                self._ends_with_client = False
                self._signals.kill()

    def _report_server_exit(self) -> None:
        """When the file server has ended before its work was done: tell the clients why, and kill the
        container, which has no files any more.

        A server that is done ends too, when the file system is unmounted: that may be seen a moment
        before the container's end.
        """
        self._server_ended = True
        if not self._server.is_finished():
            self._server_failure = self._server.exit_reason()
            self._clients.broadcast(Kind.NOTICE, text=self._server_failure)
            self._signals.kill()

    def _hear(self, client: Client) -> None:
        """Receive one request and carry it out."""
        message = client.receive()
        if message is None:
            return
        for descriptor in message.descriptors:
            os.close(descriptor)  # no request has any
        if message.kind is Kind.HELLO:
            client.welcome(message.fields.get("version"), self._state, self._process.pid)
            return
        reason = refusal(message.kind, self._state)
        if reason is not None:
            client.refuse(reason)
            return
        self._carry_out(client, message)

    def _carry_out(self, client: Client, message: Message) -> None:
        if message.kind is Kind.START:
            self._start()
        elif message.kind is Kind.ATTACH:
            self._attach(client)
        elif message.kind is Kind.DETACH:
            self._detach_client(client)
        else:
            number = message.fields.get("number")
            if number in signal.valid_signals():
                self._signals.deliver(int(number))
            else:
                client.refuse(f"{number} is no signal")

    def _start(self) -> None:
        """Let the container execute its command. Raises LaunchError if it cannot."""
        self._process.start()
        self._state = MonitorState.RUNNING
        self._clients.broadcast(Kind.RUNNING, pid=self._process.pid)
        self._containers.change(self._description.record.id, self._running)
        reconcile(self._containers)

    def _attach(self, client: Client) -> None:
        reason = self._streams.attach(client)
        if reason is not None:
            client.refuse(reason)
            return
        numbers, descriptors = self._streams.descriptors()
        client.send(Kind.ATTACHED, *descriptors, streams=numbers)
        self._streams.handed_over()

    def _detach_client(self, client: Client) -> None:
        if not self._streams.has_terminal:
            client.refuse("only a container with a terminal can be detached from")
            return
        if client.first:
            self._ends_with_client = False
        self._streams.release()
        client.send(Kind.DETACHED)

    def _clean_up(self, group: ControlGroup | None) -> None:
        status = _exit_status(self._process.pidfd)
        out_of_memory = False
        if group is not None:
            out_of_memory = group.oom_kills() > 0
            group.kill()
        self._server.end(_SERVER_GRACE)
        if not self._server_ended:
            self._report_server_exit()
        if group is not None:
            group.remove()
        if self._signals.killed_for and status == 128 + signal.SIGKILL:
            status = 128 + self._signals.killed_for
        if self._server_failure and status == 0:
            # What the container wrote last is lost, whatever its command says.
            status = RootlessError.exit_status
        record = self._description.record

        def ended(old: ContainerRecord) -> ContainerRecord:
            return old.moved_to(
                Status.EXITED,
                exit_code=status,
                oom_killed=out_of_memory,
                error=self._server_failure,
                finished=now(),
                pid=0,
                monitor_pid=0,
                server_pid=0,
            )

        control_socket.remove(self._description.control_directory)
        try:
            if record.auto_remove:
                self._containers.remove(record.id)
            else:
                self._containers.change(record.id, ended, unreadable=record)
        except NotFoundError:
            pass  # removed by force meanwhile
        except (OSError, RootlessError) as error:
            # The container's status is its own whether or not it can be written down.
            log(f"writing the record: {error}")
        self._clients.broadcast(Kind.EXITED, status=status, out_of_memory=out_of_memory)

    def _created(self, record: ContainerRecord) -> ContainerRecord:
        """The record of a container that waits for START."""
        process, server = self._process, self._server
        return record._replace(
            pid=process.pid,
            pid_start=start_time(process.pid),
            monitor_pid=os.getpid(),
            monitor_pid_start=start_time(os.getpid()),
            server_pid=server.pid,
            server_pid_start=start_time(server.pid),
        )

    def _running(self, record: ContainerRecord) -> ContainerRecord:
        return self._created(record).moved_to(Status.RUNNING, started=now())

    def _fail(self, error: RootlessError) -> None:
        """The container could not be started: everything of it is removed, or its record says why."""
        record = self._description.record

        def failed(old: ContainerRecord) -> ContainerRecord:
            return old._replace(
                status=Status.EXITED,
                error=error.message,
                exit_code=error.exit_status,
                finished=now(),
                pid=0,
                monitor_pid=0,
                server_pid=0,
            )

        control_socket.remove(self._description.control_directory)
        try:
            if record.auto_remove:
                self._containers.remove(record.id)
            else:
                self._containers.change(record.id, failed, unreadable=record)
        except (OSError, RootlessError) as further:
            log(f"cleaning up: {further}")
        from rootless.run_in_child import error_fields

        fields = error_fields(error)
        if not self._first.is_greeted:
            self._first.send(Kind.FAILED, **fields)
        self._clients.broadcast(Kind.FAILED, **fields)


def _is_readable(client: Client) -> bool:
    if not client.is_open:
        return False
    poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _exit_status(pidfd: int) -> int:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    if result is None:
        return 255
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
