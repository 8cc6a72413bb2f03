"""Requests of rtnetlink(7): a header (struct nlmsghdr, linux/netlink.h), the body of the message's type, and attributes
(struct rtattr, linux/rtnetlink.h). The kernel answers each with an acknowledgement that holds an errno.
"""

from __future__ import annotations

import os
import struct

from rootless.light_stdlib import socket
from unionfs.light_types import NamedTuple

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_EXCL, _NLM_F_CREATE = 1, 4, 0x100, 0x200, 0x400
_NEW = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE
_NLMSG_ERROR = 2
_NETLINK_ROUTE = 0

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

    `protocol` is that of IP, `address` packed (inet_pton(3)); an empty one with port 0 is any.
    """

    family: int
    protocol: int
    port: int
    table: int
    priority: int
    address: bytes = b""
    peer_port: int = 0


class RouteSocket:
    """A connection to the routing of the calling process's network namespace. Methods raise OSError with what the
    kernel answers: EPERM without CAP_NET_ADMIN, EOPNOTSUPP or EAFNOSUPPORT where it is built without rules.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE
        )
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def add_local_route(self, family: int, table: int, source: bytes) -> None:
        """ip route replace local default dev lo table TABLE src SOURCE: every address is one of this machine, and what
        is sent there from no particular address comes from `source`, which is packed.
        """
        body = _BODY.pack(family, 0, 0, 0, 0, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
        loopback = socket.if_nametoindex("lo")
        self._request(
            _RTM_NEWROUTE,
            _NEW | _NLM_F_REPLACE,
            body,
            (_RTA_TABLE, struct.pack("=I", table)),
            (_RTA_OIF, struct.pack("=I", loopback)),
            (_RTA_PREFSRC, source),
        )

    def add_rule(self, rule: Rule) -> None:
        """ip rule add priority P ipproto N sport PORT [to ADDRESS dport PORT] lookup TABLE (Linux 4.17)."""
        self._request(_RTM_NEWRULE, _NEW | _NLM_F_EXCL, _rule_body(rule), *_rule_attributes(rule))

    def delete_rule(self, rule: Rule) -> None:
        self._request(
            _RTM_DELRULE, _NLM_F_REQUEST | _NLM_F_ACK, _rule_body(rule), *_rule_attributes(rule)
        )

    def _request(self, kind: int, flags: int, body: bytes, *attributes: tuple[int, bytes]) -> None:
        self._sequence += 1
        payload = body + b"".join(map(_attribute, attributes))
        header = _HEADER.pack(_HEADER.size + len(payload), kind, flags, self._sequence, 0)
        self._socket.send(header + payload)
        answer = self._socket.recv(8192)
        _, answered, _, _, _ = _HEADER.unpack_from(answer)
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if answered != _NLMSG_ERROR or number:
            raise OSError(number, os.strerror(number))


def _rule_body(rule: Rule) -> bytes:
    to = _LENGTHS[rule.family] if rule.address else 0
    return _BODY.pack(rule.family, to, 0, 0, 0, 0, 0, _FR_ACT_TO_TBL, 0)


def _rule_attributes(rule: Rule) -> list[tuple[int, bytes]]:
    attributes = [
        (_FRA_PRIORITY, struct.pack("=I", rule.priority)),
        (_FRA_TABLE, struct.pack("=I", rule.table)),
        (_FRA_IP_PROTO, struct.pack("=B", rule.protocol)),
        (_FRA_SPORT_RANGE, struct.pack("=HH", rule.port, rule.port)),
    ]
    if rule.address:
        attributes.append((_FRA_DST, rule.address))
        attributes.append((_FRA_DPORT_RANGE, struct.pack("=HH", rule.peer_port, rule.peer_port)))
    return attributes


def _attribute(pair: tuple[int, bytes]) -> bytes:
    kind, data = pair
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + b"\0" * (-len(data) % 4)
