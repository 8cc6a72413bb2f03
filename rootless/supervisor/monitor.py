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
import select
import time

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.directory import Containers
from rootless.containers.launch_description import LaunchDescription
from rootless.durable import locked
from rootless.errors import HostSupportError, RootlessError
from rootless.light_stdlib import signal
from rootless.spec.options import OnUnhealthy, RestartName, RestartPolicy
from rootless.supervisor import control_socket
from rootless.supervisor.clients import Client, Clients
from rootless.supervisor.container_run import ContainerRun
from rootless.supervisor.detach import detach
from rootless.supervisor.engine_log import log_exception
from rootless.supervisor.file_servers.file_server import FileServer, NextServer
from rootless.supervisor.life_events import LifeEvents
from rootless.supervisor.protocol import Kind, MonitorState, refusal
from rootless.supervisor.record_keeper import RecordKeeper
from rootless.supervisor.streams.container_streams import ContainerStreams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.launch_description import Shared
    from rootless.network.listening import PublishedSocket
    from rootless.runtime.parent import Caller
    from rootless.supervisor.file_servers.first_server import FirstServer
    from rootless.supervisor.health.timer import HealthTimer
    from rootless.supervisor.messages import Message
    from rootless.supervisor.ranks import Ranks
    from rootless.supervisor.record_keeper import Ending
    from rootless.supervisor.requests.pausing import PauseRequests

_STOP_TIMEOUT = 10
"""Docker's seconds between the stop signal and SIGKILL."""
_SERVER_GRACE = 2.0
"""Seconds that a file server has to end which was forked for a run that does not take place."""
_BEFORE_RECONCILING = 0.05
"""Seconds after the start of a run. The end of one that is shorter does not wait for the records of other containers."""
_PAUSE_STEP = 2.0
"""Milliseconds between two looks at whether a container has come to a stop."""


