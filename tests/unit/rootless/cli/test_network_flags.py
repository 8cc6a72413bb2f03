"""--network, --publish and their like: values, and docker's words for mistakes."""

import pytest

from rootless.cli.flags.network import discards_ports, parse_network
from rootless.errors import UsageError
from rootless.network.options import Attachment, NetworkOptions, PortRequest

OWN = Attachment("")


def parse(*names, publish=(), publish_all=False, expose=(), mac_address="", own=OWN):
    return parse_network(
        names,
        publish=publish,
        publish_all=publish_all,
        expose=expose,
        mac_address=mac_address,
        own=own,
    )


def test_names():
    assert parse("host") == NetworkOptions("host")
    assert parse("name=bridge,mac-address=02:42:AC:11:00:09").mac_address == "02:42:ac:11:00:09"
    assert parse("pasta:--mtu,1500") == NetworkOptions("pasta", ("--mtu", "1500"))
    assert parse("container:web").container == "web"
    assert parse("bridge").is_private
    assert parse("none").is_own
    assert not parse("host").is_own


def test_networks_of_a_user():
    network = parse(
        "n1",
        "name=n2,ip=10.0.0.2,alias=a,alias=b,gw-priority=7",
        "n3:mac=02:42:AC:11:00:09",
        own=Attachment("", ("web",), ip6="fd00::5"),
    )
    assert network.name == "n1"
    assert network.is_private
    assert network.attachments == (
        Attachment("n1", ("web",), ip6="fd00::5"),
        Attachment("n2", ("a", "b"), "10.0.0.2", gateway_priority=7),
        Attachment("n3", mac_address="02:42:ac:11:00:09"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "name=n,mac-address=02:00:00:00:00:50,alias=q,ip=10.0.0.2,ip6=fd00::5",
        "n:mac=02:00:00:00:00:50,alias=q,ip=10.0.0.2,ip6=fd00::5",
        "ip6=fd00::5,alias=q,ip=10.0.0.2,name=n,mac-address=02:00:00:00:00:50",
    ],
)
def test_colons_of_an_address_do_not_end_a_name(text):
    assert parse(text).attachments == (
        Attachment("n", ("q",), "10.0.0.2", "fd00::5", "02:00:00:00:00:50"),
    )


def test_published_ports_of_the_host_network_are_dropped():
    request = PortRequest(80, "tcp", "", 8080, 8080)
    assert parse(publish=("8080:80",)) == NetworkOptions(ports=(request,))
    assert parse("host", publish=("8080:80",)).ports == ()
    assert discards_ports(("host",), ("8080:80",))
    assert not discards_ports(("bridge",), ("8080:80",))


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("",), {}, "no name set for network"),
        (
            ("name=n1,ip",),
            {},
            'invalid argument "name=n1,ip" for "--network" flag: invalid field ip',
        ),
        (
            ("container:a",),
            {"publish_all": True},
            "conflicting options: port publishing and the container type network mode",
        ),
        (
            ("foo=bar",),
            {},
            'invalid argument "foo=bar" for "--network" flag: invalid field key foo',
        ),
        (("bridge", "bridge"), {}, 'network "bridge" is specified multiple times'),
        (
            ("container:",),
            {},
            "invalid network mode: invalid container format container:<name|id>",
        ),
        (
            ("name=bridge,alias=x",),
            {},
            "network-scoped aliases are only supported for user-defined networks",
        ),
        (
            ("name=bridge,ip=1.2.3.4",),
            {},
            (
                "invalid config for network bridge: invalid endpoint settings: "
                "user specified IP address is supported on user defined networks only"
            ),
        ),
        (
            ("n1", "host"),
            {},
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        (("n1", "n1"), {}, 'network "n1" is specified multiple times'),
        (
            ("name=n1,ip=10.0.0.2",),
            {"own": Attachment("", ip="10.0.0.3")},
            "conflicting options: cannot specify both --ip and per-network IPv4 address",
        ),
        (
            ("name=n1,driver-opt=x",),
            {},
            'invalid argument "name=n1,driver-opt=x" for "--network" flag: invalid key value pair format in driver options',
        ),
        (("bridge",), {"mac_address": "zz"}, "zz is not a valid mac address"),
        (
            ("container:x",),
            {"publish": ("80:80",)},
            "conflicting options: port publishing and the container type network mode",
        ),
        (
            ("container:x",),
            {"expose": ("80",)},
            "conflicting options: port exposing and the container type network mode",
        ),
    ],
)
def test_mistakes_have_dockers_words(names, options, message):
    with pytest.raises(UsageError) as caught:
        parse(*names, **options)
    assert caught.value.message == message
