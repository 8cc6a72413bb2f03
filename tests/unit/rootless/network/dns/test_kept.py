"""Answers about containers that are kept until a name changes."""

import dns.flags
import dns.message
import pytest

from rootless.network.dns.answers import Query
from rootless.network.dns.kept import KeptAnswers
from rootless.network.dns.table import Member, Names, Zone

WEB = Member("c1", ("web", "shared"), "10.1.0.2", "")
API = Member("c2", ("api", "shared"), "10.1.0.3", "")
DB = Member("c2", ("db",), "10.2.0.3", "")
FRONT = Zone("front", "Front", (WEB, API), False)


class Server:
    """The names of networks and the answers that are kept."""

    def __init__(self):
        self.names = Names()
        self.kept = KeptAnswers(self.names)

    def replace(self, zone):
        before = self.names.zone(zone.id)
        self.names.replace(zone)
        self.kept.change(before, zone)

    def remove(self, network):
        before = self.names.zone(network)
        self.names.remove(network)
        self.kept.change(before, None)

    def prepare(self):
        while not self.kept.is_prepared:
            self.kept.prepare()

    def find(self, name, kind="A", client="10.1.0.2", network="front", **options):
        """The addresses of a kept answer, which must be what a fresh one is; None if it is not kept."""
        wire = dns.message.make_query(name, kind, **options).to_wire()
        found = self.kept.find(self.names.view(network, client), wire)
        if found is None:
            return None
        assert found == Query(wire, network, client).answer(self.names)
        return [item.to_text() for each in dns.message.from_wire(found).answer for item in each]

    def keep(self, name, kind="A", client="10.1.0.2", network="front"):
        wire = dns.message.make_query(name, kind).to_wire()
        query = Query(wire, network, client)
        view = self.names.view(network, client)
        self.kept.keep(view, wire, query.subject, query.answer(self.names))


@pytest.fixture
def server():
    made = Server()
    made.replace(FRONT)
    made.prepare()
    return made


def test_what_c_libraries_ask_about_a_new_container_is_prepared(server):
    for flags in (dns.flags.RD, dns.flags.RD | dns.flags.AD):
        assert server.find("web", flags=flags) == ["10.1.0.2"]
        assert server.find("web", "AAAA", flags=flags) == []
        assert server.find("api", client="10.1.0.3", flags=flags) == ["10.1.0.3"]
    assert server.find("web", use_edns=True) is None
    assert server.find("shared") is None  # its addresses take turns
    assert server.find("nosuch") is None


def test_answers_to_a_member_of_two_networks_are_prepared_too(server):
    server.replace(Zone("back", "back", (DB,), True))
    server.prepare()
    assert server.find("db", client="10.2.0.3", network="back") == ["10.2.0.3"]
    assert server.find("db") is None  # a container of the other network alone does not see it
    server.keep("db", client="10.1.0.3")
    assert server.find("db", client="10.1.0.3") == ["10.2.0.3"]


def test_answers_about_a_container_that_has_gone_are_forgotten(server):
    server.keep("api.front")
    server.keep("3.0.1.10.in-addr.arpa", "PTR")
    assert server.find("api.front") == ["10.1.0.3"]
    server.replace(FRONT._replace(members=(WEB,)))
    assert server.find("api") is None
    assert server.find("api.front") is None
    assert server.find("3.0.1.10.in-addr.arpa", "PTR") is None
    assert server.find("web") == ["10.1.0.2"]
    server.prepare()
    server.keep("shared")
    assert server.find("shared") == ["10.1.0.2"]
    server.replace(FRONT)
    assert server.find("shared") is None


def test_new_address_of_a_name_is_answered(server):
    server.replace(FRONT._replace(members=(WEB._replace(address="10.1.0.9"), API)))
    assert server.find("web", client="10.1.0.3") is None
    server.prepare()
    assert server.find("web", client="10.1.0.3") == ["10.1.0.9"]


def test_answers_about_a_network_that_has_gone_are_forgotten(server):
    server.remove("front")
    assert server.find("web") is None


def test_container_that_has_gone_before_its_answers_are_made_has_none(server):
    server.replace(FRONT._replace(members=(WEB, API, DB._replace(address="10.1.0.4"))))
    server.replace(FRONT)
    server.prepare()
    assert server.find("db") is None


def test_name_that_cannot_be_asked_for_is_left(server):
    long = Member("c3", ("x" * 70, "last"), "10.1.0.5", "")
    server.replace(FRONT._replace(members=(WEB, API, long)))
    server.prepare()
    assert server.find("last") == ["10.1.0.5"]


def test_many_answers_make_room(server):
    for number in range(5000):
        wire = b"\0\0" + number.to_bytes(2, "big") + bytes(8)
        server.kept.keep(("front",), wire, f"name{number}", bytes(12))
    assert server.find("web") is None
    server.replace(FRONT._replace(members=(WEB,)))
