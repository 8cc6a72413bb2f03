"""The driver slirp4netns (slirp4netns(1)), from version 1.2 on. It has IPv4 only: its IPv6 is experimental, and
unless asked for is left out.
"""

from __future__ import annotations

from rootless.errors import HostSupportError, UsageError
from rootless.network.driver import Host, Target
from rootless.network.helper import Helper
from rootless.network.setup import IPV4, Addresses, NetworkSetup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.driver import Connection
    from rootless.network.namespaces import Namespaces
    from rootless.network.options import NetworkOptions

NAME = "slirp4netns"
_MTU = 65520
"""The largest; the default, 1500, is many times slower."""
_BOOLEANS = {"true": True, "false": False}
_PORT_HANDLERS = ("rootlesskit", "slirp4netns")
_READY, _EXIT, _NETWORK = 3, 4, 5


def prepare(options: NetworkOptions, host: Host) -> NetworkSetup:
    if not host.program:
        raise HostSupportError(
            "--network slirp4netns: slirp4netns is not installed",
            hint="install the package slirp4netns, or use --network pasta or host",
        )
    setup = NetworkSetup(NAME, host.program, mac_address=options.mac_address, mtu=_MTU)
    for word in options.arguments:
        setup = _with_argument(setup, word)
    return setup


def _with_argument(setup: NetworkSetup, word: str) -> NetworkSetup:
    """Those of podman's arguments that change what the container sees. Raises UsageError."""
    key, _, value = word.partition("=")
    try:
        match key:
            case "allow_host_loopback":
                return setup._replace(host_loopback=_BOOLEANS[value])
            case "enable_ipv6":
                more = ("--enable-ipv6",) if _BOOLEANS[value] else ()
                return setup._replace(words=(*setup.words, *more))
            case "mtu":
                return setup._replace(mtu=int(value))
            case "cidr":
                return setup._replace(ipv4=_addresses_of(value))
            case "port_handler":
                # The engine itself publishes ports, and keeps the address of the client as slirp4netns does.
                if value not in _PORT_HANDLERS:
                    raise ValueError(value)
                return setup
            case "outbound_addr":
                return setup._replace(words=(*setup.words, "--outbound-addr", value))
            case _:
                raise UsageError(f"--network slirp4netns: {key!r} is not an option of slirp4netns")
    except (KeyError, ValueError):
        raise UsageError(f"--network slirp4netns: invalid value in {word!r}") from None


def _addresses_of(cidr: str) -> Addresses:
    """The program's own choice in a subnet of at most 25 bits: gateway 2, resolver 3, container 100. Raises
    ValueError."""
    network, slash, bits = cidr.partition("/")
    numbers = [int(word) for word in network.split(".")]
    prefix = int(bits) if slash else -1
    if len(numbers) != 4 or not all(0 <= number <= 255 for number in numbers):
        raise ValueError(cidr)
    value = int.from_bytes(bytes(numbers), "big")
    if not 8 <= prefix <= 25 or value & ((1 << (32 - prefix)) - 1):
        raise ValueError(cidr)

    def address(host: int) -> str:
        return ".".join(map(str, (value + host).to_bytes(4, "big")))

    return Addresses(address(100), prefix, address(2), address(3))


def command(setup: NetworkSetup) -> list[str]:
    """Its command line: readiness, end and network namespace are the descriptors 3, 4 and 5."""
    ipv4 = setup.ipv4
    network = f"{ipv4.gateway.rpartition('.')[0]}.0/{ipv4.prefix}"
    return [
        setup.program,
        *(
            "--configure",
            "--mtu",
            str(setup.mtu),
            "--ready-fd",
            str(_READY),
            "--exit-fd",
            str(_EXIT),
        ),
        *("--enable-sandbox", "--enable-seccomp"),
        *([] if ipv4 == IPV4 else ["--cidr", network]),
        *([] if setup.host_loopback else ["--disable-host-loopback"]),
        *(["--macaddress", setup.mac_address] if setup.mac_address else []),
        *setup.words,
        *("--netns-type", "path", f"/proc/self/fd/{_NETWORK}", setup.interface),
    ]


def attach(setup: NetworkSetup, namespaces: Namespaces) -> Helper:
    return Helper(command(setup), namespaces, network_at=_NETWORK, ready_at=_READY, exit_at=_EXIT)


def publish(setup: NetworkSetup, connection: Connection) -> Target:  # noqa: ARG001 - other drivers need it
    return Target(setup.ipv4.address, setup.ipv4.gateway)


def detach(connection: Connection) -> None:
    connection.end()
