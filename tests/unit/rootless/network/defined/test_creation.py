"""What `network create` makes of its options, in docker's words."""

import pytest

from rootless.errors import RootlessError
from rootless.network.cidr import parse_range
from rootless.network.defined.creation import NetworkRequest, make_record
from rootless.network.defined.record import NetworkRecord, Subnet, decode, encode

OTHER = NetworkRecord("1" * 64, "other", "now", (Subnet("10.77.0.0/24"),))


def make(name="n", *, existing=(OTHER,), host=(), **options):
    request = NetworkRequest(name, **options)
    return make_record(request, existing, lambda: [parse_range(each) for each in host], "now")


def test_subnets_are_chosen_beside_those_that_there_are():
    first = make(has_ipv6=True)
    assert first.subnets[0].subnet == "172.18.0.0/16"
    assert first.subnets[0].gateway == "172.18.0.1"
    assert first.subnets[1].range.prefix == 64
    second = make("m", existing=(OTHER, first), host=("172.19.0.0/24",))
    assert second.subnets[0].subnet == "172.20.0.0/16"
    assert not second.has_chosen_subnets


def test_what_was_asked_for_is_kept():
    record = make(
        subnets=("10.78.0.0/16",),
        gateways=("10.78.0.9",),
        ip_ranges=("10.78.5.0/24",),
        reserved=(("r", "10.78.5.1"),),
    )
    assert record.subnets == (
        Subnet("10.78.0.0/16", "10.78.0.9", "10.78.5.0/24", {"r": "10.78.5.1"}),
    )
    assert decode(encode(record), "file") == record


def test_gateway_is_the_first_address_by_default():
    assert make(subnets=("10.1.0.0/24",)).subnets[0].effective_gateway == "10.1.0.1"
    assert make(subnets=("10.1.0.0/31",)).subnets[0].effective_gateway == "10.1.0.0"
    ranged = make(subnets=("10.1.0.0/24",), ip_ranges=("10.1.0.128/25",))
    assert ranged.subnets[0].effective_gateway == "10.1.0.128"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "other"}, "network with name other already exists"),
        ({"has_ipv4": False}, "IPv4 or IPv6 must be enabled"),
        (
            {"subnets": ("10.1.0.0/24",), "gateways": ("10.1.0.255",)},
            "failed to allocate gateway (10.1.0.255): Address already in use",
        ),
        (
            {"subnets": ("10.1.0.0/24",), "reserved": (("a", "10.1.0.1"),)},
            "failed to allocate secondary ip address (a:10.1.0.1): Address already in use",
        ),
        ({"name": ""}, "invalid name: name is empty"),
        ({"name": "host"}, "operation is not permitted on predefined host network"),
        ({"driver": "nosuch"}, 'plugin "nosuch" not found'),
        ({"driver": "null"}, 'only one instance of "null" network is allowed'),
        ({"driver": "macvlan"}, "an ordinary user cannot make a network of the driver macvlan"),
        (
            {"subnets": ("10.0.0.0/8",)},
            "invalid pool request: Pool overlaps with other one on this address space",
        ),
        (
            {"subnets": ("198.18.0.0/15",)},
            "invalid pool request: Pool overlaps with other one on this address space",
        ),
        (
            {"subnets": ("10.1.0.0/24",), "host": ("10.1.0.0/28",)},
            "invalid pool request: Pool overlaps with other one on this address space: the host has a route to 10.1.0.0/28",
        ),
        (
            {"subnets": ("x",)},
            "invalid network config: invalid subnet x: invalid CIDR block notation",
        ),
        (
            {"subnets": ("10.1.0.5/24",)},
            "invalid network config: invalid subnet 10.1.0.5/24: it should be 10.1.0.0/24",
        ),
        (
            {"subnets": ("10.1.0.0/24",), "gateways": ("10.2.0.1",)},
            "no matching subnet for gateway 10.2.0.1",
        ),
        (
            {"gateways": ("10.2.0.1",)},
            "every ip-range or gateway must have a corresponding subnet",
        ),
        (
            {"subnets": ("10.1.0.0/24", "10.2.0.0/24")},
            "bridge driver doesn't support multiple subnets",
        ),
        (
            {"subnets": ("10.1.0.0/24", "10.1.0.0/25")},
            "multiple overlapping subnet configuration is not supported",
        ),
        (
            {"options": {"com.docker.network.driver.mtu": "x"}},
            'failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing "x": invalid syntax)',
        ),
    ],
)
def test_mistakes_have_dockers_words(options, message):
    with pytest.raises(RootlessError) as caught:
        make(options.pop("name", "n"), **options)
    assert caught.value.message == message
