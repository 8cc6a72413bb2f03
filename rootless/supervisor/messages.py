"""Messages between a container's monitor and its clients: a packet of a Unix socket each, a JSON
object with `kind`, descriptors beside it. `protocol` has the kinds and their order.
"""

from __future__ import annotations

import os
import sys

from rootless.light_json import dumps, loads
from rootless.light_stdlib import socket
from rootless.supervisor.protocol import Kind, ProtocolError
from rootless.syscalls import descriptors as packets
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMIT = 1 << 16
_DESCRIPTORS = 4
_UCRED = 12
"""Bytes of struct ucred: pid, uid, gid."""


class Message(NamedTuple):
    """`fields` are those of the kind, as JSON has them. `descriptors` are close-on-exec, and the
    receiver's to close.
    """

    kind: Kind
    fields: dict[str, Any]
    descriptors: tuple[int, ...] = ()


class Connection:
    """One end of a connection. The descriptor is close-on-exec."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Connection, Connection]:
        """Two connected ends."""
        left, right = packets.pair()
        return cls(left), cls(right)

    @classmethod
    def inherited(cls, descriptor: int) -> Connection:
        """The connection that a parent process left open across exec."""
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=descriptor))

    def detached(self) -> socket.socket:
        """The socket, for another protocol. The connection is of no use afterwards."""
        return self._socket

    def fileno(self) -> int:
        return self._socket.fileno()

    def peer_uid(self) -> int:
        """The user who made the other end (SO_PEERCRED)."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED)
        return int.from_bytes(credentials[4:8], sys.byteorder)

    def send(self, kind: Kind, *descriptors: int, **fields: object) -> bool:
        """Send a message; the descriptors stay the caller's. False if the other side is gone, or
        does not read: nothing is waited for.
        """
        data = dumps({"kind": kind.value, **fields})
        try:
            packets.send(self._socket, data, descriptors, socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return False
        return True

    def receive(self) -> Message | None:
        """The next message, waiting for it; None when the other side is gone.

        Raises ProtocolError for not a message of the protocol.
        """
        try:
            data, descriptors = packets.receive(self._socket, _LIMIT, _DESCRIPTORS)
        except ConnectionResetError:
            # The other side closed and had not read every message. The kernel reports that first, and then
            # gives what the other side had sent before (__skb_try_recv_datagram).
            data, descriptors = packets.receive(self._socket, _LIMIT, _DESCRIPTORS)
        if not data:
            return None
        try:
            fields = loads(data)
            return Message(Kind(fields.pop("kind")), fields, tuple(descriptors))
        except (ValueError, AttributeError, KeyError, TypeError):
            for descriptor in descriptors:
                os.close(descriptor)
            raise ProtocolError(f"not a message of the protocol: {data[:80]!r}") from None

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()


def send_failure(end: socket.socket, text: str) -> None:
    """Report to the starter of a program why the program ends."""
    try:
        end.send(text.encode(errors="replace")[:4096], socket.MSG_NOSIGNAL)
    except OSError:
        pass  # the starter has ended


def close_all_but(kept: tuple[int, ...]) -> None:
    """Close every descriptor above standard error but these; for a process that was just forked."""
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = max(low, descriptor + 1)
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
