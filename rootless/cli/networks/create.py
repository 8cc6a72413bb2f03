"""`network create`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.escape import escaped
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed, Text, Texts
from rootless.cli.shared_options import pairs_of
from rootless.errors import UsageError
from rootless.network.defined.creation import NetworkRequest

_ATTACHABLE = Flag(("attachable",), "Enable manual container attachment", hidden=True)
_AUX_ADDRESS = Texts(
    ("aux-address",), "Auxiliary IPv4 or IPv6 addresses that no container gets", "NAME=ADDRESS"
)
_DRIVER = Text(("driver", "d"), 'Driver to manage the network (default "bridge")', "DRIVER")
_GATEWAY = Texts(("gateway",), "IPv4 or IPv6 gateway for the subnet", "ADDRESS")
_INTERNAL = Flag(("internal",), "Restrict external access to the network")
_IP_RANGE = Texts(("ip-range",), "Allocate container IP addresses from a sub-range", "RANGE")
_IPAM_OPT = Texts(("ipam-opt",), "Set IPAM driver specific options", "NAME=VALUE", hidden=True)
_IPAM_DRIVER = Text(("ipam-driver",), "IP address management driver", "DRIVER", hidden=True)
_IPV4 = Text(("ipv4",), "Enable or disable IPv4 address assignment (default true)", "BOOL")
_IPV6 = Flag(("ipv6",), "Enable IPv6 address assignment")
_LABEL = Texts(("label",), "Set metadata on a network", "NAME[=VALUE]")
_OPT = Texts(("opt", "o"), "Set driver specific options", "NAME=VALUE")
_SCOPE = Text(("scope",), "Control the network's scope", "SCOPE", hidden=True)
_SUBNET = Texts(("subnet",), "Subnet in CIDR format that represents a network segment", "SUBNET")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def create(parsed: Parsed, settings: Settings) -> int:
    """Make a network, and print its id."""
    scope = parsed[_SCOPE] or "local"
    if scope == "swarm":
        raise UsageError("cannot create a swarm scoped network when swarm is not active")
    ipv4 = parsed[_IPV4] or "true"
    if ipv4 not in _TRUTH:
        raise GrammarError(
            f'invalid argument "{escaped(ipv4)}" for "--ipv4" flag: not true or false'
        )
    pairs_of(parsed, _IPAM_OPT)  # docker's own address management has none either
    record = engine_of(settings).networks.create(
        NetworkRequest(
            name=parsed.arguments[0],
            driver=parsed[_DRIVER] or "bridge",
            subnets=parsed[_SUBNET],
            gateways=parsed[_GATEWAY],
            ip_ranges=parsed[_IP_RANGE],
            reserved=tuple(pairs_of(parsed, _AUX_ADDRESS).items()),
            ipam_driver=parsed[_IPAM_DRIVER] or "default",
            is_internal=parsed[_INTERNAL],
            has_ipv4=_TRUTH[ipv4],
            has_ipv6=parsed[_IPV6],
            is_attachable=parsed[_ATTACHABLE],
            labels=pairs_of(parsed, _LABEL),
            options=pairs_of(parsed, _OPT),
        )
    )
    print(record.id)
    return 0


NETWORK_CREATE = Command(
    "create",
    "Create a network",
    "NETWORK",
    (
        _ATTACHABLE,
        _AUX_ADDRESS,
        _DRIVER,
        _GATEWAY,
        _INTERNAL,
        _IP_RANGE,
        _IPAM_DRIVER,
        _IPAM_OPT,
        _IPV4,
        _IPV6,
        _LABEL,
        _OPT,
        _SCOPE,
        _SUBNET,
    ),
    create,
    least=1,
    most=1,
    description="""Create a network, and print its id. Containers in it reach each other, also by their names,
and those of other networks not. The option com.docker.network.driver.mtu sets the largest packet in bytes.""",
)
