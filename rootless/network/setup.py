"""The network setup of a container, decided when it is created. Pure."""

from __future__ import annotations

from rootless.network.options import Attachment, PortRequest, attachment_of
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERFACE = "eth0"
"""Docker's name of a container's first interface."""


class Addresses(NamedTuple):
    """Addresses of one family in a private network. `gateway` is the way out; `resolver` answers DNS by asking the
    host's name servers. All are in one subnet, which `prefix` bits of each name.
    """

    address: str
    prefix: int
    gateway: str
    resolver: str


IPV4 = Addresses("10.0.2.100", 24, "10.0.2.2", "10.0.2.3")
"""Those of slirp4netns (slirp4netns(1), --cidr), for every driver."""
IPV6 = Addresses("fdd7:52ab:1c9e::64", 64, "fdd7:52ab:1c9e::2", "fdd7:52ab:1c9e::3")
"""In a prefix for private use that was chosen at random (RFC 4193, section 3.2.2)."""


class NetworkSetup(NamedTuple):
    """A private network. `driver` is its name in `rootless.network.drivers`, `program` the absolute path of its
    helper program, `words` are more arguments for that. `host_loopback`: the host's loopback addresses are reached
    at the gateway's address. `mtu` is in bytes, 0 for the program's default. `ipv6` is None where the host has no
    way out for it.
    """

    driver: str
    program: str
    ipv4: Addresses = IPV4
    ipv6: Addresses | None = None
    mac_address: str = ""
    mtu: int = 0
    host_loopback: bool = False
    interface: str = INTERFACE
    words: tuple[str, ...] = ()
    ports: tuple[PortRequest, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    """Networks that a user has defined, each with its id. Then the program is the way out of all such networks, and there
    is none if `driver` is empty."""
    name_servers: tuple[str, ...] = ()
    """Those that the network's DNS asks for the container in place of the host's."""


def plain_setup(setup: NetworkSetup) -> dict[str, Any]:
    """As JSON and marshal have it; `setup_of` is the inverse."""
    return {
        **setup._asdict(),
        "ipv4": tuple(setup.ipv4),
        "ipv6": None if setup.ipv6 is None else tuple(setup.ipv6),
        "ports": tuple(map(tuple, setup.ports)),
        "attachments": [each._asdict() for each in setup.attachments],
    }


def setup_of(plain: dict[str, Any]) -> NetworkSetup:
    """Raises LookupError, TypeError or ValueError for what `plain_setup` does not make."""
    fields = {name: plain[name] for name in NetworkSetup._fields if name in plain}
    return NetworkSetup(
        **fields
        | {
            "ipv4": Addresses(*plain["ipv4"]),
            "ipv6": None if plain["ipv6"] is None else Addresses(*plain["ipv6"]),
            "words": tuple(plain["words"]),
            "name_servers": tuple(plain.get("name_servers", ())),
            "ports": tuple(PortRequest(*each) for each in plain["ports"]),
            "attachments": tuple(map(attachment_of, plain.get("attachments", ()))),
        }
    )
