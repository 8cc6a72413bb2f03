"""--network, --publish and their like: values, and docker's words for mistakes."""

import pytest

from rootless.cli.flags.network import discards_ports, parse_network
from rootless.errors import UsageError
from rootless.network.options import NetworkOptions, PortRequest


def parse(*names, publish=(), publish_all=False, expose=(), mac_address=""):
    return parse_network(
        names,
        publish=publish,
        publish_all=publish_all,
        expose=expose,
        mac_address=mac_address,
    )


def test_names():
    assert parse("host") == NetworkOptions("host")
    assert parse("name=bridge,mac-address=02:42:AC:11:00:09").mac_address == "02:42:ac:11:00:09"
    assert parse("pasta:--mtu,1500") == NetworkOptions("pasta", ("--mtu", "1500"))
    assert parse("container:web").container == "web"
    assert parse("bridge").is_private
    assert parse("none").is_own
    assert not parse("host").is_own


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
            "user specified IP address is supported on user defined networks only",
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
