"""What parent and child say to each other between clone and exec, and in which order.
docs/handshake.md draws it.

One message is one packet of a SOCK_SEQPACKET pair: a JSON object with `kind`, at most one
descriptor beside it. The end of the child's side after STARTING is the good news that exec has
closed it.
"""

from __future__ import annotations

from rootless.light_json import dumps, loads
from rootless.light_stdlib import socket
from rootless.syscalls import descriptors
from unionfs.light_types import Enum, NamedTuple

_LIMIT = 65536


class Kind(Enum):
    MAPPED = "mapped"  # parent: the id maps are written
    FUSE = "fuse"  # child: the descriptor of the mounted union
    CONSOLE = "console"  # child: the master of the container's terminal
    READY = "ready"  # child: everything is in place; namespaces may be looked at and configured
    START = "start"  # parent: exec
    FAILED = "failed"  # child: a step failed; nothing follows
    CLOSED = "closed"  # the other side is gone; never sent


class State(Enum):
    """Where the child is, as the parent knows it."""

    MAPPING = "mapping"
    SETTING_UP = "setting up"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"


ORDER: dict[State, dict[Kind, State]] = {
    State.MAPPING: {Kind.MAPPED: State.SETTING_UP, Kind.FAILED: State.FAILED},
    State.SETTING_UP: {
        Kind.FUSE: State.SETTING_UP,
        Kind.CONSOLE: State.SETTING_UP,
        Kind.READY: State.READY,
        Kind.FAILED: State.FAILED,
    },
    State.READY: {Kind.START: State.STARTING},
    State.STARTING: {Kind.CLOSED: State.RUNNING, Kind.FAILED: State.FAILED},
    State.RUNNING: {},
    State.FAILED: {},
}
"""The legal messages of each state and where they lead. CLOSED in any other state means that the
child was killed."""


class Failure(NamedTuple):
    """The step that failed in the child: which part of the start, what it was doing, why, on
    what."""

    stage: str
    step: str
    errno: int
    path: str | None = None


class Message(NamedTuple):
    kind: Kind
    failure: Failure | None = None
    descriptor: int | None = None


class UnexpectedMessageError(Exception):
    """A message that the state does not allow: a bug, or the death of the other side."""


def advance(state: State, kind: Kind) -> State:
    try:
        return ORDER[state][kind]
    except KeyError:
        raise UnexpectedMessageError(f"{kind.value} while {state.value}") from None


def send(channel: socket.socket, message: Message) -> None:
    body: dict[str, object] = {"kind": message.kind.value}
    if message.failure is not None:
        body["failure"] = list(message.failure)
    data = dumps(body)
    descriptors.send(channel, data, () if message.descriptor is None else (message.descriptor,))


def receive(channel: socket.socket) -> Message:
    """The next message; CLOSED when the other side is gone. A received descriptor is close-on-exec
    and the caller's."""
    try:
        data, received = descriptors.receive(channel, _LIMIT, 1)
    except ConnectionResetError:
        return Message(Kind.CLOSED)
    if not data:
        return Message(Kind.CLOSED)
    body = loads(data)
    descriptor = received[0] if received else None
    failure = body.get("failure")
    return Message(Kind(body["kind"]), Failure(*failure) if failure else None, descriptor)
