"""Local routes and policy rules, as messages of rtnetlink(7) and linux/fib_rules.h."""

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
    number,
)
from unionfs.light_types import NamedTuple

# Types of messages (linux/rtnetlink.h).
_RTM_NEWROUTE, _RTM_NEWRULE, _RTM_DELRULE = 24, 32, 33

# struct rtmsg (rtnetlink(7), RTM_NEWROUTE) and struct fib_rule_hdr (linux/fib_rules.h): family, lengths of the
# destination's and the source's prefix, tos, table, protocol, scope and type of a route; of a rule, two reserved bytes
# and its action; flags.
_BODY = struct.Struct("=BBBBBBBBI")
_RTPROT_BOOT = 3
_RT_SCOPE_HOST = 254
_RTN_LOCAL = 2
_FR_ACT_TO_TBL = 1
_RTA_OIF, _RTA_PREFSRC, _RTA_TABLE = 4, 7, 15
# linux/fib_rules.h
_FRA_DST, _FRA_PRIORITY, _FRA_TABLE, _FRA_IP_PROTO, _FRA_SPORT_RANGE, _FRA_DPORT_RANGE = (
    1,
    6,
    15,
    22,
    23,
    24,
)

_LENGTHS: dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}


class Rule(NamedTuple):
    """Packets from a port of this machine, to any destination or one, are routed by a table of their own.

    `protocol` is that of IP, 0 for any, and then from any port; `address` packed (inet_pton(3)), of which `prefix` bits
    count, all of them if that is 0; an empty one with port 0 is any.
    """

    family: int
    protocol: int
    port: int
    table: int
    priority: int
    address: bytes = b""
    peer_port: int = 0
    prefix: int = 0


class RouteSocket(NetlinkSocket):
    """A connection to the routing of the calling process's network namespace. Methods raise OSError with what the
    kernel answers: EPERM without CAP_NET_ADMIN, EOPNOTSUPP or EAFNOSUPPORT where it is built without rules.
    """

    def add_local_route(self, family: int, table: int, source: bytes) -> None:
        """ip route replace local default dev lo table TABLE src SOURCE: every address is one of this machine, and what
        is sent there from no particular address comes from `source`, which is packed.
        """
        body = _BODY.pack(family, 0, 0, 0, 0, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
        self.request(
            _RTM_NEWROUTE,
            NEW | NLM_F_REPLACE,
            body,
            (
                number(_RTA_TABLE, table),
                number(_RTA_OIF, socket.if_nametoindex("lo")),
                attribute(_RTA_PREFSRC, source),
            ),
        )

    def add_rule(self, rule: Rule) -> None:
        """ip rule add priority P ipproto N sport PORT [to ADDRESS dport PORT] lookup TABLE (Linux 4.17)."""
        self.request(_RTM_NEWRULE, NEW | NLM_F_EXCL, _rule_body(rule), _rule_attributes(rule))

    def delete_rule(self, rule: Rule) -> None:
        self.request(_RTM_DELRULE, CHANGE, _rule_body(rule), _rule_attributes(rule))


def _rule_body(rule: Rule) -> bytes:
    to = (rule.prefix or _LENGTHS[rule.family]) if rule.address else 0
    return _BODY.pack(rule.family, to, 0, 0, 0, 0, 0, _FR_ACT_TO_TBL, 0)


def _rule_attributes(rule: Rule) -> list[bytes]:
    attributes = [
        number(_FRA_PRIORITY, rule.priority),
        number(_FRA_TABLE, rule.table),
    ]
    if rule.protocol:
        attributes.append(attribute(_FRA_IP_PROTO, struct.pack("=B", rule.protocol)))
        attributes.append(attribute(_FRA_SPORT_RANGE, struct.pack("=HH", rule.port, rule.port)))
    if rule.address:
        attributes.append(attribute(_FRA_DST, rule.address))
    if rule.peer_port:
        attributes.append(
            attribute(_FRA_DPORT_RANGE, struct.pack("=HH", rule.peer_port, rule.peer_port))
        )
    return attributes
