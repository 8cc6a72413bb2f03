"""Rules of nf_tables, as messages of netlink (linux/netfilter/nf_tables.h, nfnetlink.h): a table of both families of
addresses with chains, rules and sets. Numbers in attributes are in network byte order. nft(8) describes what each does;
expressions are the functions below that return bytes.
"""

from __future__ import annotations

import struct

from rootless.syscalls.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NetlinkSocket,
    attribute,
    nested,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_NFNL_SUBSYS_NFTABLES = 10
_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END = 0x10, 0x11
# enum nf_tables_msg_types
_NFT_MSG_NEWTABLE, _NFT_MSG_NEWCHAIN, _NFT_MSG_NEWRULE = 0, 3, 6
_NFT_MSG_NEWSET, _NFT_MSG_NEWSETELEM, _NFT_MSG_DELSETELEM = 9, 12, 14
_NFPROTO_UNSPEC, _NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 0, 1, 2, 10
# enum nf_inet_hooks (linux/netfilter.h), and priorities (linux/netfilter_ipv4.h)
PREROUTING, FORWARD, POSTROUTING = 0, 2, 4
FILTER_PRIORITY, SRCNAT_PRIORITY = 0, 100
_NF_DROP, _NF_ACCEPT = 0, 1
_REG_VERDICT, _REG_1 = 0, 1
_DATA_VALUE, _DATA_VERDICT = 1, 2
_LIST_ELEM = 1
META_OIFNAME, META_IIFNAME, META_NFPROTO = 7, 6, 15
_CT_STATE = 0
INVALID, ESTABLISHED_OR_RELATED = 1, 2 | 4
"""NF_CT_STATE_INVALID_BIT, and NF_CT_STATE_BIT of IP_CT_ESTABLISHED and IP_CT_RELATED
(linux/netfilter/nf_conntrack_common.h)."""
_CMP_EQ, _CMP_NEQ = 0, 1
_FIB_RESULT_OIF = 1
_FIB_SOURCE, _FIB_IIF = 1, 8
_NETWORK_HEADER = 1
_IFNAMSIZ = 16
_LOOKUP_INVERTED = 1
IPV4_SOURCE, IPV4_DESTINATION, IPV6_DESTINATION = 12, 16, 24
"""Offsets in the headers of IPv4 (RFC 791, section 3.1) and IPv6 (RFC 8200, section 3)."""


class Nftables(NetlinkSocket):
    """The rules of the network namespace that the calling process is in when it is made. Changes are gathered, and made
    as one by `commit`.
    """

    def __init__(self, table: str) -> None:
        super().__init__(NETLINK_NETFILTER)
        self._table = table
        self._changes: list[tuple[int, int, bytes]] = []

    def commit(self) -> None:
        """Make all changes, or none. Raises OSError."""
        begin = struct.pack("=BB", _NFPROTO_UNSPEC, 0) + struct.pack("!H", _NFNL_SUBSYS_NFTABLES)
        changes, self._changes = self._changes, []
        self.batch(
            (
                (_NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, begin),
                *changes,
                (_NFNL_MSG_BATCH_END, NLM_F_REQUEST, begin),
            )
        )

    def _add(self, kind: int, *attributes: bytes, flags: int = NLM_F_CREATE) -> None:
        body = struct.pack("=BBH", _NFPROTO_INET, 0, 0) + b"".join(attributes)
        number = _NFNL_SUBSYS_NFTABLES << 8 | kind
        self._changes.append((number, NLM_F_REQUEST | NLM_F_ACK | flags, body))

    def add_table(self) -> None:
        """nft add table inet TABLE"""
        self._add(_NFT_MSG_NEWTABLE, text(1, self._table))

    def add_chain(
        self, name: str, kind: str, hook: int, priority: int, *, accept: bool = True
    ) -> None:
        """nft add chain inet TABLE NAME { type KIND hook HOOK priority PRIORITY; policy accept|drop; }"""
        self._add(
            _NFT_MSG_NEWCHAIN,
            text(1, self._table),
            text(3, name),
            nested(4, _be32(1, hook), _be32(2, priority)),
            _be32(5, _NF_ACCEPT if accept else _NF_DROP),
            text(7, kind),
        )

    def add_rule(self, chain: str, *expressions: bytes) -> None:
        """nft add rule inet TABLE CHAIN EXPRESSIONS"""
        elements = (nested(_LIST_ELEM, each) for each in expressions)
        self._add(
            _NFT_MSG_NEWRULE,
            text(1, self._table),
            text(2, chain),
            nested(4, *elements),
            flags=NLM_F_CREATE | NLM_F_APPEND,
        )

    def add_set(self, name: str, number: int, length: int) -> None:
        """nft add set inet TABLE NAME, with keys of `length` bytes. `number` is one of this batch's own."""
        self._add(
            _NFT_MSG_NEWSET,
            text(1, self._table),
            text(2, name),
            _be32(3, 0),
            _be32(4, 0),
            _be32(5, length),
            _be32(10, number),
        )

    def add_elements(self, name: str, keys: Iterable[bytes]) -> None:
        """nft add element inet TABLE NAME { KEYS }"""
        self._elements(_NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, keys)

    def delete_elements(self, name: str, keys: Iterable[bytes]) -> None:
        """nft delete element inet TABLE NAME { KEYS }; ENOENT for one that is not in the set"""
        self._elements(_NFT_MSG_DELSETELEM, 0, name, keys)

    def _elements(self, kind: int, flags: int, name: str, keys: Iterable[bytes]) -> None:
        elements = (nested(_LIST_ELEM, nested(1, attribute(_DATA_VALUE, key))) for key in keys)
        self._add(kind, text(1, self._table), text(2, name), nested(3, *elements), flags=flags)


