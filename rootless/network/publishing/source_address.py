"""Sockets in the container's network namespace whose connections come from the address of the client on the host.

The socket is bound to the client's address, which is none of the namespace's (IP_TRANSPARENT, ip(7)). What the container
answers is routed back to this namespace by a rule for the published port, in place of the way out. A client on one of the
host's loopback addresses is shown with the gateway's address, as with docker: what a service allows to loopback clients is
meant for those inside the container.
"""

from __future__ import annotations

from rootless.light_stdlib import socket
from rootless.syscalls.route_netlink import RouteSocket, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.network.driver import Target

_TABLE = _PRIORITY = 100
_MAIN_TABLE = 254
"""RT_TABLE_MAIN (linux/rtnetlink.h)."""
_GATEWAY_PRIORITY, _DIRECT_PRIORITY = 98, 99
"""Before the rules for ports: to the gateway's address as to clients, to other containers as without rules."""
_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75
"""linux/in.h, linux/in6.h"""
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_MAPPED = "::ffff:"


class SourceAddresses:
    """Made in the container's network namespace. `families` are those in which clients' addresses can be kept."""

    def __init__(self, target: Target, tcp_ports: Iterable[int]) -> None:
        self._target = target
        self._routes = RouteSocket()
        ports = set(tcp_ports)
        self.families: set[int] = set()
        addresses = {socket.AF_INET: target.ipv4, socket.AF_INET6: target.ipv6}
        for family, address in addresses.items():
            if not address:
                continue
            try:
                source = socket.inet_pton(family, address)
                self._routes.add_local_route(family, _TABLE, source)
                for port in ports:
                    for rule in self._rules(family, port):
                        self._add(rule)
            except OSError:
                continue  # a kernel without rules, or without the family
            else:
                self.families.add(family)

    def _rules(self, family: int, port: int) -> list[Rule]:
        """What leads the answers of a TCP port back to this namespace, but not those to other containers."""
        rules = [_rule(family, "tcp", port)]
        for address, prefix in self._target.direct:
            if _family(address) == family:
                packed = socket.inet_pton(family, address)
                rules.append(
                    Rule(family, 0, 0, _MAIN_TABLE, _DIRECT_PRIORITY, packed, prefix=prefix)
                )
        gateways = (self._target.ipv4_gateway, self._target.ipv6_gateway)
        for gateway in gateways if len(rules) > 1 else ():
            if gateway and _family(gateway) == family:
                packed = socket.inet_pton(family, gateway)
                rule = _rule(family, "tcp", port)
                rules.append(rule._replace(priority=_GATEWAY_PRIORITY, address=packed))
        return rules

    def _add(self, rule: Rule) -> None:
        try:
            self._routes.add_rule(rule)
        except FileExistsError:
            pass  # of a process before this one

    def shown(self, client: str) -> str:
        """The address that the container is to see; empty if the client's cannot be shown."""
        if client.startswith("127."):
            return self._target.ipv4_gateway
        if client == "::1":
            return self._target.ipv6_gateway
        return "" if client.startswith(("fe80:", _MAPPED)) else client

    def bind(self, upstream: socket.socket, client: str, port: int) -> bool:
        """Give the socket the client's address and, if it is free, port. False, without effect, where that cannot
        be."""
        family = _family(client)
        if upstream.family != family:
            client, port, family = self._target.ipv4_gateway, 0, socket.AF_INET
        address = self.shown(client)
        if not address or family not in self.families:
            return False
        try:
            if family == socket.AF_INET6:
                upstream.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
            else:
                upstream.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        except OSError:
            return False
        for wanted in (port, 0):
            try:
                upstream.bind((address, wanted))
            except OSError:
                continue
            return True
        return False

    def route_back(self, upstream: socket.socket, port: int) -> Rule | None:
        """Route what a container sends from a UDP port to the client of a socket back to the socket. A rule for the
        port alone would catch what the container itself sends from there to others. None where that cannot be.
        """
        address, peer_port = upstream.getsockname()[:2]
        family = upstream.family
        packed = socket.inet_pton(family, address)
        rule = _rule(family, "udp", port)._replace(address=packed, peer_port=peer_port)
        try:
            self._routes.add_rule(rule)
        except FileExistsError:
            pass
        except OSError:
            return None
        return rule

    def forget(self, rule: Rule) -> None:
        """Undo `route_back`."""
        try:
            self._routes.delete_rule(rule)
        except OSError:
            pass


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _rule(family: int, protocol: str, port: int) -> Rule:
    return Rule(family, _PROTOCOLS[protocol], port, _TABLE, _PRIORITY)
