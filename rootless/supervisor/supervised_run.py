"""One run of a container under its monitor, which moves its output, forwards signals, pauses it, checks its health,
and admits ranks.
"""

from __future__ import annotations

import os
import select

from rootless.containers.launch_description import STOP_TIMEOUT
from rootless.supervisor.protocol import PAUSED, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.directory import Containers
    from rootless.containers.launch_description import LaunchDescription
    from rootless.spec.health import HealthCheck, OnUnhealthy
    from rootless.supervisor.clients import Client, Clients
    from rootless.supervisor.container_run import ContainerRun
    from rootless.supervisor.health.timer import HealthTimer
    from rootless.supervisor.life_events import LifeEvents
    from rootless.supervisor.messages import Message
    from rootless.supervisor.periodic_snapshots import PeriodicSnapshots
    from rootless.supervisor.ranks import Ranks
    from rootless.supervisor.record_keeper import Ending, RecordKeeper
    from rootless.supervisor.requests.pausing import PauseRequests
    from rootless.supervisor.restarts import Restarts
    from rootless.supervisor.streams.container_streams import ContainerStreams

_OUTPUT_BEFORE_STOP = 64
"""Maximum number of reads of the output before the monitor reports a stop to a client."""
_PAUSE_STEP = 2.0
"""Milliseconds between two looks at whether a container has come to a stop."""


