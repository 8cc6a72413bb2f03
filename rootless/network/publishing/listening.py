"""Sockets of the host for published ports. They are bound before the container is made: one that is taken is an error in
time, and connections wait until the container is there.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import InUseError, PrivilegedPortError, RootlessError
from rootless.light_stdlib import socket
from rootless.network.options import PublishedPort
from rootless.network.ports import shown_address
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless.network.options import PortRequest

_BACKLOG = 4096
"""Connections that wait to be accepted; the kernel's limit, net.core.somaxconn, may be lower (listen(2))."""
_ANY = ("0.0.0.0", "::")
_TRIES = 16
"""How often a free port is looked for that is free for both families."""
_UNAVAILABLE = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_IPV6_PKTINFO, _IP_PKTINFO = 49, 8
"""IPV6_RECVPKTINFO (ipv6(7)) and IP_PKTINFO (ip(7)): which address of the host a datagram was sent to."""


class PublishedSocket(NamedTuple):
    """A bound socket, which listens if it is of TCP."""

    port: PublishedPort
    socket: socket.socket

    @property
    def family(self) -> int:
        return socket.AF_INET6 if ":" in self.port.address else socket.AF_INET


class TakenPortError(Exception):
    """Why a port cannot be bound."""

    def __init__(self, address: str, port: int, protocol: str, error: OSError) -> None:
        super().__init__(error.strerror)
        self.address, self.port, self.protocol, self.error = address, port, protocol, error


def listen(requests: Iterable[PortRequest], what: str) -> list[PublishedSocket]:
    """Sockets for what was asked for: two where no address was. `what` names the container in errors.

    Raises InUseError, PrivilegedPortError, RootlessError; nothing stays bound then.
    """
    made: list[PublishedSocket] = []
    try:
        for request in requests:
            made += _listen(request)
    except TakenPortError as taken:
        close(made)
        raise _error(taken, what) from None
    return made


def close(sockets: Sequence[PublishedSocket]) -> None:
    """Free the ports."""
    for each in sockets:
        each.socket.close()


def _listen(request: PortRequest) -> list[PublishedSocket]:
    if not request.first:
        return _listen_anywhere(request)
    for port in range(request.first, request.last):
        try:
            return _bind_all(request, port)
        except TakenPortError as taken:
            if taken.error.errno != errno.EADDRINUSE:
                raise
    return _bind_all(request, request.last)


def _listen_anywhere(request: PortRequest) -> list[PublishedSocket]:
    for _ in range(_TRIES):
        try:
            return _bind_all(request, 0)
        except TakenPortError as taken:
            if taken.error.errno != errno.EADDRINUSE or not taken.port:
                raise
    return _bind_all(request, 0)


def _bind_all(request: PortRequest, port: int) -> list[PublishedSocket]:
    """With port 0 the first address decides the port of the others."""
    made: list[PublishedSocket] = []
    for address in (request.address,) if request.address else _ANY:
        try:
            one = _bind(address, port, request.protocol)
        except OSError as error:
            if made and error.errno in _UNAVAILABLE:
                continue  # the host has no IPv6
            close(made)
            raise TakenPortError(address, port, request.protocol, error) from None
        port = int(one.getsockname()[1])
        made.append(
            PublishedSocket(PublishedPort(request.number, request.protocol, address, port), one)
        )
    return made


def _bind(address: str, port: int, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    is_tcp = protocol == "tcp"
    kind = socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_tcp:
            # Connections of an earlier container that are in TIME_WAIT do not keep the port (tcp(7)).
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_PKTINFO, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        made.bind((address, port))
        if is_tcp:
            made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _error(taken: TakenPortError, what: str) -> RootlessError:
    """Docker's words."""
    where = shown_address(taken.address, taken.port)
    prefix = f"failed to set up container networking: driver failed programming external connectivity on endpoint {what}: "
    number = taken.error.errno
    if number in {errno.EACCES, errno.EPERM}:
        first = _first_unprivileged()
        return PrivilegedPortError(
            f"{prefix}cannot expose privileged port {taken.port}, you can add "
            f"'net.ipv4.ip_unprivileged_port_start={taken.port}' to /etc/sysctl.conf (currently {first}), or choose "
            f"a larger port number (>= {first})"
        )
    if number == errno.EADDRINUSE:
        from rootless.network.publishing.port_holder import port_holder

        holder = port_holder(taken.address, taken.port, taken.protocol)
        return InUseError(
            f"{prefix}Bind for {where} failed: port is already allocated",
            hint=f"it is held by {holder}" if holder else None,
        )
    reason = os.strerror(number or errno.EIO).lower()
    return RootlessError(f"{prefix}failed to bind host port {where}/{taken.protocol}: {reason}")


def _first_unprivileged() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024
