"""What each driver makes of its arguments, and the command line of its program."""

import marshal

import pytest

from rootless.errors import HostSupportError, UsageError
from rootless.network.driver import Host, Target
from rootless.network.drivers import pasta, slirp4netns
from rootless.network.endpoint import Endpoint, endpoint_in, endpoint_of, plain_endpoint
from rootless.network.options import ExposedPort, NetworkOptions, PortRequest, PublishedPort
from rootless.network.setup import IPV6, plain_setup, setup_of

HOST = Host("/usr/bin/program", has_ipv6=True)


def options(name, *arguments):
    return NetworkOptions(name, arguments, mac_address="02:42:00:00:00:01")


def test_pasta_forwards_nothing_by_itself():
    setup = pasta.prepare(options("pasta"), HOST)
    words = pasta.command(setup)
    assert "--no-map-gw" in words
    for option in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
        assert words[words.index(option) + 1] == "none"
    assert IPV6.address in words
    assert "--ipv4-only" not in words
    assert pasta.publish(setup, None) == Target(
        "10.0.2.100", "10.0.2.2", IPV6.address, IPV6.gateway
    )


def test_pasta_without_ipv6_on_the_host():
    setup = pasta.prepare(options("pasta"), HOST._replace(has_ipv6=False))
    assert "--ipv4-only" in pasta.command(setup)
    assert pasta.publish(setup, None) == Target("10.0.2.100", "10.0.2.2")


def test_pasta_takes_more_of_its_options():
    setup = pasta.prepare(options("pasta", "--map-gw", "--mtu", "1500"), HOST)
    words = pasta.command(setup)
    assert setup.host_loopback
    assert "--no-map-gw" not in words
    assert words[words.index("--mtu") :][:2] == ["--mtu", "1500"]
    for wrong in ("nonsense", "--netns=/proc/1/ns/net"):
        with pytest.raises(UsageError):
            pasta.prepare(options("pasta", wrong), HOST)


def test_slirp4netns_takes_podmans_arguments():
    setup = slirp4netns.prepare(options("slirp4netns"), HOST)
    words = slirp4netns.command(setup)
    assert "--disable-host-loopback" in words
    assert "--cidr" not in words
    arguments = ("allow_host_loopback=true", "mtu=1500", "cidr=10.9.8.0/24", "enable_ipv6=true")
    setup = slirp4netns.prepare(options("slirp4netns", *arguments), HOST)
    words = slirp4netns.command(setup)
    assert "--disable-host-loopback" not in words
    assert words[words.index("--cidr") + 1] == "10.9.8.0/24"
    assert words[words.index("--mtu") + 1] == "1500"
    assert "--enable-ipv6" in words
    assert setup.ipv4 == ("10.9.8.100", 24, "10.9.8.2", "10.9.8.3")


@pytest.mark.parametrize(
    "word",
    ["nonsense", "mtu=big", "cidr=10.0.0.1/24", "cidr=10.0.0.0/31", "cidr=::/64", "enable_ipv6=x"],
)
def test_slirp4netns_refuses_what_it_does_not_have(word):
    with pytest.raises(UsageError):
        slirp4netns.prepare(options("slirp4netns", word), HOST)


@pytest.mark.parametrize("driver", [pasta, slirp4netns])
def test_a_program_that_is_not_installed_is_named(driver):
    with pytest.raises(HostSupportError, match="is not installed") as caught:
        driver.prepare(options(driver.NAME), HOST._replace(program=""))
    assert "--network" in (caught.value.hint or "")


def test_setup_and_endpoint_survive_marshal():
    setup = pasta.prepare(options("pasta", "--mtu", "1500"), HOST)
    setup = setup._replace(ports=(PortRequest(80, "tcp", "127.0.0.1", 8080, 8080),))
    assert setup_of(marshal.loads(marshal.dumps(plain_setup(setup)))) == setup
    endpoint = endpoint_of(options("pasta"), setup, (ExposedPort(80),))
    endpoint = endpoint._replace(ports=(PublishedPort(80, "tcp", "127.0.0.1", 8080),))
    assert endpoint_in(marshal.loads(marshal.dumps(plain_endpoint(endpoint)))) == endpoint
    assert endpoint_in(plain_endpoint(Endpoint("host"))) == Endpoint("host")
    with pytest.raises(ValueError, match="prefix"):
        endpoint_in({"network": "bridge", "prefix": "24"})


def test_pasta_arguments_that_address_the_container():
    """Those of podman's manual among them: the addresses of slirp4netns."""
    arguments = ("-a", "192.0.2.9", "-n", "255.255.255.128", "-a", "2001:db8::9", "--mtu", "1500")
    setup = pasta.prepare(options("pasta", *arguments), HOST)
    assert setup.ipv4 == ("192.0.2.9", 25, "192.0.2.1", "192.0.2.2")
    assert setup.ipv6 == ("2001:db8::9", 64, "2001:db8::1", "2001:db8::2")
    words = pasta.command(setup)
    assert words.count("--address") == 2
    assert "10.0.2.100" not in words
    assert words[words.index("--mtu") :][:2] == ["--mtu", "1500"]
    arguments = ("-a=10.1.2.0", "-n", "22", "--gateway", "10.1.2.2", "--dns-forward=10.1.2.3")
    setup = pasta.prepare(options("pasta", *arguments), HOST)
    assert setup.ipv4 == ("10.1.2.0", 22, "10.1.2.2", "10.1.2.3")
    setup = pasta.prepare(
        NetworkOptions("pasta", ("-I", "lan0", "--ns-mac-addr=9a:dd:31:ea:92:98")), HOST
    )
    assert (setup.interface, setup.mac_address) == ("lan0", "9a:dd:31:ea:92:98")
    setup = pasta.prepare(options("pasta", "--dns-forward", "198.51.100.1"), HOST)
    assert setup.ipv4 == ("10.0.2.100", 24, "10.0.2.2", "198.51.100.1")
    setup = pasta.prepare(options("pasta", "-a", "192.0.2.1", "-a", "192.0.2.2"), HOST)
    assert setup.ipv4 == ("192.0.2.2", 24, "192.0.2.1", "192.0.2.3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-a", "x"), "--address: 'x' is not an IP address"),
        (("-a",), "--address: '' is not an IP address"),
        (("-n", "255.0.255.0"), "is not a netmask"),
        (("-n", "31"), "is not a netmask"),
        (("-n", "x"), "is not a netmask"),
        (("-g", "192.0.2.1"), "192.0.2.1 is not in 10.0.2.0/24"),
    ],
)
def test_pasta_arguments_that_cannot_be(arguments, message):
    with pytest.raises(UsageError, match=message):
        pasta.prepare(options("pasta", *arguments), HOST)


def test_slirp4netns_takes_podmans_port_handler():
    setup = slirp4netns.prepare(options("slirp4netns", "port_handler=slirp4netns"), HOST)
    assert setup == slirp4netns.prepare(options("slirp4netns"), HOST)
    with pytest.raises(UsageError):
        slirp4netns.prepare(options("slirp4netns", "port_handler=x"), HOST)
