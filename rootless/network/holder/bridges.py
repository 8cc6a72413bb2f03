"""The network namespace of all networks of a user, as the kernel has it: a bridge for each network, a veth pair for each
container's place in one, and rules of nf_tables.

What the rules let pass from one interface to another is what a container in a network that is not internal sends to the
way out, and the answers to that. Containers of one network reach each other without them, over the bridge.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import HostSupportError
from rootless.light_stdlib import socket
from rootless.network.defined.addresses import mac_address_of
from rootless.network.defined.driver_options import connects_containers, masquerades, sysctls_of
from rootless.network.setup import INTERFACE, Addresses
from rootless.syscalls import nftables, processes
from rootless.syscalls.link_netlink import LinkSocket
from rootless.syscalls.nftables import Nftables, interface_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.network.defined.record import NetworkRecord
    from rootless.network.endpoint import Assigned

WAY_OUT = INTERFACE
"""The interface of the helper program."""
WAY_OUT_IPV4 = Addresses("198.18.255.100", 24, "198.18.255.2", "198.18.255.3")
"""In a range that networks of organizations do not have (RFC 2544, appendix C.2.2)."""
WAY_OUT_IPV6 = Addresses("fdd7:52ab:1c9f::64", 64, "fdd7:52ab:1c9f::2", "fdd7:52ab:1c9f::3")
_OUTSIDE, _HOST_USERS = 1, 2
_SETS = {_OUTSIDE: "outside", _HOST_USERS: "host-users"}
"""Bridges of networks with a way out, and containers that may reach the host's loopback addresses."""
_MISSING = frozenset({errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT, errno.EAFNOSUPPORT})
_MULTICAST = b"\xff"
"""The first byte of such an address (RFC 4291, section 2.7)."""
_DNS_PORT = 53
_BACKLOG = 128


