"""Sending and receiving the messages of the handshake over the socket pair of parent and child."""

from __future__ import annotations

from rootless.light_stdlib import socket
from rootless.runtime.handshake import CLOSED, HandshakeMessage, decode, encode
from rootless.syscalls import descriptors

_LIMIT = 65536


def send(channel: socket.socket, message: HandshakeMessage) -> None:
    """Raises BrokenPipeError when the other side is gone."""
    passed = () if message.descriptor is None else (message.descriptor,)
    descriptors.send(channel, encode(message), passed)


def receive(channel: socket.socket) -> HandshakeMessage:
    """The next message; CLOSED when the other side is gone. A received descriptor is close-on-exec,
    and the caller closes it."""
    try:
        data, received = descriptors.receive(channel, _LIMIT, 1)
    except ConnectionResetError:
        return CLOSED
    if not data:
        return CLOSED
    return decode(data, received[0] if received else None)
