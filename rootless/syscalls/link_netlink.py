"""Network interfaces, their addresses and routes, as messages of rtnetlink(7): RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE
(linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h).
"""

from __future__ import annotations

import struct

from rootless.light_stdlib import socket
from rootless.syscalls.netlink import (
    CHANGE,
    NEW,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkSocket,
    attribute,
    attributes_of,
    nested,
    number,
    text,
)

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK, _RTM_NEWADDR = 16, 17, 18, 19, 20
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_NEWNEIGH = 24, 25, 28

_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix, flags, scope, index
# struct rtmsg: family, lengths of the destination's and the source's prefix, tos, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, index, state, flags, type

# linux/if_link.h
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = (
    1,
    3,
    4,
    10,
    18,
    28,
)
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_PROTINFO, _IFLA_BRPORT_ISOLATED = 12, 33
_AF_BRIDGE = 7  # linux/socket.h
_VETH_INFO_PEER = 1  # linux/veth.h
# linux/if_addr.h
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_NODAD = 2
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80  # linux/neighbour.h
# linux/rtnetlink.h
_RTA_OIF, _RTA_GATEWAY = 4, 5
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 3, 0, 1
_IFF_UP = 1  # linux/if.h

_BITS: dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}


class LinkSocket(NetlinkSocket):
    """Changes the network namespace that the calling process is in when it is made."""

    def add_bridge(self, name: str, mac_address: bytes, mtu: int = 0) -> None:
        """ip link add NAME address MAC type bridge

        A bridge without an address of its own has the lowest of its ports', and changes it with them
        (net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id).
        """
        self.request(
            _RTM_NEWLINK,
            NEW | NLM_F_EXCL,
            _LINK.pack(0, 0, 0, 0, 0),
            (
                text(_IFLA_IFNAME, name),
                attribute(_IFLA_ADDRESS, mac_address),
                *((number(_IFLA_MTU, mtu),) if mtu else ()),
                nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge")),
            ),
        )

    def add_veth(
        self,
        name: str,
        bridge: int,
        *,
        peer: str,
        mac_address: bytes,
        namespace: int,
        mtu: int = 0,
        isolated: bool = False,
    ) -> None:
        """ip link add NAME master BRIDGE type veth peer name PEER address MAC netns NAMESPACE (veth(4))

        `namespace` is a descriptor of the network namespace of the peer, over which the process needs CAP_NET_ADMIN
        too; `bridge` is the index of a bridge, and `mac_address` is packed. Ports of a bridge that are isolated do not
        reach each other (bridge(8)).
        """
        size = (number(_IFLA_MTU, mtu),) if mtu else ()
        other = _LINK.pack(0, 0, 0, 0, 0) + b"".join(
            (
                text(_IFLA_IFNAME, peer),
                attribute(_IFLA_ADDRESS, mac_address),
                *size,
                number(_IFLA_NET_NS_FD, namespace),
            )
        )
        self.request(
            _RTM_NEWLINK,
            NEW | NLM_F_EXCL,
            _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP),
            (
                text(_IFLA_IFNAME, name),
                *size,
                number(_IFLA_MASTER, bridge),
                nested(
                    _IFLA_LINKINFO,
                    text(_IFLA_INFO_KIND, "veth"),
                    nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, other)),
                ),
            ),
        )
        if isolated:
            port = nested(_IFLA_PROTINFO, attribute(_IFLA_BRPORT_ISOLATED, b"\1"))
            body = _LINK.pack(_AF_BRIDGE, 0, self.index(name), 0, 0)
            self.request(_RTM_SETLINK, CHANGE, body, (port,))

    def set_up(self, index: int) -> None:
        """ip link set INDEX up"""
        self.request(_RTM_NEWLINK, CHANGE, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP))

    def set_master(self, index: int, bridge: int) -> None:
        """ip link set INDEX master BRIDGE up"""
        body = _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP)
        self.request(_RTM_NEWLINK, CHANGE, body, (number(_IFLA_MASTER, bridge),))

    def delete(self, name: str) -> None:
        """ip link delete NAME"""
        body = _LINK.pack(0, 0, 0, 0, 0)
        self.request(_RTM_DELLINK, CHANGE, body, (text(_IFLA_IFNAME, name),))

    def index(self, name: str) -> int:
        """The index of an interface. Raises OSError with ENODEV if there is none."""
        body = self.get(_RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0), (text(_IFLA_IFNAME, name),))
        return int(_LINK.unpack_from(body)[2])

    def activate(self, name: str) -> None:
        """ip link show NAME

        A kernel whose rtnl_getlink calls linkwatch_sync_dev (net/core/rtnetlink.c) has an interface send at once then whose
        carrier has just come; by itself it does so up to a second later (net/core/link_watch.c).
        """
        self.index(name)

    def names(self) -> set[str]:
        """The names of all interfaces."""
        bodies = self.dump(_RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))
        found = (attributes_of(body[_LINK.size :]) for body in bodies)
        return {each[_IFLA_IFNAME].rstrip(b"\0").decode() for each in found}

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """ip address replace ADDRESS/PREFIX dev INDEX nodad"""
        family, packed = _packed(address)
        attributes = [attribute(_IFA_LOCAL, packed), attribute(_IFA_ADDRESS, packed)]
        if family == socket.AF_INET and prefix < 31:
            host = (1 << (32 - prefix)) - 1
            broadcast = (int.from_bytes(packed, "big") | host).to_bytes(4, "big")
            attributes.append(attribute(_IFA_BROADCAST, broadcast))
        flags = _IFA_F_NODAD if family == socket.AF_INET6 else 0
        body = _ADDRESS.pack(family, prefix, flags, 0, index)
        self.request(_RTM_NEWADDR, NEW | NLM_F_REPLACE, body, attributes)

    def add_neighbour(self, index: int, address: str, mac_address: bytes) -> None:
        """ip neighbour replace ADDRESS lladdr MAC dev INDEX nud permanent

        What others on the link say of the address has no effect then (arp(7)).
        """
        family, packed = _packed(address)
        body = _NEIGHBOUR.pack(family, index, _NUD_PERMANENT, 0, 0)
        attributes = (attribute(_NDA_DST, packed), attribute(_NDA_LLADDR, mac_address))
        self.request(_RTM_NEWNEIGH, NEW | NLM_F_REPLACE, body, attributes)

    def set_default_route(self, index: int, gateway: str) -> None:
        """ip route replace default via GATEWAY dev INDEX"""
        self.request(_RTM_NEWROUTE, NEW | NLM_F_REPLACE, *_default_route(index, gateway))

    def delete_default_route(self, index: int, gateway: str) -> None:
        """ip route delete default via GATEWAY dev INDEX; without one, nothing is done."""
        try:
            self.request(_RTM_DELROUTE, CHANGE, *_default_route(index, gateway))
        except ProcessLookupError:
            pass  # ESRCH


def _default_route(index: int, gateway: str) -> tuple[bytes, tuple[bytes, ...]]:
    family, packed = _packed(gateway)
    body = _ROUTE.pack(
        family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0
    )
    return body, (attribute(_RTA_GATEWAY, packed), number(_RTA_OIF, index))


def _packed(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)
