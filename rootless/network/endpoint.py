"""A container's place in a network, as its record has it. Pure."""

from __future__ import annotations

from rootless.network.options import (
    BRIDGE,
    HOST,
    NONE,
    PREDEFINED,
    PRIVATE,
    Attachment,
    ExposedPort,
    PublishedPort,
    attachment_of,
    predefined_id,
)
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.network.options import NetworkOptions
    from rootless.network.setup import NetworkSetup


_TYPES: dict[str, type] = {"prefix": int, "ipv6_prefix": int, "is_defined": bool}
"""Of the fields that are not text."""
_LISTS = frozenset({"ports", "exposed", "attachments", "places"})


class Assigned(NamedTuple):
    """What a container that runs has in a network. Addresses of a family that the network does not have are empty."""

    network: str
    network_id: str
    endpoint_id: str
    interface: str
    mac_address: str
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    ipv6_address: str = ""
    ipv6_prefix: int = 0
    ipv6_gateway: str = ""
    resolver: str = ""
    """The address of the network's DNS."""
    is_internal: bool = False
    """Nothing leads out of the network, and it has no gateway."""

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """With the lengths of their prefixes."""
        both = ((self.address, self.prefix), (self.ipv6_address, self.ipv6_prefix))
        return tuple(each for each in both if each[0])


class ConnectedNetwork(NamedTuple):
    """A network that a container is in while it runs."""

    id: str
    name: str
    driver: str


class Endpoint(NamedTuple):
    """`network` is what was asked for when the container was made, `driver` what connects it to the default network.

    Addresses are empty without a private network. `ports` are there while the container runs.
    """

    network: str
    driver: str = ""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    ipv6_address: str = ""
    ipv6_prefix: int = 0
    ipv6_gateway: str = ""
    mac_address: str = ""
    ports: tuple[PublishedPort, ...] = ()
    exposed: tuple[ExposedPort, ...] = ()
    reason: str = ""
    """Why it is the host's network, where no option asked for that."""
    is_defined: bool = False
    """It has no other networks than those that a user has defined."""
    attachments: tuple[Attachment, ...] = ()
    """Networks that a user has defined."""
    places: tuple[Assigned, ...] = ()
    """What it has in them while it runs, the one with the way out first."""

    def with_attachments(self, connected: Attachment | None, disconnected: str = "") -> Endpoint:
        """After a connection to a network, or the end of that to the network with an id."""
        replaced = {disconnected, "" if connected is None else connected.network_id}
        kept = tuple(each for each in self.attachments if each.network_id not in replaced)
        return self._replace(attachments=(*kept, *(() if connected is None else (connected,))))

    def with_default(self, setup: NetworkSetup | None) -> Endpoint:
        """After a connection to the default network, or with None after its end."""
        if setup is None:
            return self._replace(
                is_defined=True,
                driver="",
                address="",
                prefix=0,
                gateway="",
                ipv6_address="",
                ipv6_prefix=0,
                ipv6_gateway="",
                mac_address="",
            )
        ipv4, ipv6 = setup.ipv4, setup.ipv6
        return self._replace(
            is_defined=False,
            driver=setup.driver,
            address=ipv4.address,
            prefix=ipv4.prefix,
            gateway=ipv4.gateway,
            ipv6_address="" if ipv6 is None else ipv6.address,
            ipv6_prefix=0 if ipv6 is None else ipv6.prefix,
            ipv6_gateway="" if ipv6 is None else ipv6.gateway,
            mac_address=setup.mac_address,
        )

    @property
    def default(self) -> str:
        """The network that it has beside those that a user has defined: `bridge` or a driver's name, `host` or `none`.
        Empty if it has none, or shares another container's.
        """
        if self.is_defined or ":" in self.network:
            return ""
        return self.network if self.network in {HOST, NONE, *PRIVATE} else BRIDGE

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks that it is in; one that shares another container's is in none of its own."""
        defined = tuple(each.network for each in self.attachments)
        return (self.default, *defined) if self.default else defined

    def connected(self, places: tuple[Assigned, ...]) -> tuple[ConnectedNetwork, ...]:
        """The networks of a container that runs and has these places."""
        name = self.default
        defined = (
            ConnectedNetwork(each.network_id, each.network, PREDEFINED[BRIDGE]) for each in places
        )
        if not name:
            return tuple(defined)
        return (ConnectedNetwork(predefined_id(name), name, PREDEFINED.get(name, name)), *defined)


def default_endpoint_id(container: str, network: str) -> str:
    """The id of a container's endpoint in one of docker's three networks, where none is recorded: the same each time, and
    no other container's.
    """
    from hashlib import sha256

    return sha256(f"{container} {network}".encode()).hexdigest()


def endpoint_of(
    options: NetworkOptions, setup: NetworkSetup | None, exposed: tuple[ExposedPort, ...]
) -> Endpoint:
    """That of a container which has just been created."""
    if setup is None:
        return Endpoint(options.name)
    if setup.attachments:
        return Endpoint(
            options.name, exposed=exposed, is_defined=True, attachments=setup.attachments
        )
    return Endpoint(options.name, exposed=exposed).with_default(setup)


def plain_endpoint(endpoint: Endpoint | None) -> dict[str, Any] | None:
    """As JSON and marshal have it: what is not empty. `endpoint_in` is the inverse."""
    if endpoint is None:
        return None
    fields = {name: value for name, value in endpoint._asdict().items() if value}
    for name in ("ports", "exposed"):
        if name in fields:
            fields[name] = [list(each) for each in fields[name]]
    for name in ("attachments", "places"):
        if name in fields:
            fields[name] = [each._asdict() for each in fields[name]]
    return fields


def endpoint_in(plain: dict[str, Any] | None) -> Endpoint | None:
    """Raises LookupError, TypeError or ValueError for what `plain_endpoint` does not make."""
    if plain is None:
        return None
    fields = {name: value for name, value in plain.items() if name in Endpoint._fields}
    fields["ports"] = tuple(PublishedPort(*each) for each in fields.get("ports", ()))
    fields["exposed"] = tuple(ExposedPort(*each) for each in fields.get("exposed", ()))
    fields["attachments"] = tuple(map(attachment_of, fields.get("attachments", ())))
    fields["places"] = tuple(Assigned(**each) for each in fields.get("places", ()))
    for name, value in fields.items():
        if name not in _LISTS and type(value) is not _TYPES.get(name, str):
            raise ValueError(name)
    return Endpoint(**fields)