class Bridges:
    """Made in a network namespace that is new. Methods raise OSError; HostSupportError for a kernel that lacks a part."""

    def __init__(self) -> None:
        self._namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._links = LinkSocket()
        self._links.set_up(self._links.index("lo"))
        _set("net/ipv4/ip_forward", "1")
        _set("net/ipv6/conf/all/forwarding", "1")
        # Frames between two ports of a bridge are not for the rules (net/bridge/br_netfilter_hooks.c).
        for family in ("ip", "ip6", "arp"):
            _set(f"net/bridge/bridge-nf-call-{family}tables", "0")
        self._rules = _rules()
        self._checks_ipv6_sources = False
        self._indexes: dict[str, int] = {}

    @property
    def namespace(self) -> int:
        """A descriptor of the network namespace."""
        return self._namespace

    def add(self, record: NetworkRecord) -> None:
        """The bridge of a network, with its gateway's addresses. Its MAC address does not change with its ports: containers
        would not reach the gateway until they had noticed.
        """
        if record.subnet(ipv6=True) is not None:
            self._check_ipv6_sources(record)
        name = record.bridge
        try:
            self._links.add_bridge(name, _packed(mac_address_of(record.resolver)), record.mtu)
        except OSError as error:
            if error.errno in _MISSING:
                raise HostSupportError(
                    f"cannot make network {record.name}: the kernel has no bridges (CONFIG_BRIDGE)"
                ) from None
            raise
        index = self._links.index(name)
        _set(f"net/ipv4/conf/{name}/rp_filter", "1")
        _set(f"net/ipv6/conf/{name}/accept_ra", "0")
        # For a second the bridge would not look for a container's MAC address: no other interface has the bridge's addresses.
        _set(f"net/ipv6/conf/{name}/accept_dad", "0")
        for subnet in record.subnets:
            self._links.add_address(index, subnet.effective_gateway, subnet.range.prefix)
        self._links.set_up(index)
        if _leads_outside(record):
            self._rules.add_elements(_SETS[_OUTSIDE], [interface_name(name)])
            self._rules.commit()
        self._indexes[record.id] = index

    def _check_ipv6_sources(self, record: NetworkRecord) -> None:
        """Drop packets whose source is not of the network that they come from, as rp_filter does for IPv4. Raises
        HostSupportError.
        """
        if self._checks_ipv6_sources:
            return
        rules = self._rules
        rules.add_chain(
            "sources", "filter", nftables.PREROUTING, nftables.FILTER_PRIORITY, accept=True
        )
        # Neighbours that have no address yet send to multicast addresses.
        rules.add_rule(
            "sources",
            nftables.meta(nftables.META_NFPROTO),
            nftables.equals(bytes([nftables.NFPROTO_IPV6])),
            nftables.payload(nftables.IPV6_DESTINATION, 1),
            nftables.equals(_MULTICAST, inverted=True),
            nftables.interface_of_source(),
            nftables.equals(bytes(4)),
            nftables.drop(),
        )
        try:
            rules.commit()
        except OSError as error:
            raise HostSupportError(
                f"cannot make network {record.name}: the kernel cannot check the sources of IPv6 packets "
                f"(CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV6): {(error.strerror or '').lower()}"
            ) from None
        self._checks_ipv6_sources = True

    def remove(self, record: NetworkRecord) -> None:
        """Undo `add`."""
        if _leads_outside(record):
            self._rules.delete_elements(_SETS[_OUTSIDE], [interface_name(record.bridge)])
            self._rules.commit()
        self._links.delete(record.bridge)
        del self._indexes[record.id]

    def connect(
        self, record: NetworkRecord, place: Assigned, namespace: int, options: Mapping[str, str]
    ) -> None:
        """Give a container, whose network namespace the descriptor is of, its interface in a network. `options` are those
        of the driver for the container. Raises UsageError for one that makes no sense.
        """
        sysctls = sysctls_of(options, place.interface)
        inside = self._enter(namespace)
        try:
            if place.interface in inside.names():
                # Its bridge is gone with a holder that was killed, and it goes too: the kernel removes it in the background
                # (net/core/net_namespace.c, cleanup_net).
                _delete(inside, place.interface)
            self._links.add_veth(
                port_name(place),
                self._indexes[record.id],
                peer=place.interface,
                mac_address=_packed(place.mac_address),
                namespace=namespace,
                mtu=record.mtu,
                isolated=not connects_containers(record.options),
            )
            index = inside.index(place.interface)
            if not place.ipv6_address:
                sysctls = {f"net/ipv6/conf/{place.interface}/disable_ipv6": "1", **sysctls}
            if sysctls:
                self._set_inside(namespace, sysctls)
            for address, prefix in (
                (place.address, place.prefix),
                (place.ipv6_address, place.ipv6_prefix),
            ):
                if address:
                    inside.add_address(index, address, prefix)
            inside.set_up(index)
            # The first port is the carrier of the bridge, which else drops its first answers.
            for name in (port_name(place), record.bridge):
                self._links.activate(name)
            # Another container could say that it is the gateway, and answer names in its place.
            for subnet in record.subnets:
                mac_address = _packed(mac_address_of(record.resolver))
                inside.add_neighbour(index, subnet.effective_gateway, mac_address)
        finally:
            inside.close()

    def _enter(self, namespace: int) -> LinkSocket:
        """A connection to another network namespace."""
        processes.setns(namespace, processes.CLONE_NEWNET)
        try:
            return LinkSocket()
        finally:
            processes.setns(self._namespace, processes.CLONE_NEWNET)

    def _set_inside(self, namespace: int, sysctls: Mapping[str, str]) -> None:
        processes.setns(namespace, processes.CLONE_NEWNET)
        try:
            for path, value in sysctls.items():
                _set(path, value)
        finally:
            processes.setns(self._namespace, processes.CLONE_NEWNET)

    def interfaces(self, namespace: int) -> set[str]:
        """The names of the interfaces in a container's network namespace."""
        inside = self._enter(namespace)
        try:
            return inside.names()
        finally:
            inside.close()

    def route(self, place: Assigned, namespace: int) -> None:
        """Have what a container sends elsewhere leave by one of its places."""
        inside = self._enter(namespace)
        try:
            index = inside.index(place.interface)
            for gateway in (place.gateway, place.ipv6_gateway):
                if gateway:
                    inside.set_default_route(index, gateway)
        finally:
            inside.close()

    def unroute(self, place: Assigned, namespace: int) -> None:
        """Undo `route`."""
        inside = self._enter(namespace)
        try:
            index = inside.index(place.interface)
            for gateway in (place.gateway, place.ipv6_gateway):
                if gateway:
                    inside.delete_default_route(index, gateway)
        finally:
            inside.close()

    def disconnect(self, place: Assigned) -> None:
        """Undo `connect`, also if the container's namespace has gone."""
        _delete(self._links, port_name(place))

    def allow_host(self, address: str, *, allowed: bool) -> None:
        """Let the container with an address reach the host's loopback addresses at the gateway of the way out, or no
        longer."""
        key = [socket.inet_pton(socket.AF_INET, address)]
        if allowed:
            self._rules.add_elements(_SETS[_HOST_USERS], key)
        else:
            self._rules.delete_elements(_SETS[_HOST_USERS], key)
        self._rules.commit()

    def listen(self, record: NetworkRecord) -> list[socket.socket]:
        """Sockets for the DNS of a network, at its gateway: of UDP and of TCP for each address. They take what comes
        from the network's own bridge."""
        made = []
        for subnet in record.subnets:
            family = socket.AF_INET6 if subnet.is_ipv6 else socket.AF_INET
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(
                    socket.SOL_SOCKET, socket.SO_BINDTODEVICE, record.bridge.encode() + b"\0"
                )
                one.bind((subnet.effective_gateway, _DNS_PORT))
                if kind == socket.SOCK_STREAM:
                    one.listen(_BACKLOG)
                made.append(one)
        return made


