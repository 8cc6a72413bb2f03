"""The monitor's side of requests: receives each, refuses it in the wrong state, carries it out and answers it
(docs/monitor-protocol.md).
"""

from __future__ import annotations

import os

from rootless.light_stdlib import signal
from rootless.supervisor.protocol import Kind, MonitorState, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.supervisor.clients import Client
    from rootless.supervisor.container_life import ContainerLife
    from rootless.supervisor.messages import Message

_SIGNALS = frozenset({Kind.SIGNAL, Kind.KILL, Kind.STOP})
_WITH_DESCRIPTOR = frozenset({Kind.LISTENER, Kind.JOIN})


class ClientRequests:
    """The requests of all clients of a monitor."""

    def __init__(self, life: ContainerLife) -> None:
        self._life = life

    def serve(self, ready: set[int]) -> None:
        """Carry out the requests that have come. `ready`: what `Clients.wait` has returned."""
        for client in self._life.clients.take(ready):
            was_greeted = client.is_greeted
            self.receive(client)
            if not was_greeted and client.has_request:
                self.receive(client)  # as of many ranks, which send HELLO and JOIN at once

    def receive(self, client: Client) -> None:
        """Receive one request, waiting for it, and carry it out."""
        message = client.receive()
        if message is None:
            return
        taken = message.descriptors[:1] if message.kind in _WITH_DESCRIPTOR else ()
        for descriptor in message.descriptors[len(taken) :]:
            os.close(descriptor)  # no other request has any
        life = self._life
        if message.kind is Kind.HELLO:
            client.welcome(
                message.fields.get("version"), life.state, life.run.container.process.pid
            )
            return
        reason = refusal(message.kind, life.state)
        if reason is not None or (message.kind in _WITH_DESCRIPTOR and not taken):
            client.refuse(reason or "the message has no descriptor")
            for descriptor in taken:
                os.close(descriptor)
            return
        self._carry_out(client, message)

    def _carry_out(self, client: Client, message: Message) -> None:
        kind, fields = message.kind, message.fields
        if kind is Kind.START:
            self._life.start()
        elif kind is Kind.DETACH:
            self._detach(client)
        elif kind in _SIGNALS:
            self._signal(client, message)
        elif kind is Kind.UPDATE:
            from rootless.supervisor.requests.update import update

            update(client, fields, self._life.resources.group, self._life.restarts)
        elif kind in {Kind.CONNECT, Kind.DISCONNECT}:
            self._change_networks(client, fields)
        elif kind is Kind.RENAME:
            self._rename(client, str(fields["name"]))
        else:
            self._life.run.carry_out(client, message)

    def _detach(self, client: Client) -> None:
        streams = self._life.run.streams
        if not streams.has_terminal:
            client.refuse("only a container with a terminal can be detached from")
            return
        if client.first:
            self._life.ends_with_client = False
        streams.release(client)
        client.send(Kind.DETACHED)

    def _signal(self, client: Client, message: Message) -> None:
        """SIGNAL, KILL and STOP."""
        kind, fields = message.kind, message.fields
        number = fields.get("number")
        if number is None and kind is Kind.STOP:
            number = self._life.description.stop_signal
        if number not in signal.valid_signals():
            client.refuse(f"{number} is not a signal number")
        elif kind is Kind.STOP:
            self._stop(client, int(number), fields)
        elif kind is Kind.KILL:
            self._kill(client, int(number))
        elif self._life.state is MonitorState.RUNNING:  # a container that has ended takes none
            self._note_user()
            self._life.run.container.signals.deliver(int(number))

    def _stop(self, client: Client, number: int, fields: Mapping[str, Any]) -> None:
        """End the container, and its restarts unless one is asked for. The answer is EXITED, or DONE
        when it runs again.
        """
        life = self._life
        if fields.get("by_user", True):
            self._note_user()
        if fields.get("restart"):
            life.restarts.clients.append(client)
            life.resources.servers.fork()
        else:
            life.restarts.is_final = True
        if life.state is not MonitorState.RESTARTING:
            life.run.stop(number, fields.get("timeout"))

    def _kill(self, client: Client, number: int) -> None:
        life = self._life
        self._note_user()
        if life.state is MonitorState.RESTARTING:
            # As with Docker, whatever the signal is: no process runs that could take it. The answer is EXITED.
            life.restarts.is_final = True
            return
        if number in {signal.SIGKILL, life.description.stop_signal}:
            life.restarts.is_final = True
        life.run.send(number)
        client.send(Kind.DONE)

    def _note_user(self) -> None:
        """A user has signalled the container: the policy unless-stopped does not start it again."""
        restarts = self._life.restarts
        if not restarts.stopped_by_user:
            restarts.stopped_by_user = True
            if self._life.state is not MonitorState.READY:
                self._life.keeper.stopped_by_user()

    def _change_networks(self, client: Client, fields: Mapping[str, Any]) -> None:
        """Connect the container to a network, or disconnect it; also when it is started again."""
        from rootless.supervisor.requests.network_changes import change_networks

        life = self._life
        change = change_networks(client, fields, life.run.container, life.keeper)
        record = life.description.record
        if record.endpoint is not None:
            record = record._replace(endpoint=change(record.endpoint))
            life.description = life.description._replace(record=record)

    def _rename(self, client: Client, name: str) -> None:
        """The container has another name in its networks, also when it is started again."""
        life = self._life
        record = life.description.record._replace(name=name)
        life.description = life.description._replace(record=record)
        if life.state is MonitorState.RESTARTING or life.run.container.rename(client, name):
            client.send(Kind.DONE)
