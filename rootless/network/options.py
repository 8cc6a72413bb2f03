"""The network options of a container, as values. Pure."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOST, NONE, BRIDGE = "host", "none", "bridge"
PREDEFINED = {BRIDGE: "bridge", HOST: "host", NONE: "null"}
"""Docker's networks that are always there, and their drivers: a private one for each container, the host's, and none."""
PASTA, SLIRP4NETNS = "pasta", "slirp4netns"
PRIVATE = (BRIDGE, PASTA, SLIRP4NETNS)
"""The words for a private network with a way out: by whatever the machine has, or by one program."""
CONTAINER = "container:"
"""What the name of a network begins with that is another container's."""


class ExposedPort(NamedTuple):
    """A port that a program in the container listens on. `protocol` is tcp, udp or sctp."""

    number: int
    protocol: str = "tcp"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


class PortRequest(NamedTuple):
    """A port of the container that is to be published. `address` is an address of the host, empty for every
    address of both families. The host's port is one from `first` to `last`; 0 is any that is free.
    """

    number: int
    protocol: str = "tcp"
    address: str = ""
    first: int = 0
    last: int = 0

    @property
    def exposed(self) -> ExposedPort:
        return ExposedPort(self.number, self.protocol)


class PublishedPort(NamedTuple):
    """A port of the container and the address and port of the host that it is published at."""

    number: int
    protocol: str
    address: str
    host_port: int

    @property
    def exposed(self) -> ExposedPort:
        return ExposedPort(self.number, self.protocol)


class Attachment(NamedTuple):
    """What was asked for. `network` is a name or an id; empty addresses are chosen when the container starts.

    Of several networks the one with the highest `gateway_priority` has the way out. `network_id` is there once the
    network has been found.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac_address: str = ""
    driver_options: tuple[tuple[str, str], ...] = ()
    gateway_priority: int = 0
    network_id: str = ""
    is_by_connect: bool = False
    """By `network connect`, and not when the container was made."""


def attachment_of(plain: dict[str, Any]) -> Attachment:
    """The inverse of `_asdict` after JSON. Raises TypeError."""
    options = tuple((name, value) for name, value in plain.get("driver_options", ()))
    return Attachment(
        **{**plain, "aliases": tuple(plain.get("aliases", ())), "driver_options": options}
    )


class NetworkOptions(NamedTuple):
    """`name` is one of the words above, `container:` and a name or id, or empty for the default.

    `arguments` are a driver's own, as podman takes them after the name and a colon. `publish_all`: every port
    that the image or `exposed` names is published at a port of the host that is free.
    """

    name: str = ""
    arguments: tuple[str, ...] = ()
    mac_address: str = ""
    ports: tuple[PortRequest, ...] = ()
    publish_all: bool = False
    exposed: tuple[ExposedPort, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    """Networks that a user has defined; `name` is that of the first."""
    reason: str = ""
    """Why the default is the host's network, where it would be a private one."""

    @property
    def is_private(self) -> bool:
        """Whether it is a network of containers, and not the host's."""
        return bool(self.attachments) or self.name in PRIVATE

    @property
    def is_own(self) -> bool:
        """Whether the container has a network namespace of its own."""
        return self.is_private or self.name == NONE

    @property
    def container(self) -> str:
        """The name or id of the container whose network it is; empty if it is no container's."""
        return self.name.removeprefix(CONTAINER) if self.name.startswith(CONTAINER) else ""


DEFAULT_NETWORK = NetworkOptions()


def predefined_id(name: str) -> str:
    """The id of one of PREDEFINED: that of no other network, whose digits are random."""
    return name.encode().hex().ljust(64, "0")


def mac_address_with(last: bytes) -> str:
    """The MAC address of docker's prefix and these four bytes: locally administered, for one interface (IEEE 802, 8.4)."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *last))


def names_in_hosts(hostname: str, domainname: str = "") -> str:
    """The names of a container in its own /etc/hosts, as docker writes them: with the domain, then without it."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    first = full.partition(".")[0]
    return full if first in {"", full} else f"{full} {first}"