def _delete(links: LinkSocket, name: str) -> None:
    """Delete an interface, if it is there."""
    try:
        links.delete(name)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _leads_outside(record: NetworkRecord) -> bool:
    return not record.is_internal and masquerades(record.options)


def _packed(mac_address: str) -> bytes:
    return bytes.fromhex(mac_address.replace(":", ""))


def port_name(place: Assigned) -> str:
    """The bridge's end of a veth pair: at most 15 bytes (IFNAMSIZ)."""
    return f"veth{place.endpoint_id[:11]}"


def _rules() -> Nftables:
    rules = Nftables("rootless")
    rules.add_table()
    rules.add_set(_SETS[_OUTSIDE], _OUTSIDE, len(interface_name("")))
    rules.add_set(_SETS[_HOST_USERS], _HOST_USERS, 4)
    rules.add_chain("forward", "filter", nftables.FORWARD, nftables.FILTER_PRIORITY, accept=False)
    leaves = (nftables.meta(nftables.META_OIFNAME), nftables.equals(interface_name(WAY_OUT)))
    rules.add_rule(
        "forward",
        *nftables.connection_state_in(nftables.ESTABLISHED_OR_RELATED),
        nftables.accept(),
    )
    # Of no connection, for example outside its window: it would leave with the container's address, which the program of the
    # way out does not know, and its reset would end the connection.
    rules.add_rule("forward", *nftables.connection_state_in(nftables.INVALID), nftables.drop())
    gateway = socket.inet_pton(socket.AF_INET, WAY_OUT_IPV4.gateway)
    rules.add_rule(
        "forward",
        nftables.meta(nftables.META_NFPROTO),
        nftables.equals(bytes([nftables.NFPROTO_IPV4])),
        nftables.payload(nftables.IPV4_DESTINATION, 4),
        nftables.equals(gateway),
        nftables.payload(nftables.IPV4_SOURCE, 4),
        nftables.is_in(_SETS[_HOST_USERS], _HOST_USERS, inverted=True),
        nftables.drop(),
    )
    rules.add_rule(
        "forward",
        nftables.meta(nftables.META_NFPROTO),
        nftables.equals(bytes([nftables.NFPROTO_IPV6])),
        nftables.payload(nftables.IPV6_DESTINATION, 16),
        nftables.equals(socket.inet_pton(socket.AF_INET6, WAY_OUT_IPV6.gateway)),
        nftables.drop(),
    )
    rules.add_rule(
        "forward",
        *leaves,
        nftables.meta(nftables.META_IIFNAME),
        nftables.is_in(_SETS[_OUTSIDE], _OUTSIDE),
        nftables.accept(),
    )
    rules.add_chain(
        "postrouting", "nat", nftables.POSTROUTING, nftables.SRCNAT_PRIORITY, accept=True
    )
    rules.add_rule("postrouting", *leaves, nftables.masquerade())
    try:
        rules.commit()
    except OSError as error:
        raise HostSupportError(
            "cannot make a network: the kernel has no nf_tables with masquerading (CONFIG_NF_TABLES_INET, "
            f"CONFIG_NFT_MASQ): {(error.strerror or '').lower()}"
        ) from None
    return rules


def _set(path: str, value: str) -> None:
    """Set a sysctl of the network namespace that this process is in; one that the kernel does not have is left."""
    try:
        with open(f"/proc/sys/{path}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        pass
