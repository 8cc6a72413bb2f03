"""Answers to queries about containers, in the wire format (RFC 1035) by dnspython. No sockets."""

from __future__ import annotations

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from rootless.network.dns.table import Member, Names, Zone

TTL = 600
"""Seconds that a client may keep an answer, as docker's."""
_PAYLOAD = 4096
"""Bytes of the largest datagram that is sent and taken (RFC 6891, section 6.2.5)."""
_PLAIN_PAYLOAD = 512
"""Without EDNS (RFC 1035, section 2.3.4)."""
ADDRESS_TYPES = {dns.rdatatype.A: False, dns.rdatatype.AAAA: True}
"""Whether each is of IPv6."""


def warm_up() -> None:
    """Answer once: dnspython imports the types of records when the first of each is made."""
    names = Names()
    names.replace(Zone("", "", (Member("", ("name",), "192.0.2.1", "2001:db8::1"),), False))
    for kind in ADDRESS_TYPES:
        query = dns.message.make_query("name", kind, use_edns=True)
        Query(query.to_wire(), "", "").answer(names)


class Query:
    """A query of a client at the gateway of a network. Raises ValueError for what is none, and is not to be answered."""

    def __init__(self, wire: bytes, network: str, client: str) -> None:
        self.network, self.client = network, client
        try:
            self._message = dns.message.from_wire(wire, ignore_trailing=True)
        except dns.exception.DNSException as error:
            raise ValueError(str(error)) from None
        if self._message.flags & dns.flags.QR:
            raise ValueError("an answer")

    @property
    def size(self) -> int:
        """The most bytes that the client takes in one datagram."""
        asked = self._message.payload if self._message.edns >= 0 else 0
        return min(max(asked, _PLAIN_PAYLOAD), _PAYLOAD)

    @property
    def subject(self) -> str:
        """The name that it asks for, in lower case and without a dot at the end; empty if it asks for the name of an
        address, or for anything but one name.
        """
        question = self._message.question
        if len(question) != 1 or question[0].rdtype == dns.rdatatype.PTR:
            return ""
        return question[0].name.to_text(omit_final_dot=True).lower()

    def answer(self, names: Names, turn: int = 0) -> bytes | None:
        """What the containers' names answer; None if that is for other name servers to say. `turn` is the place of the
        first of several addresses.
        """
        message = self._message
        if message.opcode() != dns.opcode.QUERY or len(message.question) != 1:
            return self.failure(dns.rcode.NOTIMP)
        question = message.question[0]
        if question.rdclass != dns.rdataclass.IN:
            return None
        if question.rdtype == dns.rdatatype.PTR:
            return self._reverse(question, names)
        is_ipv6 = ADDRESS_TYPES.get(question.rdtype, False)
        found = names.addresses(self.network, self.client, self.subject, ipv6=is_ipv6)
        if found is None:
            return None
        if question.rdtype not in ADDRESS_TYPES:
            found = []  # the name exists, and has no records of that type (RFC 2308, section 2.2)
        start = turn % len(found) if found else 0
        return self._answer(question, [*found[start:], *found[:start]])

    def _reverse(self, question: dns.rrset.RRset, names: Names) -> bytes | None:
        try:
            address = dns.reversename.to_address(question.name)
        except (dns.exception.DNSException, ValueError):
            return None
        name = names.name_of(self.network, self.client, address)
        return self._answer(question, [f"{name}."]) if name else None

    def _answer(self, question: dns.rrset.RRset, data: list[str]) -> bytes:
        response = self._response()
        response.flags |= dns.flags.AA
        if data:
            response.answer.append(
                dns.rrset.from_text_list(
                    question.name, TTL, dns.rdataclass.IN, question.rdtype, data
                )
            )
        return response.to_wire(want_shuffle=False)

    def failure(self, code: int = dns.rcode.SERVFAIL) -> bytes:
        """The answer of a server that cannot answer."""
        response = self._response()
        response.set_rcode(dns.rcode.Rcode(code))
        return response.to_wire()

    def _response(self) -> dns.message.Message:
        return dns.message.make_response(
            self._message, recursion_available=True, our_payload=_PAYLOAD
        )

    def truncated(self) -> bytes:
        """The answer to a client that has to ask again by TCP (RFC 2181, section 9)."""
        response = self._response()
        response.flags |= dns.flags.TC
        return response.to_wire()
