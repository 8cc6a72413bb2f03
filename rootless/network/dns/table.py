"""The names of containers in each network. Pure: dictionaries in, values out, no wire format."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    View: TypeAlias = tuple[str, ...]
    """The ids of the networks whose names a client sees, that whose gateway it asks first."""


class Member(NamedTuple):
    """A container in a network. `names` are those that it has there, the first is its own; an address of a family that
    it does not have is empty. `servers` are the name servers that are asked for it in place of the host's.
    """

    container: str
    names: tuple[str, ...]
    address: str
    ipv6_address: str
    servers: tuple[str, ...] = ()


class Zone(NamedTuple):
    """A network. Nothing leads out of one that `is_internal`."""

    id: str
    name: str
    members: tuple[Member, ...]
    is_internal: bool


class Names:
    """The names of all networks, and who sees which: a container those of all networks that it is in."""

    def __init__(self) -> None:
        self._zones: dict[str, Zone] = {}
        self._places: dict[str, dict[str, Member]] = {}
        """Members by network and address."""
        self._networks: dict[str, list[str]] = {}
        """The networks of each container."""

    def replace(self, zone: Zone) -> None:
        """Set the members of the network."""
        self._zones[zone.id] = zone
        self._places[zone.id] = {
            address: member
            for member in zone.members
            for address in (member.address, member.ipv6_address)
            if address
        }
        self._index()

    def remove(self, network: str) -> None:
        self._zones.pop(network, None)
        self._places.pop(network, None)
        self._index()

    def _index(self) -> None:
        self._networks = {}
        for zone in self._zones.values():
            for member in zone.members:
                self._networks.setdefault(member.container, []).append(zone.id)

    def zone(self, network: str) -> Zone | None:
        return self._zones.get(network)

    def view(self, network: str, client: str) -> View:
        """Of the client with an address, which asks the gateway of a network."""
        member = self._places.get(network, {}).get(client)
        others = self._networks.get(member.container, []) if member else []
        if others == [network]:
            return (network,)
        ids = [network, *(each for each in sorted(others) if each != network)]
        return tuple(each for each in ids if each in self._zones)

    def views(self, network: str) -> dict[View, str]:
        """Of the members of a network, which ask its gateway, each with the address of one that has it."""
        return {self.view(network, address): address for address in self._places.get(network, {})}

    def _seen(self, network: str, client: str) -> list[Zone]:
        return [self._zones[each] for each in self.view(network, client)]

    def addresses(self, network: str, client: str, name: str, *, ipv6: bool) -> list[str] | None:
        """The addresses of a name, which is in lower case and without a dot at the end; None if no container has it."""
        for zone in self._seen(network, client):
            suffix = f".{zone.name.lower()}"
            for wanted in (name, name.removesuffix(suffix)):
                named = [each for each in zone.members if wanted in each.names]
                if named:
                    found = (each.ipv6_address if ipv6 else each.address for each in named)
                    return [each for each in found if each]
        return None

    def name_of(self, network: str, client: str, address: str) -> str:
        """The name of the container with an address, with that of the network; empty if there is none."""
        for zone in self._seen(network, client):
            member = self._places[zone.id].get(address)
            if member is not None:
                return f"{member.names[0]}.{zone.name}"
        return ""

    def servers(self, network: str, client: str, host: Iterable[str]) -> tuple[str, ...]:
        """The name servers to ask for a client, of which `host` are the host's; none for one that nothing leads out
        for.
        """
        if all(zone.is_internal for zone in self._seen(network, client)):
            return ()
        member = self._places.get(network, {}).get(client)
        return member.servers if member and member.servers else tuple(host)


def zone_of(plain: Mapping[str, object]) -> Zone:
    """The inverse of `plain_zone`. Raises TypeError."""
    members = plain["members"]
    if not isinstance(members, list):
        raise TypeError("members")
    return Zone(
        str(plain["id"]),
        str(plain["name"]),
        tuple(
            Member(each[0], tuple(each[1]), each[2], each[3], tuple(each[4])) for each in members
        ),
        bool(plain["is_internal"]),
    )


def plain_zone(zone: Zone) -> dict[str, object]:
    """As JSON has it."""
    return {**zone._asdict(), "members": [list(each) for each in zone.members]}
