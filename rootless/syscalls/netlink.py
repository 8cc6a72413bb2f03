"""Sockets of netlink(7): a request is a header (struct nlmsghdr, linux/netlink.h), the body of the message's type, and
attributes (struct nlattr). The kernel answers each with an acknowledgement that holds an errno.
"""

from __future__ import annotations

import os
import struct

from rootless.light_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x100, 0x200, 0x400
NLM_F_APPEND = 0x800
_NLM_F_DUMP = 0x300  # NLM_F_ROOT | NLM_F_MATCH
NEW = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
CHANGE = NLM_F_REQUEST | NLM_F_ACK
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLA_F_NESTED = 0x8000
_TYPE_BITS = 0x3FFF
"""Those of an attribute's type (NLA_TYPE_MASK)."""
_BUFFER = 1 << 16


class NetlinkSocket:
    """A connection to the network namespace that the calling process is in when it is made, also after the process has
    entered another one. Methods raise OSError with what the kernel answers: EPERM without CAP_NET_ADMIN.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes, attributes: Iterable[bytes] = ()) -> None:
        """Send one message and wait for its acknowledgement."""
        self._sequence += 1
        self._socket.send(message(kind, flags, self._sequence, body + b"".join(attributes)))
        self._acknowledged()

    def batch(self, messages: Iterable[tuple[int, int, bytes]]) -> None:
        """Send messages in one packet, each as type, flags and body, and wait for the acknowledgement of those that ask
        for one.
        """
        packet, count = [], 0
        for kind, flags, body in messages:
            self._sequence += 1
            packet.append(message(kind, flags, self._sequence, body))
            count += 1 if flags & NLM_F_ACK else 0
        self._socket.send(b"".join(packet))
        for _ in range(count):
            self._acknowledged()

    def get(self, kind: int, body: bytes, attributes: Iterable[bytes] = ()) -> bytes:
        """The body of the one message that answers."""
        self._sequence += 1
        payload = body + b"".join(attributes)
        self._socket.send(message(kind, NLM_F_REQUEST, self._sequence, payload))
        answer = self._socket.recv(_BUFFER)
        _check_error(answer)
        return answer[_HEADER.size : _HEADER.unpack_from(answer)[0]]

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """The bodies of all messages that answer."""
        self._sequence += 1
        self._socket.send(message(kind, NLM_F_REQUEST | _NLM_F_DUMP, self._sequence, body))
        while True:
            answer, offset = self._socket.recv(_BUFFER), 0
            while offset < len(answer):
                length, answered, _, _, _ = _HEADER.unpack_from(answer, offset)
                if answered == _NLMSG_DONE:
                    return
                _check_error(answer[offset:])
                yield answer[offset + _HEADER.size : offset + length]
                offset += length + (-length % 4)

    def _acknowledged(self) -> None:
        answer = self._socket.recv(_BUFFER)
        if _HEADER.unpack_from(answer)[1] != _NLMSG_ERROR:
            raise OSError(0, "netlink: an answer without an acknowledgement")
        _check_error(answer)


def _check_error(answer: bytes) -> None:
    """Raise OSError for a message of NLMSG_ERROR whose errno is not 0."""
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if number:
            raise OSError(number, os.strerror(number))


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """A whole message, padded to 4 bytes (NLMSG_ALIGN)."""
    header = _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0)
    return header + payload + b"\0" * (-len(payload) % 4)


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to 4 bytes (NLA_ALIGN)."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits in the machine's byte order."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string, with a zero byte."""
    return attribute(kind, value.encode() + b"\0")


def attributes_of(data: bytes) -> dict[int, bytes]:
    """The attributes in a message after its body, by type."""
    found, offset = {}, 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_BITS] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found