class _TerminatedError(BaseException):
    """SIGTERM came while there was no container to kill."""


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
        self._restart = description.restart
        self._restart_count = 0
        self._delay = 0.0
        self._started_at = 0.0
        """By the monotonic clock: when the command was last executed."""
        self._reconciles_at: float | None = None
        """By the monotonic clock: when the records of other containers are to be made true."""
        self._is_final = False
        """The run that goes on is the last one, whatever the restart policy says."""
        self._stopped_by_user = False
        self._restarters: list[Client] = []
        """Clients that want the container restarted and are waiting for that."""
        self._pauses: PauseRequests | None = None
        """Of this run, from the first one on."""
        self._health: HealthTimer | None = None
        """Of this run, if its health is checked."""
        self._published: Sequence[PublishedSocket] = ()
        """Sockets of the published ports."""
        self._ranks = None if description.shared is None else _ranks(description.shared)
        self._is_replaced = False
        """The container is unhealthy, and is to be started again."""

    def main(self, debug: int | None) -> NoReturn:
        """Never returns and never raises. `debug`: where the steps of the start are written."""
        status = 1
        try:
            detach(self._description.log)
            self._supervise(debug)
            status = 0
        except RootlessError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - the last resort of this process
            log_exception(error)
            self._fail(RootlessError(f"the monitor failed: {type(error).__name__}: {error}"))
        finally:
            os._exit(status)

    def _terminate(self, *_: object) -> None:
        """SIGTERM: kill the container, and do not start it again."""
        self._is_final = True
        if self._state in {MonitorState.READY, MonitorState.RUNNING}:
            self._container.signals.kill()
        elif self._state is MonitorState.RESTARTING:
            raise _TerminatedError

    def _supervise(self, debug: int | None) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        group = self._make_control_group()
        try:
            self._published = self._publish()
            ending = self._run(group, debug)
            while self._is_restarted(ending) and self._rest(ending):
                ending = self._run(group, None)
        finally:
            self._next_server.end(_SERVER_GRACE)
            for each in self._published:
                each.socket.close()
            if group is not None:
                group.remove()
        control_socket.remove(self._description.control_directory)
        self._keeper.ended(ending)
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

    def _run(self, group: ControlGroup | None, debug: int | None) -> Ending:
        """Create the container, start it when a client sends START or it is restarted, and serve clients
        to its end.
        """
        self._state = MonitorState.CREATING
        self._group = group
        self._streams = ContainerStreams(self._description)
        # `cp` holds the lock while it serves the files of a container that does not run.
        with locked(self._description.log):
            self._container = run = ContainerRun(
                self._description,
                group,
                self._next_server,
                self._events,
                image_server=self._image_server,
                published=self._published,
                caller=self._caller,
            )
            try:
                self._keeper.keeps_layer(run.memory_fd)
                run.create(self._streams, debug, self._while_created)
                self._keeper.connected(run.places)
                self._begin()
            except BaseException:
                run.abandon()
                raise
        try:
            self._watch()
        except BaseException:
            run.abandon()
            raise
        self._streams.close()
        self._state = MonitorState.CREATING
        if self._ranks is not None:
            self._ranks.kill()
        self._end_health_checks()
        if self._pauses is not None:
            self._pauses.abandon()
            self._pauses = None
        was_reported = bool(run.server_failure)
        ending = run.clean_up()
        if ending.error and not was_reported:
            self._clients.broadcast(Kind.NOTICE, text=ending.error)
        self._state = MonitorState.RESTARTING
        # Clients that have connected or sent a request meanwhile.
        self._serve(self._wait((), 0))
        return ending

    def _while_created(self) -> None:
        """While other processes create the container: listen, and load what is called once the command runs."""
        if self._clients.listener is None:
            self._clients.listener = control_socket.listen(self._description.control_directory)
        from rootless.containers import events  # noqa: F401

    def _begin(self) -> None:
        """From the created container to its command; or to READY, until a client says START."""
        run = self._container
        self._state = MonitorState.READY
        if self._started_at:
            self._clients.broadcast(Kind.READY, pid=run.process.pid)
            self._start()
            if self._restarters:
                self._events.add("restart")
            for client in self._restarters:
                client.send(Kind.DONE)
            self._restarters.clear()
        if self._is_final:
            run.signals.kill()  # a SIGTERM came while it was being created
        if self._started_at:
            return
        # `run` has sent its requests long ago.
        while self._state is MonitorState.READY and _is_readable(self._first):
            self._hear(self._first)
        if self._state is MonitorState.READY:
            self._keeper.created(run.process.pid, run.server_pid)
        # What is there now stays: the collector need not look at it, which would take 1.5 ms at once.
        gc.freeze()
        gc.enable()

    def _watch(self) -> None:
        """Return when the container has ended; until then carry out the requests of clients."""
        run = self._container
        while True:
            # The client may have ended before this loop began.
            if self._ends_with_client and not self._first.is_open:
                self._ends_with_client = False
                self._is_final = True
                run.signals.kill()
            streams = self._streams.interest()
            owners = run.owners_interest()
            checks = () if self._health is None else self._health.watched()
            watched = (*run.watched(), *checks, *self._watched_ranks())
            ready = self._wait(watched, self._wait_limit(), {**streams, **owners})
            if run.process.pidfd in ready:
                return
            self._check_ranks(ready)
            run.signals.check(timed_out=not ready)
            if self._reconciles_at is not None and time.monotonic() >= self._reconciles_at:
                self._reconcile()
            if self._pauses is not None:
                self._pauses.check()
            if lost := run.check_network(ready):
                self._clients.broadcast(Kind.NOTICE, text=lost)
            if self._health is not None and self._health.advance(ready):
                self._act_on_health()
            if run.has_lost_server(ready, self._keeper):
                self._clients.broadcast(Kind.NOTICE, text=run.server_failure)
                run.signals.kill()
            for descriptor in ready.intersection(streams):
                self._streams.advance(descriptor)
            if not ready.isdisjoint(owners):
                run.record_owners(ready)
            for client in self._streams.leave_behind():
                client.send(Kind.NOTICE, text="the output was not read for too long and is cut off")
            self._serve(ready)

    def _wait(
        self,
        descriptors: Sequence[int],
        milliseconds: float | None,
        events: Mapping[int, int] | None = None,
    ) -> set[int]:
        """Those of the descriptors, of the clients' and of the listening socket that are readable, and
        those of `events` for which their event has come (poll(2)).
        """
        poll = select.poll()
        clients = map(Client.fileno, self._clients.open())
        for descriptor in (*descriptors, self._clients.fileno(), *clients):
            poll.register(descriptor, select.POLLIN)
        for descriptor, event in (events or {}).items():
            poll.register(descriptor, event)
        return {descriptor for descriptor, _ in poll.poll(milliseconds)}

    def _wait_limit(self) -> float | None:
        limits = [self._container.signals.wait_limit(), self._streams.wait_limit()]
        if self._pauses is not None and self._pauses.is_pending:
            limits.append(_PAUSE_STEP)
        if self._health is not None:
            limits.append(self._health.wait_limit())
        if self._ranks is not None:
            limits.append(self._ranks.wait_limit())
        if self._reconciles_at is not None:
            limits.append(max(0.0, self._reconciles_at - time.monotonic()) * 1000)
        return min((each for each in limits if each is not None), default=None)

    def _serve(self, ready: set[int]) -> None:
        """Carry out the requests that have come."""
        clients = {client.fileno(): client for client in self._clients.open()}
        if self._clients.fileno() in ready:
            self._clients.accept()
        for descriptor in ready.intersection(clients):
            self._hear(clients[descriptor])

    def _is_restarted(self, ending: Ending) -> bool:
        if self._restarters:
            return True
        if self._is_final or not self._started_at:
            return False
        if self._is_replaced:
            return True
        if self._restart.name is RestartName.NO:
            return False
        from rootless.containers.restart_policy import restarts

        return restarts(
            self._restart,
            exit_code=ending.status,
            count=self._restart_count,
            stopped_by_user=self._stopped_by_user,
        )

    def _rest(self, ending: Ending) -> bool:
        """Tell the clients that this run has ended, and wait until the next is due. False if a client
        stops the container meanwhile.
        """
        from rootless.containers.restart_policy import next_delay

        self._state = MonitorState.RESTARTING
        try:
            self._keeper.restarting(ending)
            self._report_end(ending)
            self._next_server.fork()
            self._ends_with_client = False
            until = 0.0
            if self._restarters or self._is_replaced:
                self._delay, self._restart_count, self._is_final = 0.0, 0, False
                self._is_replaced = False
            else:
                self._delay = next_delay(self._delay, time.monotonic() - self._started_at)
                self._restart_count += 1
                until = time.monotonic() + self._delay
            while (left := until - time.monotonic()) > 0 and not self._is_final:
                self._serve(self._wait((), left * 1000))
                if self._restarters:
                    break
            self._state = MonitorState.CREATING
        except _TerminatedError:
            self._is_final = True
        return not self._is_final

    def _report_end(self, ending: Ending) -> None:
        """EXITED is the last message of a connection, but for that of a client that wants a restart. A
        client has all output before it.
        """
        self._streams.flush()
        self._clients.end(
            Kind.EXITED,
            self._restarters if self._state is MonitorState.RESTARTING else (),
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
            pid = self._container.process.pid
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
        elif kind is Kind.ATTACH:
            self._attach(client, message.fields["streams"])
        elif kind is Kind.DETACH:
            self._detach_client(client)
        elif kind in {Kind.PAUSE, Kind.UNPAUSE}:
            self._pause(client, kind)
        elif kind is Kind.UPDATE:
            self._update(client, fields)
        elif kind is Kind.CHECK:
            self._check_health(client)
        elif kind is Kind.LISTENER:
            self._container.add_listener(message.descriptors[0])
            client.send(Kind.DONE)
        elif kind in {Kind.CONNECT, Kind.DISCONNECT}:
            self._change_networks(client, fields)
        elif kind is Kind.JOIN:
            self._join(client, message.descriptors[0])
        elif kind is Kind.UPGRADE:
            self._container.upgrade_server(client, self._keeper, fields)
        else:
            self._signal(client, message)

    def _join(self, client: Client, pidfd: int) -> None:
        if self._ranks is not None and self._ranks.add(pidfd):
            client.send(Kind.DONE)
        else:
            os.close(pidfd)
            client.refuse("the container is not shared, or about to end")

    def _watched_ranks(self) -> Sequence[int]:
        return () if self._ranks is None else self._ranks.watched()

    def _check_ranks(self, ready: set[int]) -> None:
        """End a container that the last of its ranks has left."""
        if self._ranks is not None and self._ranks.is_over(ready):
            self._container.signals.kill()

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
            self._container.signals.deliver(int(number))

    def _start(self) -> None:
        """Let the container execute its command. Raises LaunchError if it cannot."""
        run = self._container
        run.start()
        self._state = MonitorState.RUNNING
        self._stopped_by_user = False
        self._started_at = time.monotonic()
        pid = run.process.pid
        # Written before it is sent: a client that knows of RUNNING finds it in the record.
        check = self._description.health
        self._keeper.running(
            pid, run.server_pid, restarts=self._restart_count, has_health=check is not None
        )
        is_waited_for = self._ends_with_client
        if not is_waited_for:
            run.keep_mounts()  # the client may kill a server as soon as it knows of RUNNING
        self._clients.broadcast(Kind.RUNNING, pid=pid)
        if is_waited_for:
            run.keep_mounts()
        self._reconciles_at = self._started_at + _BEFORE_RECONCILING
        if check is not None:
            from rootless.supervisor.health.timer import HealthTimer

            self._health = HealthTimer(
                self._description, check, self._containers, self._keeper, self._events
            )

    def _reconcile(self) -> None:
        """Make the records of other containers true, whose monitors were killed."""
        from rootless.containers.reconcile import reconcile

        self._reconciles_at = None
        reconcile(self._containers)

    def _stop(self, client: Client, number: int, fields: Mapping[str, Any]) -> None:
        """End the container, and its restarts unless one is asked for. The answer is EXITED, or DONE
        when it runs again.
        """
        if fields.get("by_user", True):
            self._note_user()
        if fields.get("restart"):
            self._restarters.append(client)
            self._next_server.fork()
        else:
            self._is_final = True
        if self._state is MonitorState.RESTARTING:
            return
        self._begin_stop(number, fields.get("timeout"))
        self._resume()

    def _begin_stop(self, number: int, timeout: float | None) -> None:
        """Send a signal, and SIGKILL after the timeout: in seconds, the container's own by default."""
        self._events.stopping()
        if timeout is None:
            timeout = self._description.stop_timeout
        if timeout is None:
            timeout = _STOP_TIMEOUT
        self._container.signals.stop(number, None if timeout < 0 else float(timeout))
        self._send_to_ranks(number)

    def _send_to_ranks(self, number: int) -> None:
        if self._ranks is not None:
            self._ranks.send(number)

    def _kill(self, client: Client, number: int) -> None:
        self._note_user()
        if self._state is MonitorState.RESTARTING:
            # As with Docker, whatever the signal is: nothing runs that could take it. EXITED answers.
            self._is_final = True
            return
        if number in {signal.SIGKILL, self._description.stop_signal}:
            self._is_final = True
        self._container.signals.send(number)
        self._send_to_ranks(number)
        self._resume()
        client.send(Kind.DONE)

    def _note_user(self) -> None:
        """A user has signalled the container: the policy unless-stopped does not start it again."""
        if not self._stopped_by_user:
            self._stopped_by_user = True
            if self._state is not MonitorState.READY:
                self._keeper.stopped_by_user()

    def _check_health(self, client: Client) -> None:
        if self._health is None:
            identity = self._description.record.id
            client.refuse(f"container {identity} has no defined healthcheck")
        else:
            self._health.request(client)

    def _act_on_health(self) -> None:
        """The container is unhealthy: what its options say of that case."""
        check = self._description.health
        if check is None or check.on_unhealthy is OnUnhealthy.NONE:
            return
        self._end_health_checks()
        if check.on_unhealthy is OnUnhealthy.KILL:
            self._container.signals.kill()
            return
        self._is_replaced = check.on_unhealthy is OnUnhealthy.RESTART
        self._is_final = not self._is_replaced
        self._begin_stop(self._description.stop_signal, None)

    def _end_health_checks(self) -> None:
        if self._health is not None:
            self._health.abandon()
            self._health = None

    def _pause(self, client: Client, kind: Kind) -> None:
        if self._pauses is None:
            from rootless.supervisor.requests.pausing import PauseRequests

            self._pauses = PauseRequests(self._keeper, self._container.process.pid, self._group)
        if kind is Kind.PAUSE:
            self._pauses.begin(client)
        else:
            self._pauses.end(client)

    def _resume(self) -> None:
        """End a pause, if there is one."""
        if self._pauses is not None:
            self._pauses.resume()

    def _update(self, client: Client, fields: Mapping[str, Any]) -> None:
        """Set limits and the restart policy of a container that has a monitor."""
        try:
            resources = fields.get("resources")
            if resources:
                if self._group is None:
                    raise HostSupportError("the container has no control group")
                self._group.apply(resources)
            restart = fields.get("restart")
            if restart is not None:
                name, maximum = restart
                self._restart = RestartPolicy(RestartName(name), int(maximum))
        except RootlessError as error:
            client.refuse(error.message)
            return
        client.send(Kind.DONE)

    def _change_networks(self, client: Client, fields: Mapping[str, Any]) -> None:
        """Connect the container to a network, or disconnect it; also when it is started again."""
        from rootless.supervisor.requests.network_changes import change_networks

        change = change_networks(client, fields, self._container, self._keeper)
        record = self._description.record
        if record.endpoint is not None:
            record = record._replace(endpoint=change(record.endpoint))
            self._description = self._description._replace(record=record)

    def _attach(self, client: Client, wanted: list[int]) -> None:
        reason = self._streams.refusal(client)
        if reason is not None:
            client.refuse(reason)
            return
        self._events.add("attach")
        numbers, descriptors = self._streams.attach(client, wanted)
        client.send(Kind.ATTACHED, *descriptors, streams=numbers)
        for descriptor in descriptors:
            os.close(descriptor)

    def _detach_client(self, client: Client) -> None:
        if not self._streams.has_terminal:
            client.refuse("only a container with a terminal can be detached from")
            return
        if client.first:
            self._ends_with_client = False
        self._streams.release(client)
        client.send(Kind.DETACHED)

    def _fail(self, error: RootlessError) -> None:
        """The container could not be started: everything of it is removed, or its record says why."""
        control_socket.remove(self._description.control_directory)
        self._keeper.failed(error)
        from rootless.run_in_child import error_fields

        fields = error_fields(error)
        if not self._first.is_greeted:
            self._first.send(Kind.FAILED, **fields)
        self._clients.broadcast(Kind.FAILED, **fields)


def _ranks(shared: Shared) -> Ranks:
    from rootless.supervisor.ranks import Ranks

    return Ranks(shared)


def _is_readable(client: Client) -> bool:
    if not client.is_open:
        return False
    poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)
    return bool(poll.poll(0))
