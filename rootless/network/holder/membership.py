"""The members of each network: containers, with their endpoints. Pure, but for the random parts of ids and addresses."""

from __future__ import annotations

import os

from rootless.errors import ConflictError, NotFoundError
from rootless.network.defined.addresses import choose_address, mac_address_of, random_mac_address
from rootless.network.defined.driver_options import INTERFACE_NAME, INTERFACE_PREFIX
from rootless.network.dns.table import Member, Zone
from rootless.network.endpoint import Assigned
from rootless.network.options import Attachment
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rootless.network.defined.record import NetworkRecord
    from rootless.network.holder.protocol import Guest, Wanted

_SHORT = 12
"""Digits of a container's id that are a name of it."""


class Place(NamedTuple):
    """A container's place in a network: what it asked for, and what it has."""

    attachment: Attachment
    assigned: Assigned


class Membership:
    """All places. `taken` has addresses that other containers had with a holder that was killed: they are theirs until
    they come back.
    """

    def __init__(self) -> None:
        self.records: dict[str, NetworkRecord] = {}
        """The networks that a container is in, by id."""
        self.guests: dict[str, Guest] = {}
        self._places: dict[str, dict[str, Place]] = {}
        """By container and network."""
        self.kept: dict[str, dict[str, str]] = {}
        """Containers by network and address."""
        self._ended: set[str] = set()
        """Containers that have no names any more."""

    def places(self, container: str) -> list[Assigned]:
        """Those of a container, the one with the way out first."""
        places = self._places.get(container, {}).values()
        return [each.assigned for each in sorted(places, key=_order)]

    def members(self, network: str) -> list[str]:
        """The containers in a network."""
        return [each for each, places in self._places.items() if network in places]

    def is_empty(self) -> bool:
        return not self.guests

    def choose(self, guest: Guest, wanted: Wanted, interfaces: Collection[str]) -> Place:
        """A place for a container in a network, which is not taken yet. `interfaces` are the names in its network
        namespace.

        Raises ConflictError if it is in the network already, RootlessError if there is no such address.
        """
        record, asked, previous = wanted.record, wanted.attachment, wanted.previous
        if record.id in self._places.get(guest.id, {}):
            raise ConflictError(
                f"endpoint with name {guest.name} already exists in network {record.name}"
            )
        taken = self._taken(record.id, guest.id)
        label = f"{record.name} ({record.id})"
        ipv4, ipv6 = record.subnet(ipv6=False), record.subnet(ipv6=True)
        assigned = Assigned(
            network=record.name,
            network_id=record.id,
            endpoint_id=os.urandom(32).hex(),
            interface=previous.interface if previous else _interface(wanted, interfaces),
            mac_address=asked.mac_address or (previous.mac_address if previous else ""),
            resolver=record.resolver,
            is_internal=record.is_internal,
        )
        if ipv4 is not None:
            before = previous.address if previous else ""
            address = choose_address(ipv4, asked.ip, taken, before, label)
            assigned = assigned._replace(
                address=address,
                prefix=ipv4.range.prefix,
                gateway="" if record.is_internal else ipv4.effective_gateway,
            )
        if ipv6 is not None:
            before = previous.ipv6_address if previous else ""
            address = choose_address(ipv6, asked.ip6, taken, before, label)
            assigned = assigned._replace(
                ipv6_address=address,
                ipv6_prefix=ipv6.range.prefix,
                ipv6_gateway="" if record.is_internal else ipv6.effective_gateway,
            )
        if not assigned.mac_address:
            assigned = assigned._replace(mac_address=self._mac_address(assigned))
        return Place(asked, assigned)

    def _mac_address(self, place: Assigned) -> str:
        """That of the IP address, so that the neighbours of a container which had the address before find this one at
        once; a random one if a container of the network has that.
        """
        found = mac_address_of(place.address or place.ipv6_address)
        used = {mac_address_of(place.resolver)}
        used.update(
            places[place.network_id].assigned.mac_address
            for places in self._places.values()
            if place.network_id in places
        )
        return random_mac_address() if found in used else found

    def _taken(self, network: str, container: str) -> set[str]:
        taken = {
            address for address, owner in self.kept.get(network, {}).items() if owner != container
        }
        for places in self._places.values():
            if network in places:
                assigned = places[network].assigned
                taken.update(filter(None, (assigned.address, assigned.ipv6_address)))
        return taken

    def add(self, guest: Guest, place: Place) -> None:
        """The place is the container's."""
        self.guests[guest.id] = guest
        self._places.setdefault(guest.id, {})[place.assigned.network_id] = place

    def rename(self, guest: Guest) -> list[NetworkRecord]:
        """A container has another name. Returns the networks that it is in."""
        self.guests[guest.id] = guest
        return [self.records[network] for network in self._places.get(guest.id, {})]

    def remove(self, container: str, network: str) -> Assigned:
        """Free the place. Raises NotFoundError."""
        place = self._places.get(container, {}).pop(network, None)
        if place is None:
            raise NotFoundError(f"container {container} is not connected to the network {network}")
        return place.assigned

    def end(self, container: str) -> list[NetworkRecord]:
        """No name leads to a container any more. Returns the networks that it is in."""
        self._ended.add(container)
        return [self.records[network] for network in self._places.get(container, {})]

    def forget(self, container: str) -> None:
        """The container, which has no places any more, has ended."""
        self._places.pop(container, None)
        self.guests.pop(container, None)
        self._ended.discard(container)

    def zone(self, record: NetworkRecord) -> Zone:
        """What DNS has to know of a network."""
        members = (
            self._member(self.guests[container], places[record.id])
            for container, places in self._places.items()
            if record.id in places and container not in self._ended
        )
        return Zone(record.id, record.name, tuple(members), record.is_internal)

    def _member(self, guest: Guest, place: Place) -> Member:
        names = names_of(guest.name, guest.id, guest.hostname, place.attachment.aliases)
        lower = tuple(name.lower() for name in names)
        assigned = place.assigned
        return Member(guest.id, lower, assigned.address, assigned.ipv6_address, guest.servers)

    def assignments(self) -> dict[str, dict[str, str]]:
        """Every address in use: containers by network and address."""
        found: dict[str, dict[str, str]] = {}
        for container, places in self._places.items():
            for network, place in places.items():
                for address in (place.assigned.address, place.assigned.ipv6_address):
                    if address:
                        found.setdefault(network, {})[address] = container
        return found


def names_of(name: str, container: str, hostname: str, aliases: Iterable[str]) -> tuple[str, ...]:
    """The names of a container in a network, in docker's order."""
    return tuple(dict.fromkeys(filter(None, (name, *aliases, container[:_SHORT], hostname))))


def _order(place: Place) -> tuple[bool, int, str]:
    """Which place has the way out, as with docker: one of the highest priority, in a network that is not internal, the
    first by name.
    """
    assigned = place.assigned
    return assigned.is_internal, -place.attachment.gateway_priority, assigned.network


def in_order(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Attachments in the order in which their interfaces are made."""
    return sorted(
        wanted,
        key=lambda each: (
            each.record.is_internal,
            -each.attachment.gateway_priority,
            each.record.name,
        ),
    )


def _interface(wanted: Wanted, used: Collection[str]) -> str:
    """The name of a new interface. Raises ConflictError for one that is asked for and there already."""
    asked = dict(wanted.attachment.driver_options).get(INTERFACE_NAME, "")
    if asked in used:
        raise ConflictError(f"interface {asked} exists")
    prefix = wanted.record.options.get(INTERFACE_PREFIX, "") or "eth"
    number = 0
    while f"{prefix}{number}" in used:
        number += 1
    return asked or f"{prefix}{number}"