class SupervisedRun:
    """The monitor drives it from its loop: wait for `watched` and `interest`, at most for `wait_limit`; then `advance`,
    until it `has_ended`.
    """

    def __init__(
        self,
        container: ContainerRun,
        streams: ContainerStreams,
        description: LaunchDescription,
        group: ControlGroup | None,
        *,
        keeper: RecordKeeper,
        events: LifeEvents,
        restarts: Restarts,
        ranks: Ranks | None,
    ) -> None:
        self.container = container
        self.streams = streams
        self._description = description
        self._group = group
        self._keeper = keeper
        self._events = events
        self._restarts = restarts
        self._ranks = ranks
        self._pauses: PauseRequests | None = None
        """From the first request on."""
        self._health: HealthTimer | None = None
        """If the health is checked, from the execution of the command on."""
        self._job_clients: list[Client] = []
        """Clients that get STOPPED when the command stops."""
        self._snapshots: PeriodicSnapshots | None = None
        """If there are to be some, from the execution of the command on."""
        self._outputs: dict[int, int] = {}
        self._owners: dict[int, int] = {}

    def check_health(self, check: HealthCheck, containers: Containers) -> None:
        """Check the health from now on: the command has been executed."""
        from rootless.supervisor.health.timer import HealthTimer

        self._health = HealthTimer(self._description, check, containers, self._keeper, self._events)

    def take_snapshots(self, seconds: int) -> None:
        """Begin to take snapshots at the interval of the record: the command has been executed."""
        from rootless.supervisor.periodic_snapshots import PeriodicSnapshots

        self._snapshots = PeriodicSnapshots(self._description, seconds)

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when there is something to do."""
        checks = () if self._health is None else self._health.watched()
        snapshots = () if self._snapshots is None else self._snapshots.watched()
        ranks = () if self._ranks is None else self._ranks.watched()
        return (*self.container.watched(), *checks, *snapshots, *ranks)

    def interest(self) -> dict[int, int]:
        """Descriptors and events (poll(2)) of the standard streams and of the recording of owners."""
        self._outputs = self.streams.interest()
        self._owners = self.container.owners_interest()
        return {**self._outputs, **self._owners}

    def wait_limit(self) -> float | None:
        """Milliseconds after which there may be something to do."""
        limits = [self.container.signals.wait_limit(), self.streams.wait_limit()]
        if self._pauses is not None and self._pauses.is_pending:
            limits.append(_PAUSE_STEP)
        if self._health is not None:
            limits.append(self._health.wait_limit())
        if self._snapshots is not None:
            limits.append(self._snapshots.wait_limit())
        if self._ranks is not None:
            limits.append(self._ranks.wait_limit())
        return min((each for each in limits if each is not None), default=None)

    def has_ended(self, ready: set[int]) -> bool:
        """Whether the first process has ended. `ready`: descriptors for which poll(2) has returned."""
        return self.container.process.pidfd in ready

    def advance(self, ready: set[int], clients: Clients) -> None:
        """Do what is due, and tell the clients what they have to know."""
        container = self.container
        if self._ranks is not None and self._ranks.is_over(ready):
            container.signals.kill()
        container.signals.check(timed_out=not ready)
        if self._pauses is not None:
            self._pauses.check()
        if lost := container.check_network(ready):
            clients.broadcast(Kind.NOTICE, text=lost)
        if self._health is not None:
            self._act_on_health(self._health.advance(ready))
        if self._snapshots is not None:
            self._snapshots.advance(ready)
        if container.has_lost_server(ready, self._keeper):
            clients.broadcast(Kind.NOTICE, text=container.server_failure)
            container.signals.kill()
        for descriptor in ready.intersection(self._outputs):
            self.streams.advance(descriptor)
        if not ready.isdisjoint(self._owners):
            container.record_owners(ready)
        if container.has_stopped(ready):
            self._tell_stop()
        for client in self.streams.leave_behind():
            client.send(Kind.NOTICE, text="the output was not read for too long and is cut off")

    def finish(self) -> Ending:
        """After the end of the first process: end what is left of the run."""
        if self._ranks is not None:
            self._ranks.kill()
        self._end_health_checks()
        if self._snapshots is not None:
            self._snapshots.abandon()
        if self._pauses is not None:
            self._pauses.abandon()
            self._pauses = None
        return self.container.clean_up()

    def stop(self, number: int, timeout: float | None) -> None:
        """Send a signal, and SIGKILL after the timeout: in seconds, the container's own by default. A pause ends."""
        self._begin_stop(number, timeout)
        self._resume()

    def send(self, number: int) -> None:
        """Send a signal to the first process and to the ranks. A pause ends."""
        self.container.signals.send(number)
        self._send_to_ranks(number)
        self._resume()

    def carry_out(self, client: Client, message: Message) -> None:
        """Carry out a request that concerns this run alone."""
        kind = message.kind
        if kind is Kind.ATTACH:
            self._attach(client, message.fields["streams"])
            if message.fields.get("job_control"):
                self._job_clients.append(client)
        elif kind is Kind.PAUSE:
            self._pause_requests().begin(client)
        elif kind is Kind.UNPAUSE:
            self._pause_requests().end(client)
        elif kind is Kind.CHECK:
            self._request_check(client)
        elif kind is Kind.LISTENER:
            self.container.add_listener(message.descriptors[0])
            client.send(Kind.DONE)
        elif kind is Kind.JOIN:
            self._join(client, message.descriptors[0])
        else:
            assert kind is Kind.UPGRADE
            self.container.upgrade_server(client, self._keeper, message.fields)

    def _attach(self, client: Client, wanted: list[int]) -> None:
        reason = self.streams.refusal(client)
        if reason is not None:
            client.refuse(reason)
            return
        self._events.add("attach")
        numbers, descriptors = self.streams.attach(client, wanted)
        client.send(Kind.ATTACHED, *descriptors, streams=numbers)
        for descriptor in descriptors:
            os.close(descriptor)

    def _tell_stop(self) -> None:
        """A client has what was shown before the command stopped, such as a screen that it has restored."""
        if not self._job_clients:
            return
        for _ in range(_OUTPUT_BEFORE_STOP):
            poll = select.poll()
            outputs = self.streams.interest()
            for descriptor, event in outputs.items():
                poll.register(descriptor, event)
            ready = {descriptor for descriptor, _ in poll.poll(0)} & outputs.keys()
            if not ready:
                break
            for descriptor in ready:
                self.streams.advance(descriptor)
        for client in self._job_clients:
            client.send(Kind.STOPPED)

    def _pause_requests(self) -> PauseRequests:
        if self._pauses is None:
            from rootless.supervisor.requests.pausing import PauseRequests

            self._pauses = PauseRequests(self._keeper, self.container.process.pid, self._group)
        return self._pauses

    def _resume(self) -> None:
        """End a pause, if there is one."""
        if self._pauses is not None:
            self._pauses.resume()

    def _request_check(self, client: Client) -> None:
        if self._health is None:
            identity = self._description.record.id
            client.refuse(f"container {identity} has no defined healthcheck")
        else:
            self._health.request(client)

    def _act_on_health(self, action: OnUnhealthy) -> None:
        """Do to the container what follows from its health."""
        from rootless.spec.health import OnUnhealthy

        if action is OnUnhealthy.NONE:
            return
        self._end_health_checks()
        if action is OnUnhealthy.KILL:
            self.container.signals.kill()
            return
        self._restarts.replaces_unhealthy = action is OnUnhealthy.RESTART
        self._restarts.is_final = not self._restarts.replaces_unhealthy
        self._begin_stop(self._description.stop_signal, None)

    def _end_health_checks(self) -> None:
        if self._health is not None:
            self._health.abandon()
            self._health = None

    def _begin_stop(self, number: int, timeout: float | None) -> None:
        self._events.stopping()
        if timeout is None:
            timeout = self._description.stop_timeout
        if timeout is None:
            timeout = STOP_TIMEOUT
        self.container.signals.stop(number, None if timeout < 0 else float(timeout))
        self._send_to_ranks(number)

    def _send_to_ranks(self, number: int) -> None:
        if self._ranks is not None:
            self._ranks.send(number)

    def _join(self, client: Client, pidfd: int) -> None:
        refusal = ""
        if self._pauses is not None and self._pauses.has_pause:
            refusal = PAUSED
        elif self._ranks is None or not self._ranks.add(pidfd):
            refusal = "the container is not shared, or about to end"
        if refusal:
            os.close(pidfd)
            client.refuse(refusal)
        else:
            client.send(Kind.DONE, self.container.process.pidfd)
