"""The messages of parent and child between clone and exec, and their legal order. Pure; docs/handshake.md has a
diagram.

One message is one packet of a SOCK_SEQPACKET pair: a JSON object with `kind`, and at most one
descriptor beside it. In the state STARTING the end of the child's side means that exec has closed
it: the command runs.
"""

from __future__ import annotations

import sys

from rootless.light_json import dumps, loads
from rootless.runtime.failure import Failure
from unionfs.light_types import Enum, NamedTuple


class MessageKind(Enum):
    NAMESPACE = "namespace"  # to such a process: the user namespace to be below, if there is one
    TREE = "tree"  # to such a process: the shared mount of its image
    UNSHARED = "unshared"  # a process that becomes the container's: it is in its namespaces
    MAPPED = "mapped"  # parent: the id maps are written
    FUSE = "fuse"  # child: the descriptor of the mounted union
    CONSOLE = "console"  # child: the master of the container's terminal
    JOINED = "joined"  # joiner: the pidfd of a process in a running container
    READY = "ready"  # child: everything is in place; namespaces may be looked at and configured
    START = "start"  # parent: exec
    LISTENER = "listener"  # child: that of a seccomp filter with notifications
    FAILED = "failed"  # child: a step failed; nothing follows
    CLOSED = "closed"  # the other side is gone; never sent


class State(Enum):
    """Where the child is, as the parent knows it."""

    CHOOSING = "choosing"  # this state and the next only of a process that becomes the container's
    UNSHARING = "unsharing"
    MAPPING = "mapping"
    SETTING_UP = "setting up"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"


ORDER: dict[State, dict[MessageKind, State]] = {
    State.CHOOSING: {MessageKind.NAMESPACE: State.UNSHARING},
    State.UNSHARING: {
        MessageKind.TREE: State.UNSHARING,
        MessageKind.UNSHARED: State.MAPPING,
        MessageKind.FAILED: State.FAILED,
    },
    State.MAPPING: {MessageKind.MAPPED: State.SETTING_UP, MessageKind.FAILED: State.FAILED},
    State.SETTING_UP: {
        MessageKind.FUSE: State.SETTING_UP,
        MessageKind.CONSOLE: State.SETTING_UP,
        MessageKind.READY: State.READY,
        MessageKind.FAILED: State.FAILED,
    },
    State.READY: {MessageKind.START: State.STARTING},
    State.STARTING: {
        MessageKind.LISTENER: State.STARTING,
        MessageKind.CLOSED: State.RUNNING,
        MessageKind.FAILED: State.FAILED,
    },
    State.RUNNING: {},
    State.FAILED: {},
}
"""The legal messages of each state and where they lead. CLOSED in any other state means that the
child was killed."""


class HandshakeMessage(NamedTuple):
    kind: MessageKind
    failure: Failure | None = None
    descriptor: int | None = None


class UnexpectedMessageError(Exception):
    """A message that the state does not allow: a bug, or the death of the other side."""


def advance(state: State, kind: MessageKind) -> State:
    try:
        return ORDER[state][kind]
    except KeyError:
        raise UnexpectedMessageError(f"{kind.value} while {state.value}") from None


CLOSED = HandshakeMessage(MessageKind.CLOSED)


def encode(message: HandshakeMessage) -> bytes:
    """The packet of a message, its descriptor apart."""
    body: dict[str, object] = {"kind": message.kind.value}
    if message.failure is not None:
        body["failure"] = list(message.failure)
    return dumps(body)


def decode(packet: bytes, descriptor: int | None) -> HandshakeMessage:
    """The message of a packet and of the descriptor that came with it.

    One that is not JSON is the trampoline's: errno in four bytes, and the path that exec failed on.
    """
    if not packet.startswith(b'{"'):
        number = int.from_bytes(packet[:4], sys.byteorder)
        path = packet[4:].decode(errors="surrogateescape")
        return HandshakeMessage(
            MessageKind.FAILED, Failure("exec", "exec", number, path), descriptor
        )
    body = loads(packet)
    failure = body.get("failure")
    return HandshakeMessage(
        MessageKind(body["kind"]), Failure(*failure) if failure else None, descriptor
    )
