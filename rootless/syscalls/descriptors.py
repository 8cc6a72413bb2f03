"""Messages with descriptors beside them over a Unix socket (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import struct

from rootless.light_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep packets apart; both close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, data: bytes, descriptors: Sequence[int] = (), flags: int = 0) -> None:
    """One packet. Raises BrokenPipeError, without a signal, if the other side is gone."""
    rights = struct.pack(f"{len(descriptors)}i", *descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    end.sendmsg([data], ancillary, socket.MSG_NOSIGNAL | flags)


def receive(end: socket.socket, size: int, count: int) -> tuple[bytes, list[int]]:
    """One packet of up to `size` bytes, and up to `count` descriptors, close-on-exec and the
    caller's. No bytes mean that the other side is gone."""
    data, ancillary, _, _ = end.recvmsg(size, socket.CMSG_SPACE(4 * count), socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(rights) // 4
            descriptors += struct.unpack(f"{whole}i", rights[: 4 * whole])
    return data, descriptors
