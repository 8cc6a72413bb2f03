"""Copies datagrams between clients of a published UDP port and the container: a socket in the container's network
namespace for each client.
"""

from __future__ import annotations

import struct
import time

from rootless.light_stdlib import socket
from rootless.network.publishing.source_address import SourceAddresses
from rootless.syscalls.route_netlink import Rule
from unionfs.light_types import NamedTuple, OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.publishing.listening import PublishedSocket

_IDLE = 90.0
"""Seconds after which a client that neither sends nor receives is forgotten (docker's proxy)."""
_MOST = 1024
"""Clients of one port; the one that was idle longest makes room."""
_MOST_RULES = 256
"""Clients whose address the container sees: each rule of routing costs every packet a little."""
_SIZE = 65535
_TURNS = 64
_CONTROL = 64
_PKTINFO = {socket.AF_INET: (socket.IPPROTO_IP, 8), socket.AF_INET6: (socket.IPPROTO_IPV6, 50)}
"""IP_PKTINFO (ip(7)) and IPV6_PKTINFO (RFC 3542)."""

if TYPE_CHECKING:
    from typing import TypeAlias

    Control: TypeAlias = tuple[int, int, bytes]


class Flow(NamedTuple):
    """A client: its address, the control message that makes an answer come from the address that it sent to, and its
    socket in the container."""

    key: tuple[object, ...]
    client: tuple[object, ...]
    control: tuple[Control, ...]
    upstream: socket.socket
    rule: Rule | None


class UdpRelay:
    """All clients of one published port."""

    def __init__(
        self, published: PublishedSocket, target: tuple[str, int], sources: SourceAddresses
    ) -> None:
        self._listener, self._target, self._sources = published.socket, target, sources
        self._port = published.port.number
        self._family = published.family
        self._flows: OrderedDict[tuple[object, ...], Flow] = OrderedDict()
        """The one that was idle longest first."""
        self._used: dict[tuple[object, ...], float] = {}
        self._rules = 0

    def descriptors(self) -> dict[int, Flow]:
        return {flow.upstream.fileno(): flow for flow in self._flows.values()}

    def receive(self) -> tuple[list[Flow], list[Flow]]:
        """Pass on what clients have sent. Returns flows that are new, and those that are no more."""
        made: list[Flow] = []
        ended: list[Flow] = []
        for _ in range(_TURNS):
            try:
                data, ancillary, _, client = self._listener.recvmsg(_SIZE, _CONTROL)
            except OSError:
                break
            control = tuple(_answer(self._family, item) for item in ancillary)
            key = (client, control)
            flow = self._flows.get(key)
            if flow is None:
                if len(self._flows) >= _MOST:
                    ended.append(self._end(next(iter(self._flows.values()))))
                try:
                    flow = self._open(key, client, control)
                except OSError:
                    continue  # no descriptors, or the container has no address any more
                made.append(flow)
            self._touch(flow)
            try:
                flow.upstream.send(data)
            except OSError:
                pass  # refused, or too fast for the container: datagrams may be lost
        return made, ended

    def _open(
        self, key: tuple[object, ...], client: tuple[str, int], control: tuple[Control, ...]
    ) -> Flow:
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        upstream = socket.socket(family, kind)
        rule = None
        try:
            if self._rules < _MOST_RULES:
                if self._sources.bind(upstream, client[0], client[1]):
                    rule = self._sources.route_back(upstream, self._port)
                if rule is None:
                    upstream.close()
                    upstream = socket.socket(family, kind)
                else:
                    self._rules += 1
            upstream.connect(self._target)
        except OSError:
            upstream.close()
            raise
        flow = Flow(key, client, control, upstream, rule)
        self._flows[key] = flow
        return flow

    def _touch(self, flow: Flow) -> None:
        self._used[flow.key] = time.monotonic()
        self._flows.move_to_end(flow.key)

    def answer(self, flow: Flow) -> None:
        """Pass on what the container has sent."""
        for _ in range(_TURNS):
            try:
                data = flow.upstream.recv(_SIZE)
            except BlockingIOError:
                break
            except OSError:
                continue  # ECONNREFUSED: nothing listens there
            try:
                self._listener.sendmsg([data], flow.control, 0, flow.client)
            except OSError:
                pass
        self._touch(flow)

    def expire(self) -> list[Flow]:
        """End the flows that have been idle for long; returns them."""
        now = time.monotonic()
        idle = []
        for key, flow in self._flows.items():
            if now - self._used[key] < _IDLE:
                break
            idle.append(flow)
        return [self._end(flow) for flow in idle]

    def _end(self, flow: Flow) -> Flow:
        del self._flows[flow.key]
        del self._used[flow.key]
        if flow.rule is not None:
            self._rules -= 1
            self._sources.forget(flow.rule)
        return flow


def _answer(family: int, received: Control) -> Control:
    """The control message for an answer (struct in_pktinfo, struct in6_pktinfo): the address is the one that the
    client sent to, and the interface left to routing."""
    data = received[2]
    level, kind = _PKTINFO[socket.AF_INET6 if family == socket.AF_INET6 else socket.AF_INET]
    if family == socket.AF_INET6:
        return level, kind, data[:16] + struct.pack("=I", 0)
    return level, kind, struct.pack("=i", 0) + data[8:12] + bytes(4)
