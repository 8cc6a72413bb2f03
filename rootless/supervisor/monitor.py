"""The monitor: the process that a container belongs to, from before its start until everything of it
has been cleaned up.

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
import time

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.directory import Containers
from rootless.containers.launch_description import LaunchDescription
from rootless.durable import locked
from rootless.errors import RootlessError, failure_of
from rootless.light_stdlib import signal
from rootless.supervisor import control_socket
from rootless.supervisor.clients import Clients
from rootless.supervisor.container_run import ContainerRun
from rootless.supervisor.detach import detach
from rootless.supervisor.engine_log import log, log_exception
from rootless.supervisor.file_servers.file_server import FileServer, NextServer
from rootless.supervisor.life_events import LifeEvents
from rootless.supervisor.protocol import Kind, MonitorState, refusal
from rootless.supervisor.record_keeper import RecordKeeper
from rootless.supervisor.restarts import Restarts
from rootless.supervisor.streams.container_streams import ContainerStreams
from rootless.supervisor.supervised_run import SupervisedRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.launch_description import Shared
    from rootless.network.listening import PublishedSocket
    from rootless.runtime.parent import Caller
    from rootless.supervisor.clients import Client
    from rootless.supervisor.file_servers.first_server import FirstServer
    from rootless.supervisor.messages import Message
    from rootless.supervisor.ranks import Ranks
    from rootless.supervisor.record_keeper import Ending

_SERVER_GRACE = 2.0
"""Seconds that a file server has to end which was forked for a run that does not take place."""
_BEFORE_RECONCILING = 0.05
"""Seconds after the start of a run. The end of one that is shorter does not wait for the records of other containers."""
_QUIET, _MOST_QUIET = 3.0, 3600.0
"""Seconds without anything to do after which a monitor stands by. They double each time, because to stand by and to resume takes
some tens of milliseconds."""
_SIGNALS = frozenset({Kind.SIGNAL, Kind.KILL, Kind.STOP})


class _TerminatedError(BaseException):
    """SIGTERM came between two runs, while there was no container to kill."""


class Monitor:
    """One container's life. `main` is the whole program of the process, which leads a session. `caller` is the process
    that becomes the container's first one, if it is to be no new one.

    Forked already, where it is likely that they are needed: `server`, the file server of the first run, which waits
    for its description, and `image_server`, one of the image that the container shares.
    """

    def __init__(
        self,
        description: LaunchDescription,
        first: Client,
        server: FileServer | None,
        image_server: FirstServer | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._description = description
        self._caller = caller
        self._next_server = NextServer(server)
        self._image_server = image_server
        runtime = description.runtime
        self._containers = Containers(
            os.path.dirname(description.directory), remove_container_tree, runtime
        )
        self._first = first
        self._events = LifeEvents(self._containers, description.record)
        if description.is_new:
            self._events.add("create")
        self._keeper = RecordKeeper(
            self._containers,
            description.record,
            self._events,
            has_volumes=description.has_served_mounts,
        )
        self._state = MonitorState.CREATING
        self._ends_with_client = description.ends_with_client
        self._clients = Clients(first)
        self._restarts = Restarts(description.restart)
        self._is_resting = False
        """Between two runs, where SIGTERM ends the delay."""
        self._reconciles_at: float | None = None
        """By the monotonic clock: when the records of other containers are to be made true."""
        self._published: Sequence[PublishedSocket] = ()
        """Sockets of the published ports."""
        self._quiet = _QUIET
        """Seconds without anything to do after which it stands by; 0 if it cannot."""
        self._ranks = None if description.shared is None else _ranks(description.shared)

    def main(self, debug: int | None) -> NoReturn:
        """Never returns and never raises. `debug`: where the steps of the start are written."""
        self._be_program(lambda: self._start_and_supervise(debug))

    def resume(self) -> NoReturn:
        """As `main`, of a monitor that stood by while its container ran."""

        def go_on() -> Ending:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            return self._attend()

        self._be_program(lambda: self._supervise(self._group, go_on))

    def _be_program(self, program: Callable[[], None]) -> NoReturn:
        status = 1
        try:
            program()
            status = 0
        except RootlessError as error:
            self._fail(error)
        except OSError as error:
            log_exception(error)
            self._fail(RootlessError(f"cannot run the container: {failure_of(error)}"))
        except BaseException as error:  # noqa: BLE001 - the last resort of this process
            log_exception(error)
            self._fail(RootlessError(f"the monitor failed: {type(error).__name__}: {error}"))
        finally:
            os._exit(status)

    def _terminate(self, *_: object) -> None:
        """SIGTERM: kill the container, and do not start it again."""
        self._restarts.is_final = True
        if self._state in {MonitorState.READY, MonitorState.RUNNING}:
            self._run.container.signals.kill()
        elif self._is_resting:
            raise _TerminatedError

    def _start_and_supervise(self, debug: int | None) -> None:
        detach(self._description.log, self._description.preserved)
        signal.signal(signal.SIGTERM, self._terminate)
        group = self._make_control_group()

        def run_first() -> Ending:
            self._published = self._publish()
            return self._run_once(group, debug)

        self._supervise(group, run_first)

    def _supervise(self, group: ControlGroup | None, run_first: Callable[[], Ending]) -> None:
        """From a run, which `run_first` brings to its end, to the end of the last one."""
        signal.signal(signal.SIGTERM, self._terminate)
        try:
            ending = run_first()
            while self._restarts.follows(ending.status) and self._rest(ending):
                ending = self._run_once(group, None)
        finally:
            self._next_server.end(_SERVER_GRACE)
            for each in self._published:
                each.socket.close()
            if group is not None:
                group.remove()
        control_socket.remove(self._description.control_directory)
        self._keeper.ended(ending)
        if self._description.removes_image:
            self._remove_image()
        self._report_end(ending)

    def _publish(self) -> Sequence[PublishedSocket]:
        """Bind the published ports, for as long as this process lives. Raises RootlessError."""
        network, record = self._description.network, self._description.record
        if network is None or not network.ports:
            return ()
        from rootless.network.listening import listen

        sockets = listen(network.ports, f"{record.name} ({record.id})")
        self._keeper.published(tuple(each.port for each in sockets))
        return sockets

    def _make_control_group(self) -> ControlGroup | None:
        if self._caller is not None:
            # It stays where its own caller, such as a batch system, has put it.
            return None
        from rootless.cgroups.hierarchy import may_delegate, observe

        resources = self._description.spec["linux"].get("resources", {})
        view = observe(os.environ)
        if not (may_delegate(view) or resources or self._description.cgroup_parent):
            return None  # there is no group to be had, and none is needed
        from rootless.cgroups.delegation import create

        image_server = () if self._image_server is None else self._image_server.pids()
        return create(
            view,
            self._description.record.id,
            resources,
            (os.getpid(), *self._next_server.pids, *image_server),
            self._description.cgroup_parent,
        )

    def _run_once(self, group: ControlGroup | None, debug: int | None) -> Ending:
        """Create the container, start it when a client sends START or it is restarted, and serve clients
        to its end.
        """
        self._state = MonitorState.CREATING
        self._group = group
        streams = ContainerStreams(self._description)
        # `cp` holds the lock while it serves the files of a container that does not run.
        with locked(self._description.log):
            container = ContainerRun(
                self._description,
                group,
                self._next_server,
                self._events,
                image_server=self._image_server,
                published=self._published,
                caller=self._caller,
            )
            self._run = SupervisedRun(
                container,
                streams,
                self._description,
                group,
                keeper=self._keeper,
                events=self._events,
                restarts=self._restarts,
                ranks=self._ranks,
            )
            try:
                self._keeper.keeps_layer(container.memory_fd)
                container.create(streams, debug, self._while_created)
                self._keeper.connected(container.places)
                self._begin()
            except BaseException as error:
                if self._caller is not None and isinstance(error, RootlessError):
                    # Until it knows of the failure it is a process of the container's, with the container's mounts.
                    self._report_failure(error)
                container.abandon()
                raise
        return self._attend()

    def _attend(self) -> Ending:
        """Serve clients until the container has ended, and clean up after it."""
        container, streams = self._run.container, self._run.streams
        try:
            self._watch()
        except BaseException:
            container.abandon()
            raise
        streams.close()
        self._state = MonitorState.CREATING
        was_reported = bool(container.server_failure)
        ending = self._run.finish()
        if ending.error and not was_reported:
            self._clients.broadcast(Kind.NOTICE, text=ending.error)
        self._state = MonitorState.RESTARTING
        # Clients that have connected or sent a request meanwhile.
        self._serve(self._clients.wait((), 0))
        return ending

    def _while_created(self) -> None:
        """While other processes create the container: listen, and load what is called once the command runs."""
        if self._clients.listener is None:
            self._clients.listener = control_socket.listen(self._description.control_directory)
        from rootless.containers import events  # noqa: F401

    def _begin(self) -> None:
        """From the created container to its command; or to READY, until a client says START."""
        container, restarts = self._run.container, self._restarts
        has_started = restarts.has_started
        self._state = MonitorState.READY
        if has_started:
            self._clients.broadcast(Kind.READY, pid=container.process.pid)
            self._start()
            if restarts.clients:
                self._events.add("restart")
            restarts.answer()
        if restarts.is_final:
            container.signals.kill()  # a SIGTERM came while it was being created
        if has_started:
            return
        # `run` has sent its requests long ago.
        while self._state is MonitorState.READY and self._first.has_request:
            self._hear(self._first)
        if self._state is MonitorState.READY:
            self._keeper.created(container.process.pid, container.server_pid)
        # What is there now stays: the collector need not look at it, which would take 1.5 ms at once.
        gc.freeze()
        gc.enable()

    def _watch(self) -> None:
        """Return when the container has ended; until then carry out the requests of clients."""
        run = self._run
        while True:
            # The client may have ended before this loop began.
            if self._ends_with_client and not self._first.is_open:
                self._ends_with_client = False
                self._restarts.is_final = True
                run.container.signals.kill()
            ready = self._wait()
            if run.has_ended(ready):
                return
            if self._reconciles_at is not None and time.monotonic() >= self._reconciles_at:
                self._reconcile()
            run.advance(ready, self._clients)
            self._serve(ready)

    def _wait(self) -> set[int]:
        """The descriptors that are ready. Where nothing but they can give it something to do, the monitor stands by after a
        time.
        """
        run, limit = self._run, self._wait_limit()
        if limit is None and self._quiet:
            ready = self._clients.wait(run.watched(), self._quiet * 1000, run.interest())
            if ready:
                return ready
            from rootless.supervisor.standby.entering import stand_by

            self._quiet = min(2 * self._quiet, _MOST_QUIET)
            stand_by(self, (*run.watched(), *self._clients.descriptors()), run.interest())
            self._quiet = 0.0  # it cannot
        return self._clients.wait(run.watched(), limit, run.interest())

    def _wait_limit(self) -> float | None:
        limit = self._run.wait_limit()
        if self._reconciles_at is None:
            return limit
        left = max(0.0, self._reconciles_at - time.monotonic()) * 1000
        return left if limit is None else min(limit, left)

    def _serve(self, ready: set[int]) -> None:
        """Carry out the requests that have come."""
        for client in self._clients.take(ready):
            self._hear(client)

    def _rest(self, ending: Ending) -> bool:
        """Tell the clients that this run has ended, and wait until the next is due. False if a client
        stops the container meanwhile.
        """
        restarts = self._restarts
        self._state = MonitorState.RESTARTING
        try:
            self._is_resting = True
            self._keeper.restarting(ending)
            self._report_end(ending)
            self._next_server.fork()
            self._ends_with_client = False
            until = time.monotonic() + restarts.delay()
            while (left := until - time.monotonic()) > 0 and not restarts.is_final:
                self._serve(self._clients.wait((), left * 1000))
                if restarts.clients:
                    break
            self._state = MonitorState.CREATING
        except _TerminatedError:
            restarts.is_final = True
        finally:
            self._is_resting = False
        return not restarts.is_final

    def _remove_image(self) -> None:
        """After the container has been removed."""
        from rootless.supervisor.image_removal import remove_image

        if failure := remove_image(self._description, self._containers):
            log(failure)
            self._clients.broadcast(Kind.NOTICE, text=failure)

    def _report_end(self, ending: Ending) -> None:
        """EXITED is the last message of a connection, but for that of a client that wants a restart. A
        client has all output before it.
        """
        self._run.streams.flush()
        self._clients.end(
            Kind.EXITED,
            self._restarts.clients if self._state is MonitorState.RESTARTING else (),
            status=ending.status,
            out_of_memory=ending.out_of_memory,
        )

    def _hear(self, client: Client) -> None:
        """Receive one request and carry it out."""
        message = client.receive()
        if message is None:
            return
        taken = message.descriptors[:1] if message.kind in {Kind.LISTENER, Kind.JOIN} else ()
        for descriptor in message.descriptors[len(taken) :]:
            os.close(descriptor)  # no other request has any
        if message.kind is Kind.HELLO:
            pid = self._run.container.process.pid
            client.welcome(message.fields.get("version"), self._state, pid)
            return
        reason = refusal(message.kind, self._state)
        if reason is not None or (message.kind in {Kind.LISTENER, Kind.JOIN} and not taken):
            client.refuse(reason or "there is no descriptor beside the message")
            for descriptor in taken:
                os.close(descriptor)
            return
        self._carry_out(client, message)

    def _carry_out(self, client: Client, message: Message) -> None:
        kind, fields = message.kind, message.fields
        if kind is Kind.START:
            self._start()
        elif kind is Kind.DETACH:
            self._detach_client(client)
        elif kind in _SIGNALS:
            self._signal(client, message)
        elif kind is Kind.UPDATE:
            from rootless.supervisor.requests.update import update

            update(client, fields, self._group, self._restarts)
        elif kind in {Kind.CONNECT, Kind.DISCONNECT}:
            self._change_networks(client, fields)
        elif kind is Kind.RENAME:
            self._rename(client, str(fields["name"]))
        else:
            self._run.carry_out(client, message)

    def _start(self) -> None:
        """Let the container execute its command. Raises LaunchError if it cannot."""
        container = self._run.container
        container.start()
        self._state = MonitorState.RUNNING
        self._restarts.started()
        pid = container.process.pid
        # Written before it is sent: a client that knows of RUNNING finds it in the record.
        check = self._description.health
        self._keeper.running(
            pid,
            container.server_pid,
            restarts=self._restarts.count,
            has_health=check is not None,
        )
        is_waited_for = self._ends_with_client
        if not is_waited_for:
            container.keep_mounts()  # the client may kill a server as soon as it knows of RUNNING
        self._clients.broadcast(Kind.RUNNING, pid=pid)
        if is_waited_for:
            container.keep_mounts()
        self._reconciles_at = time.monotonic() + _BEFORE_RECONCILING
        if self._description.time_limit:
            container.signals.limit(self._description.time_limit)
        if check is not None:
            self._run.check_health(check, self._containers)
        each = self._description.record.snapshot_each
        if each.isdecimal():
            self._run.take_snapshots(int(each))

    def _reconcile(self) -> None:
        """Make the records of other containers true, whose monitors were killed."""
        from rootless.containers.reconcile import reconcile

        self._reconciles_at = None
        reconcile(self._containers)

    def _signal(self, client: Client, message: Message) -> None:
        """SIGNAL, KILL and STOP."""
        kind, fields = message.kind, message.fields
        number = fields.get("number")
        if number is None and kind is Kind.STOP:
            number = self._description.stop_signal
        if number not in signal.valid_signals():
            client.refuse(f"{number} is not a signal number")
        elif kind is Kind.STOP:
            self._stop(client, int(number), fields)
        elif kind is Kind.KILL:
            self._kill(client, int(number))
        else:
            self._note_user()
            self._run.container.signals.deliver(int(number))

    def _stop(self, client: Client, number: int, fields: Mapping[str, Any]) -> None:
        """End the container, and its restarts unless one is asked for. The answer is EXITED, or DONE
        when it runs again.
        """
        if fields.get("by_user", True):
            self._note_user()
        if fields.get("restart"):
            self._restarts.clients.append(client)
            self._next_server.fork()
        else:
            self._restarts.is_final = True
        if self._state is not MonitorState.RESTARTING:
            self._run.stop(number, fields.get("timeout"))

    def _kill(self, client: Client, number: int) -> None:
        self._note_user()
        if self._state is MonitorState.RESTARTING:
            # As with Docker, whatever the signal is: nothing runs that could take it. EXITED answers.
            self._restarts.is_final = True
            return
        if number in {signal.SIGKILL, self._description.stop_signal}:
            self._restarts.is_final = True
        self._run.send(number)
        client.send(Kind.DONE)

    def _note_user(self) -> None:
        """A user has signalled the container: the policy unless-stopped does not start it again."""
        if not self._restarts.stopped_by_user:
            self._restarts.stopped_by_user = True
            if self._state is not MonitorState.READY:
                self._keeper.stopped_by_user()

    def _change_networks(self, client: Client, fields: Mapping[str, Any]) -> None:
        """Connect the container to a network, or disconnect it; also when it is started again."""
        from rootless.supervisor.requests.network_changes import change_networks

        change = change_networks(client, fields, self._run.container, self._keeper)
        record = self._description.record
        if record.endpoint is not None:
            record = record._replace(endpoint=change(record.endpoint))
            self._description = self._description._replace(record=record)

    def _rename(self, client: Client, name: str) -> None:
        """The container has another name in its networks, also when it is started again."""
        record = self._description.record._replace(name=name)
        self._description = self._description._replace(record=record)
        if self._state is not MonitorState.RESTARTING and not self._run.container.rename(
            client, name
        ):
            return
        client.send(Kind.DONE)

    def _detach_client(self, client: Client) -> None:
        streams = self._run.streams
        if not streams.has_terminal:
            client.refuse("only a container with a terminal can be detached from")
            return
        if client.first:
            self._ends_with_client = False
        streams.release(client)
        client.send(Kind.DETACHED)

    def _fail(self, error: RootlessError) -> None:
        """The container could not be started: everything of it is removed, or its record says why."""
        control_socket.remove(self._description.control_directory)
        self._keeper.failed(error)
        self._report_failure(error)

    def _report_failure(self, error: RootlessError) -> None:
        """FAILED is the last message of every connection."""
        from rootless.run_in_child import error_fields

        fields = error_fields(error)
        if not self._first.is_greeted:
            self._first.send(Kind.FAILED, **fields)
            self._first.close()
        self._clients.end(Kind.FAILED, **fields)


def _ranks(shared: Shared) -> Ranks:
    from rootless.supervisor.ranks import Ranks

    return Ranks(shared)
