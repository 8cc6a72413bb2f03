"""The clients of a monitor: the messages that it accepts from each in its state, and those that it has sent."""

from __future__ import annotations

import select

from rootless.supervisor.control_socket import accept
from rootless.supervisor.protocol import (
    VERSION,
    ClientState,
    Kind,
    MonitorState,
    ProtocolError,
    after_client,
    after_monitor,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.light_stdlib import socket
    from rootless.supervisor.messages import Connection, Message

_LONGEST_WAIT = 86_400_000.0
"""Milliseconds: those of poll(2) fit in an int, which is 24 days."""
_MAXIMUM = 64
"""Clients at one time: each is a descriptor of the monitor."""


class Client:
    """One connection. `first` is the one that the monitor was started with."""

    def __init__(self, connection: Connection, *, first: bool = False) -> None:
        self.connection = connection
        self.first = first
        self.is_open = True
        self._sent = MonitorState.CONNECTED
        self._state = ClientState.CONNECTED

    @property
    def is_greeted(self) -> bool:
        return self._state is not ClientState.CONNECTED

    def fileno(self) -> int:
        return self.connection.fileno()

    @property
    def has_request(self) -> bool:
        """Whether `receive` returns at once."""
        if not self.is_open:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def send(self, kind: Kind, *descriptors: int, **fields: object) -> bool:
        """Send a message in the order of the protocol. A client that does not take it is closed; one that has gone is when what
        it sent before has been received. Returns whether it was sent.
        """
        if not self.is_open:
            return False
        self._sent = after_monitor(self._sent, kind)
        was_sent = self.connection.send(kind, *descriptors, **fields)
        if not was_sent and not self._has_gone():
            self.close()
        return was_sent

    def _has_gone(self) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def refuse(self, reason: str) -> None:
        self.send(Kind.REFUSED, text=reason)

    def receive(self) -> Message | None:
        """The next request, waiting for it. None when the client has gone, by itself or because
        it sent what is not allowed, which is answered by REFUSED.
        """
        try:
            message = self.connection.receive()
            if message is not None:
                self._state = after_client(self._state, message.kind)
                return message
        except ProtocolError as error:
            self.refuse(f"protocol error: {error}")
        self.close()
        return None

    def welcome(self, version: object, state: MonitorState, pid: int) -> None:
        """Answer HELLO: bring the client to `state`, or refuse another version and close."""
        if version != VERSION:
            self.refuse(
                f"the container's monitor speaks version {VERSION} of the protocol and not "
                f"{version}: use the version of rootless that started the container"
            )
            self.close()
            return
        self.send(Kind.WELCOME, version=VERSION)
        if state in {MonitorState.READY, MonitorState.RUNNING}:
            self.send(Kind.READY, pid=pid)
        if state is MonitorState.RUNNING:
            self.send(Kind.RUNNING, pid=pid)

    def close(self) -> None:
        """Idempotent."""
        if self.is_open:
            self.is_open = False
            self.connection.close()


class Clients:
    """All connections of a monitor. `listener` is its listening socket, once it has one."""

    def __init__(self, first: Client) -> None:
        self.listener: socket.socket | None = None
        self._clients = [first]

    def fileno(self) -> int:
        """The descriptor of the listening socket."""
        assert self.listener is not None
        return self.listener.fileno()

    def open(self) -> list[Client]:
        self._clients = [client for client in self._clients if client.is_open]
        return self._clients

    def descriptors(self) -> tuple[int, ...]:
        """Those of the listening socket and of the connections."""
        return (self.fileno(), *map(Client.fileno, self.open()))

    def wait(
        self,
        descriptors: Sequence[int],
        milliseconds: float | None,
        events: Mapping[int, int] | None = None,
    ) -> set[int]:
        """Those of the descriptors, of the clients' and of the listening socket that are readable, and
        those of `events` for which their event has come (poll(2)). None after the time, or after a day.
        """
        poll = select.poll()
        for descriptor in (*descriptors, *self.descriptors()):
            poll.register(descriptor, select.POLLIN)
        for descriptor, event in (events or {}).items():
            poll.register(descriptor, event)
        limit = None if milliseconds is None else min(milliseconds, _LONGEST_WAIT)
        return {descriptor for descriptor, _ in poll.poll(limit)}

    def take(self, ready: set[int]) -> list[Client]:
        """Those that have sent something, after taking a connection that waits. `ready`: what `wait` has returned."""
        clients = {client.fileno(): client for client in self.open()}
        found = [clients[descriptor] for descriptor in ready.intersection(clients)]
        if self.fileno() in ready:
            new = self._accept()
            if new is not None and new.has_request:
                found.append(new)
        return found

    def _accept(self) -> Client | None:
        """Take one connection from the listening socket."""
        assert self.listener is not None
        connection = accept(self.listener)
        if connection is None:
            return None
        client = Client(connection)
        if len(self.open()) >= _MAXIMUM:
            client.refuse("the container has too many clients")
            client.close()
            return None
        self._clients.append(client)
        return client

    def broadcast(self, kind: Kind, **fields: object) -> None:
        """Send a message to every client that has said HELLO."""
        for client in self.open():
            if client.is_greeted:
                client.send(kind, **fields)

    def end(self, kind: Kind, kept: Sequence[Client] = (), **fields: object) -> None:
        """Send the last message to every client that has said HELLO, but for those of `kept`, and
        close their connections.
        """
        for client in self.open():
            if client.is_greeted and client not in kept:
                client.send(kind, **fields)
                client.close()
