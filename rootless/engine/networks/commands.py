"""The commands about networks."""

from __future__ import annotations

import time

from rootless.containers.status import ALIVE
from rootless.containers.timestamps import now
from rootless.errors import InUseError, NotFoundError, UsageError
from rootless.events.event import Event, EventType
from rootless.events.log import EventLog
from rootless.images.events import report_prune
from rootless.network.defined.creation import NetworkRequest, make_record
from rootless.network.defined.host_routes import host_ranges
from rootless.network.defined.record import NetworkRecord, Subnet
from rootless.network.endpoint import default_endpoint_id
from rootless.network.options import BRIDGE, PREDEFINED, predefined_id
from rootless.network.setup import IPV4
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.filters import NetworkFilters
    from rootless.network.endpoint import Assigned


class _Member(NamedTuple):
    """A container that runs and is in a network."""

    record: ContainerRecord
    place: Assigned


def create_network(paths: StoragePaths, request: NetworkRequest) -> NetworkRecord:
    """Make a network. Raises UsageError, ConflictError, NotFoundError, HostSupportError."""
    record = paths.networks.create(
        lambda existing: make_record(request, existing, host_ranges, now())
    )
    _report(paths, record, "create")
    return record


def list_networks(paths: StoragePaths, filters: NetworkFilters) -> list[NetworkRecord]:
    """The networks that pass the filters, sorted by name, with docker's three."""
    used = (
        {each.place.network_id for each in _members(paths)} if filters.dangling is not None else ()
    )
    records = sorted([*predefined(), *paths.networks.all()], key=lambda record: record.name)
    return [
        record
        for record in records
        if _matches(filters, record, in_use=is_predefined(record) or record.id in used)
    ]


def _matches(filters: NetworkFilters, record: NetworkRecord, *, in_use: bool) -> bool:
    return filters.match(
        record.name,
        record.id,
        record.driver,
        record.labels,
        record.created,
        is_builtin=is_predefined(record),
        in_use=in_use,
    )


def predefined() -> list[NetworkRecord]:
    """Docker's networks that are always there: a private one for each container, the host's, and none."""
    return [
        NetworkRecord(
            predefined_id(name),
            name,
            "",
            (Subnet("10.0.2.0/24", IPV4.gateway),) if name == BRIDGE else (),
            driver,
        )
        for name, driver in PREDEFINED.items()
    ]


def is_predefined(record: NetworkRecord) -> bool:
    return record.name in PREDEFINED


def find_network(paths: StoragePaths, name: str) -> NetworkRecord:
    """By name, id, or the beginning of an id. Raises NotFoundError, UsageError."""
    for record in predefined():
        if name in {record.name, record.id}:
            return record
    try:
        return paths.networks.find(name)
    except NotFoundError:
        matching = [each for each in predefined() if name and each.id.startswith(name)]
        if len(matching) != 1:
            raise
        return matching[0]


def inspect_network(paths: StoragePaths, name: str) -> dict[str, Any]:
    """The document of `docker network inspect`. Raises NotFoundError."""
    record = find_network(paths, name)
    builtin = is_predefined(record)
    members = _in_default(paths, record.name) if builtin else _in_network(paths, record)
    return {
        "Name": record.name,
        "Id": record.id,
        "Created": record.created or "0001-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": record.driver,
        "EnableIPv4": record.has_ipv4,
        "EnableIPv6": record.has_ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None if builtin else {},
            "Config": None
            if builtin and not record.subnets
            else [_pool(each) for each in record.subnets],
        },
        "Internal": record.is_internal,
        "Attachable": record.is_attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": members,
        "Options": dict(record.options),
        "Labels": dict(record.labels),
    }


def _pool(subnet: Subnet) -> dict[str, Any]:
    pool: dict[str, Any] = {"Subnet": subnet.subnet}
    if subnet.ip_range:
        pool["IPRange"] = subnet.ip_range
    if subnet.gateway:
        pool["Gateway"] = subnet.gateway
    if subnet.reserved:
        pool["AuxiliaryAddresses"] = dict(subnet.reserved)
    return pool


def _in_network(paths: StoragePaths, network: NetworkRecord) -> dict[str, dict[str, str]]:
    """The containers that run and are in a network, as docker shows them, by id."""
    return {
        record.id: _shown(
            record,
            place.endpoint_id,
            place.mac_address,
            (place.address, place.prefix),
            (place.ipv6_address, place.ipv6_prefix),
        )
        for record, place in _members(paths)
        if place.network_id == network.id
    }


def _in_default(paths: StoragePaths, name: str) -> dict[str, dict[str, str]]:
    """As `_in_network`, of one of docker's three."""
    return {
        record.id: _shown(
            record,
            default_endpoint_id(record.id, name),
            endpoint.mac_address,
            (endpoint.address, endpoint.prefix),
            (endpoint.ipv6_address, endpoint.ipv6_prefix),
        )
        for record in _alive(paths)
        if (endpoint := record.endpoint) is not None and endpoint.default == name
    }


def _shown(
    record: ContainerRecord,
    endpoint_id: str,
    mac_address: str,
    ipv4: tuple[str, int],
    ipv6: tuple[str, int],
) -> dict[str, str]:
    return {
        "Name": record.name,
        "EndpointID": endpoint_id,
        "MacAddress": mac_address,
        "IPv4Address": f"{ipv4[0]}/{ipv4[1]}" if ipv4[0] else "",
        "IPv6Address": f"{ipv6[0]}/{ipv6[1]}" if ipv6[0] else "",
    }


def remove_network(paths: StoragePaths, name: str) -> NetworkRecord:
    """Remove a network. Raises NotFoundError, UsageError for one of docker's three, InUseError if a container that runs is
    in it.
    """
    record = find_network(paths, name)
    if is_predefined(record):
        raise UsageError(f"{record.name} is a pre-defined network and cannot be removed")

    def check() -> None:
        members = [each.record for each in _members(paths) if each.place.network_id == record.id]
        if members:
            named = ", ".join(f'name:"{each.name}" id:"{each.id[:12]}"' for each in members)
            raise InUseError(
                f"error while removing network: network {record.name} has active endpoints ({named})"
            )

    paths.networks.remove(record, check)
    _report(paths, record, "destroy")
    return record


def prune_networks(paths: StoragePaths, filters: NetworkFilters) -> list[NetworkRecord]:
    """Remove networks that no container is in which runs."""
    candidates = [
        record for record in paths.networks.all() if _matches(filters, record, in_use=False)
    ]
    removed = paths.networks.prune(
        candidates, lambda: {each.place.network_id for each in _members(paths)}
    )
    for record in removed:
        _report(paths, record, "destroy")
    report_prune(paths, EventType.NETWORK, 0)
    return removed


def _members(paths: StoragePaths) -> list[_Member]:
    return [
        _Member(record, place)
        for record in _alive(paths)
        if record.endpoint is not None
        for place in record.endpoint.places
    ]


def _alive(paths: StoragePaths) -> list[ContainerRecord]:
    from rootless.containers.reconcile import reconcile

    reconcile(paths.containers)
    return [record for record in paths.containers.all() if record.status in ALIVE]


def _report(paths: StoragePaths, record: NetworkRecord, action: str) -> None:
    """Write an event of a network."""
    attributes = {"name": record.name, "type": record.driver}
    event = Event(time.time_ns(), EventType.NETWORK, action, record.id, attributes)
    EventLog(paths.runtime).append(event)
