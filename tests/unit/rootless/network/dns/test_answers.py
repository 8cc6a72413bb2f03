"""Answers to queries about containers."""

import dns.message
import dns.rcode
import pytest

from rootless.network.dns.answers import Query
from rootless.network.dns.table import Member, Names, Zone, plain_zone, zone_of

WEB = Member("c1", ("web", "c1short", "shared"), "10.1.0.2", "fd00::2")
API = Member("c2", ("api", "shared"), "10.1.0.3", "")
DB = Member("c2", ("db", "api"), "10.2.0.3", "")
FRONT = Zone("front", "Front", (WEB, API), False)
BACK = Zone("back", "back", (DB,), True)


@pytest.fixture
def names():
    names = Names()
    for zone in (FRONT, BACK):
        names.replace(zone_of(plain_zone(zone)))
    return names


def ask(names, name, kind="A", network="front", client="10.1.0.2", turn=0, payload=None):
    wire = dns.message.make_query(name, kind, payload=payload).to_wire()
    answer = Query(wire, network, client).answer(names, turn)
    if answer is None:
        return None
    message = dns.message.from_wire(answer)
    return [item.to_text() for each in message.answer for item in each]


def test_names_aliases_and_names_with_the_network_are_found(names):
    for name in ("web", "WEB", "c1short", "web.front", "web."):
        assert ask(names, name) == ["10.1.0.2"]
    assert ask(names, "web", "AAAA") == ["fd00::2"]
    assert ask(names, "10.1.0.3.in-addr.arpa", "PTR") is None
    assert ask(names, "3.0.1.10.in-addr.arpa", "PTR") == ["api.Front."]


def test_name_without_an_address_of_the_family_exists():
    names = Names()
    names.replace(FRONT)
    assert ask(names, "api", "AAAA") == []
    assert ask(names, "api", "MX") == []
    assert ask(names, "nosuch") is None


def test_shared_alias_takes_turns(names):
    assert ask(names, "shared", turn=0) == ["10.1.0.2", "10.1.0.3"]
    assert ask(names, "shared", turn=1) == ["10.1.0.3", "10.1.0.2"]


def test_container_sees_the_names_of_its_networks_only(names):
    assert ask(names, "db") is None
    assert ask(names, "db", client="10.1.0.3") == ["10.2.0.3"]
    assert ask(names, "api", client="10.1.0.3") == ["10.1.0.3"]
    assert ask(names, "api", network="back", client="10.2.0.3") == ["10.2.0.3"]
    assert ask(names, "web", network="back", client="10.2.0.9") is None


def test_name_servers_are_asked_for_containers_with_a_way_out(names):
    assert names.servers("front", "10.1.0.2", ("192.0.2.1",)) == ("192.0.2.1",)
    assert names.servers("back", "10.2.0.9", ("192.0.2.1",)) == ()
    assert names.servers("back", "10.2.0.3", ("192.0.2.1",)) == ("192.0.2.1",)
    names.replace(FRONT._replace(members=(WEB._replace(servers=("192.0.2.9",)),)))
    assert names.servers("front", "10.1.0.2", ("192.0.2.1",)) == ("192.0.2.9",)


@pytest.mark.parametrize("wire", [b"", b"x" * 11, bytes([0, 1, 0x80]) + bytes(9)])
def test_what_is_no_query_is_not_answered(wire):
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of the library
        Query(wire, "front", "10.1.0.2")


def test_sizes_follow_edns(names):
    for payload, size in ((None, 512), (1232, 1232), (65000, 4096), (100, 512)):
        wire = dns.message.make_query(
            "web", "A", use_edns=payload is not None, payload=payload
        ).to_wire()
        assert Query(wire, "front", "10.1.0.2").size == size
    query = Query(dns.message.make_query("web", "A").to_wire(), "front", "10.1.0.2")
    assert dns.message.from_wire(query.failure()).rcode() == dns.rcode.SERVFAIL