def meta(key: int) -> bytes:
    """Load what is known of the packet, such as its interface, to compare it."""
    return _expression("meta", _be32(1, _REG_1), _be32(2, key))


def payload(offset: int, length: int) -> bytes:
    """Load bytes of the header of the network layer."""
    return _expression(
        "payload", _be32(1, _REG_1), _be32(2, _NETWORK_HEADER), _be32(3, offset), _be32(4, length)
    )


def interface_of_source() -> bytes:
    """Load the number of the interface that an answer would leave by, or 0 if that is not the one that the packet came
    from (fib saddr . iif oif). For chains at PREROUTING.
    """
    return _expression(
        "fib", _be32(1, _REG_1), _be32(2, _FIB_RESULT_OIF), _be32(3, _FIB_SOURCE | _FIB_IIF)
    )


def connection_state_in(states: int) -> tuple[bytes, ...]:
    """ct state STATES"""
    mask, zero = struct.pack("=I", states), bytes(4)
    return (
        _expression("ct", _be32(1, _REG_1), _be32(2, _CT_STATE)),
        _expression(
            "bitwise",
            _be32(1, _REG_1),
            _be32(2, _REG_1),
            _be32(3, 4),
            nested(4, attribute(_DATA_VALUE, mask)),
            nested(5, attribute(_DATA_VALUE, zero)),
        ),
        equals(zero, inverted=True),
    )


def equals(data: bytes, *, inverted: bool = False) -> bytes:
    """Go on with the rule if what was loaded is, or is not, `data`."""
    operator = _CMP_NEQ if inverted else _CMP_EQ
    return _expression(
        "cmp", _be32(1, _REG_1), _be32(2, operator), nested(3, attribute(_DATA_VALUE, data))
    )


def is_in(name: str, number: int, *, inverted: bool = False) -> bytes:
    """Go on with the rule if what was loaded is, or is not, in a set of this batch."""
    return _expression(
        "lookup",
        text(1, name),
        _be32(2, _REG_1),
        _be32(4, number),
        *((_be32(5, _LOOKUP_INVERTED),) if inverted else ()),
    )


def masquerade() -> bytes:
    """The packet's source becomes the address of the interface that it leaves by."""
    return _expression("masq")


def accept() -> bytes:
    return _verdict(_NF_ACCEPT)


def drop() -> bytes:
    return _verdict(_NF_DROP)


def interface_name(name: str) -> bytes:
    """As META_IIFNAME and META_OIFNAME load it."""
    return name.encode().ljust(_IFNAMSIZ, b"\0")


def _verdict(code: int) -> bytes:
    data = nested(2, nested(_DATA_VERDICT, _be32(1, code)))
    return _expression("immediate", _be32(1, _REG_VERDICT), data)


def _expression(name: str, *attributes: bytes) -> bytes:
    return text(1, name) + nested(2, *attributes)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))
