"""The monitor: the process that owns a container, from before its start until its clean-up is complete.

It leads a session of its own and keeps nothing of its starter's: no terminal, no standard streams, no
working directory. Its file server is forked first; it creates the container, and starts it when a client says
START; it owns the container's standard streams, passes signals on, checks its health, and cleans up. Whichever process
ends, the others follow:

    first client ends  if the description says `ends_with_client`, the monitor kills the container
    monitor ends       the kernel kills the container (PR_SET_PDEATHSIG); the file server ends when
                       the mount is gone; the next command marks or removes the container
    file server ends   the monitor starts another, which goes on with the same mount; where that cannot be, the
                       container's file operations fail with ENOTCONN: the monitor kills it
    container ends     its mount goes with its namespace, and so the file server; the monitor cleans up,
                       and creates it again if the restart policy or a client asks for it

The loop is poll(2) on a handful of descriptors (docs/decisions/0700-no-event-loop-on-the-way-to-exec.md);
what clients say to it is docs/monitor-protocol.md.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import time

from rootless.containers.launch_description import STOP_TIMEOUT
from rootless.containers.record import KILL_CONTAINER, LISTEN_AGAIN
from rootless.durable import locked
from rootless.errors import RootlessError, failure_of
from rootless.light_stdlib import signal
from rootless.supervisor import FIRST_QUIET, control_socket, longer_quiet, turn
from rootless.supervisor.client_requests import ClientRequests
from rootless.supervisor.container_life import ContainerLife
from rootless.supervisor.detach import detach
from rootless.supervisor.engine_log import log, log_exception
from rootless.supervisor.protocol import MonitorState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from rootless.containers.launch_description import LaunchDescription
    from rootless.supervisor.clients import Client
    from rootless.supervisor.record_keeper import Ending
    from rootless.supervisor.run_resources import RunResources

_SIGNALS = frozenset({signal.SIGTERM, KILL_CONTAINER, LISTEN_AGAIN})


class _TerminatedError(BaseException):
    """SIGTERM came between two runs, while there was no container to kill."""


class Monitor:
    """The process. `main` is its whole program; the process leads a session."""

    def __init__(
        self, description: LaunchDescription, first: Client, resources: RunResources
    ) -> None:
        self._life = ContainerLife(description, first, resources)
        self._requests = ClientRequests(self._life)
        self._command = sys.orig_argv
        self._is_resting = False
        """Between two runs, where SIGTERM ends the delay."""
        self._stop_asked = -1
        """An event counter (eventfd(2)) that SIGTERM makes readable while the container runs."""
        self._socket_asked = -1
        """One that LISTEN_AGAIN makes readable."""
        self._quiet = turn.first_quiet() if description.ends_with_client else FIRST_QUIET
        """Seconds without anything to do after which it stands by; 0 if it cannot."""

    def main(self, debug: int | None) -> NoReturn:
        """Never returns and never raises. `debug`: where the steps of the start are written."""
        self._be_program(lambda: self._start_and_supervise(debug))

    def resume(self) -> NoReturn:
        """As `main`, of a monitor that stood by while its container ran."""

        def go_on() -> Ending:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return self._attend()

        self._be_program(lambda: self._supervise(go_on))

    def _be_program(self, program: Callable[[], None]) -> NoReturn:
        status = 1
        try:
            program()
            status = 0
        except BaseException as error:  # noqa: BLE001 - the last resort of this process
            if not isinstance(error, RootlessError):
                log_exception(error)
            self._life.fail(_for_clients(error))
        finally:
            os._exit(status)

    def _take_signals(self) -> None:
        if self._stop_asked < 0:
            self._stop_asked = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._socket_asked = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(KILL_CONTAINER, self._kill)
        signal.signal(LISTEN_AGAIN, lambda *_: os.eventfd_write(self._socket_asked, 1))

    def _ask_to_stop(self, *_: object) -> None:
        """SIGTERM, which a scheduler or a shutdown sends to all processes: stop the container, and do not start it again.

        The loop does it, because this handler may have come while the record is locked.
        """
        if self._life.state is MonitorState.RUNNING:
            self._life.restarts.is_final = True
            os.eventfd_write(self._stop_asked, 1)
        else:
            self._kill()

    def _stop(self) -> None:
        """Stop the container: its signal, and SIGKILL after its time."""
        os.eventfd_read(self._stop_asked)
        description = self._life.description
        self._life.run.stop(description.stop_signal, None)
        timeout = description.stop_timeout
        seconds = STOP_TIMEOUT if timeout is None else timeout
        if seconds >= 0:
            # poll(2) goes on for the time that it was called with.
            signal.signal(signal.SIGALRM, self._kill)  # ignored until now: a scheduler may send it
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
            self._quiet = 0.0  # the program that waits would end at SIGALRM

    def _listen_again(self) -> None:
        """Make the control socket again, whose directory was removed: by the end of a session, or by systemd-tmpfiles."""
        os.eventfd_read(self._socket_asked)
        life = self._life
        try:
            listener = control_socket.listen(life.description.control_directory)
        except RootlessError as error:
            log(error.message)
            return
        if life.clients.listener is not None:
            life.clients.listener.close()
        life.clients.listener = listener

    def _kill(self, *_: object) -> None:
        """Kill the container, and do not start it again."""
        self._life.restarts.is_final = True
        if self._life.state in {MonitorState.READY, MonitorState.RUNNING}:
            self._life.kill()
        elif self._is_resting:
            raise _TerminatedError

    def _start_and_supervise(self, debug: int | None) -> None:
        life = self._life
        detach(life.description.log, life.description.preserved)
        self._take_signals()
        life.resources.make_group(life.description)

        def run_first() -> Ending:
            life.publish()
            return self._run_once(debug)

        self._supervise(run_first)

    def _supervise(self, run_first: Callable[[], Ending]) -> None:
        """From a run, which `run_first` brings to its end, to the end of the last one."""
        self._take_signals()
        try:
            ending = run_first()
            while self._life.restarts.follows(ending.status) and self._rest(ending):
                ending = self._run_once(None)
        finally:
            self._life.resources.release()
        self._life.end(ending)

    def _run_once(self, debug: int | None) -> Ending:
        """Create the container, start it when a client sends START or it is restarted, and serve clients
        to its end.
        """
        life = self._life
        # `cp` holds the lock while it serves the files of a container that does not run.
        with locked(life.description.log):
            container = life.new_run()
            try:
                life.create(debug, self._while_created)
                self._begin()
            except BaseException as error:
                if life.resources.caller is not None:
                    # Until it knows of the failure it has the mount of the image, and `abandon` waits for the end of that.
                    life.report_failure(_for_clients(error))
                container.abandon()
                raise
        return self._attend()

    def _while_created(self) -> None:
        """While other processes create the container: listen, and load what is called once the command runs."""
        clients = self._life.clients
        if clients.listener is None:
            clients.listener = control_socket.listen(self._life.description.control_directory)
        from rootless.containers import events  # noqa: F401

    def _begin(self) -> None:
        """From the created container to its command; or to READY, until a client says START."""
        life = self._life
        container, has_started = life.run.container, life.restarts.has_started
        if has_started:
            life.start_again()
        if life.restarts.is_final:
            container.signals.kill()  # a SIGTERM came while it was being created
        if has_started:
            return
        # `run` has sent its requests long ago.
        while life.state is MonitorState.READY and life.first.has_request:
            self._requests.receive(life.first)
        if life.state is MonitorState.READY:
            life.keeper.created(container.process.pid, container.server_pid)
        # What is there now stays: the collector need not look at it, which would take 1.5 ms at once.
        gc.freeze()
        gc.enable()

    def _attend(self) -> Ending:
        """Serve clients until the container has ended, and clean up after it."""
        try:
            self._watch()
        except BaseException:
            self._life.run.container.abandon()
            raise
        ending = self._life.finish_run()
        # Clients that have connected or sent a request meanwhile.
        self._requests.serve(self._life.clients.wait((), 0))
        return ending

    def _watch(self) -> None:
        """Return when the container has ended; until then carry out the requests of clients."""
        life = self._life
        while True:
            # The client may have ended before this loop began.
            if life.ends_with_client and not life.first.is_open:
                life.ends_with_client = False
                life.kill()
            ready = self._wait()
            if life.run.has_ended(ready):
                return
            if self._stop_asked in ready:
                self._stop()
            if self._socket_asked in ready:
                self._listen_again()
            life.advance(ready)
            self._requests.serve(ready)

    def _wait(self) -> set[int]:
        """The descriptors that are ready. Where nothing but they can give it something to do, the monitor stands by after a
        time.
        """
        clients, run, limit = self._life.clients, self._life.run, self._life.wait_limit()
        watched = (*run.watched(), self._stop_asked, self._socket_asked)
        if limit is None and self._quiet:
            ready = clients.wait(watched, self._quiet * 1000, run.interest())
            if ready:
                return ready
            self._quiet = longer_quiet(self._quiet)
            readable = (*watched, *clients.descriptors())
            try:
                self._stand_by({**dict.fromkeys(readable, select.POLLIN), **run.interest()})
            except Exception as error:  # noqa: BLE001 - what is loaded only now may be of another release
                log_exception(error)
            self._quiet = 0.0  # it cannot
        return clients.wait(watched, limit, run.interest())

    def _stand_by(self, waits: Mapping[int, int]) -> None:
        """Returns if the process cannot stand by."""
        from rootless.supervisor.standby import modules
        from rootless.supervisor.standby.entering import stand_by

        stand_by(self, waits, _SIGNALS, modules.of_monitor, command=self._command)

    def _rest(self, ending: Ending) -> bool:
        """Report the end of this run to the clients, and wait until the next is due. False if a client
        stops the container meanwhile.
        """
        life, restarts = self._life, self._life.restarts
        life.state = MonitorState.RESTARTING
        try:
            self._is_resting = True
            life.keeper.restarting(ending)
            life.report_end(ending)
            life.resources.servers.fork()
            life.ends_with_client = False
            until = time.monotonic() + restarts.delay()
            while (left := until - time.monotonic()) > 0 and not restarts.is_final:
                self._requests.serve(life.clients.wait((), left * 1000))
                if restarts.clients:
                    break
            life.state = MonitorState.CREATING
        except _TerminatedError:
            restarts.is_final = True
        finally:
            self._is_resting = False
        return not restarts.is_final


def _for_clients(error: BaseException) -> RootlessError:
    """What clients are sent of an error that ends the monitor."""
    if isinstance(error, RootlessError):
        return error
    if isinstance(error, OSError):
        return RootlessError(f"cannot run the container: {failure_of(error)}")
    return RootlessError(f"the monitor failed: {type(error).__name__}: {error}")
