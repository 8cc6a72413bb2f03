"""`network connect` and `network disconnect`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Number, Parsed, Text, Texts
from rootless.errors import UsageError
from rootless.network.options import Attachment

_ALIAS = Texts(("alias",), "Add network-scoped alias for the container", "NAME")
_DRIVER_OPT = Texts(("driver-opt",), "Driver options for the network", "NAME=VALUE")
_GW_PRIORITY = Number(
    ("gw-priority",), "Highest gw-priority provides the default gateway", "NUMBER"
)
_IP = Text(("ip",), "IPv4 address (e.g., 172.30.100.104)", "ADDRESS")
_IP6 = Text(("ip6",), "IPv6 address (e.g., 2001:db8::33)", "ADDRESS")
_MAC_ADDRESS = Text(("mac-address",), "MAC address (podman; e.g., 92:d0:c6:0a:29:33)", "ADDRESS")
_FORCE = Flag(("force", "f"), "Force the container to disconnect from a network")


def connect(parsed: Parsed, settings: Settings) -> int:
    """Connect a container to a network."""
    from rootless.cli.flags.network import parse_mac_address

    network, container = parsed.arguments
    options = []
    for each in parsed[_DRIVER_OPT]:
        name, equals, value = each.partition("=")
        if not equals:
            raise UsageError("invalid key/value pair format in driver options")
        options.append((name, value))
    attachment = Attachment(
        network,
        parsed[_ALIAS],
        parsed[_IP] or "",
        parsed[_IP6] or "",
        parse_mac_address(parsed[_MAC_ADDRESS] or ""),
        tuple(options),
        parsed[_GW_PRIORITY] or 0,
    )
    engine_of(settings).networks.connect(network, container, attachment)
    return 0


def disconnect(parsed: Parsed, settings: Settings) -> int:
    """Take a container out of a network."""
    network, container = parsed.arguments
    engine_of(settings).networks.disconnect(network, container, force=parsed[_FORCE])
    return 0


NETWORK_CONNECT = Command(
    "connect",
    "Connect a container to a network",
    "NETWORK CONTAINER",
    (_ALIAS, _DRIVER_OPT, _GW_PRIORITY, _IP, _IP6, _MAC_ADDRESS),
    connect,
    least=2,
    most=2,
    operand="network",
    description="""Connect a container to a network, also while it runs. It stays in its other networks.""",
)
NETWORK_DISCONNECT = Command(
    "disconnect",
    "Disconnect a container from a network",
    "NETWORK CONTAINER",
    (_FORCE,),
    disconnect,
    least=2,
    most=2,
    operand="network",
)
