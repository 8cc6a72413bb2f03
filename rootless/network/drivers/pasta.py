"""The driver pasta: the program of passt (pasta(1)), from the release of March 2023 in Debian 12 on.

The gateway's address is not mapped to the host, and no port is forwarded in either direction, which pasta would do by
itself: the container does not reach the host's loopback addresses unless they are asked for.
"""

from __future__ import annotations

from rootless.errors import HostSupportError
from rootless.network.driver import Host, Target
from rootless.network.helper import Helper
from rootless.network.setup import IPV6, NetworkSetup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.driver import Connection
    from rootless.network.namespaces import Namespaces
    from rootless.network.options import NetworkOptions
    from rootless.network.setup import Addresses

NAME = "pasta"


def prepare(options: NetworkOptions, host: Host) -> NetworkSetup:
    if not host.program:
        raise HostSupportError(
            "--network pasta: pasta is not installed",
            hint="install the package passt, or use --network slirp4netns or host",
        )
    setup = NetworkSetup(
        NAME,
        host.program,
        ipv6=IPV6 if host.has_ipv6 else None,
        mac_address=options.mac_address,
    )
    if not options.arguments:
        return setup
    from rootless.network.drivers.pasta_arguments import parse_arguments

    asked = parse_arguments(options.arguments)
    return setup._replace(
        ipv4=asked.ipv4,
        ipv6=asked.ipv6 if host.has_ipv6 else None,
        mac_address=options.mac_address or asked.mac_address,
        interface=asked.interface,
        host_loopback=asked.host_loopback,
        words=asked.words,
    )


def command(setup: NetworkSetup) -> list[str]:
    """Its command line: the network namespace is standard input, and readiness is a line on standard output."""
    ipv4, ipv6 = setup.ipv4, setup.ipv6
    return [
        setup.program,
        *("--quiet", "--foreground", "--config-net", "--ns-ifname", setup.interface),
        *_addresses(ipv4),
        *("--netmask", str(ipv4.prefix)),
        *(["--ipv4-only"] if ipv6 is None else _addresses(ipv6)),
        *([] if setup.host_loopback else ["--no-map-gw"]),
        *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
        *(["--ns-mac-addr", setup.mac_address] if setup.mac_address else []),
        *(["--mtu", str(setup.mtu)] if setup.mtu else []),
        *setup.words,
        # It closes every descriptor above 2, and the end of the namespace is for the monitor to see.
        *(
            "--no-netns-quit",
            "--pid",
            "/proc/self/fd/1",
            "--netns-only",
            "--netns",
            "/proc/self/fd/0",
        ),
    ]


def _addresses(family: Addresses) -> list[str]:
    return [
        *("--address", family.address),
        *("--gateway", family.gateway),
        *("--dns-forward", family.resolver),
    ]


def attach(setup: NetworkSetup, namespaces: Namespaces) -> Helper:
    return Helper(command(setup), namespaces, network_at=0, ready_at=1)


def publish(setup: NetworkSetup, connection: Connection) -> Target:  # noqa: ARG001 - other drivers need it
    ipv4, ipv6 = setup.ipv4, setup.ipv6
    if ipv6 is None:
        return Target(ipv4.address, ipv4.gateway)
    return Target(ipv4.address, ipv4.gateway, ipv6.address, ipv6.gateway)


def detach(connection: Connection) -> None:
    connection.end()
