"""The networks of a container, as `inspect` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rootless.containers.status import ALIVE, Status
from rootless.network.endpoint import Assigned, Endpoint, default_endpoint_id
from rootless.network.holder.membership import names_of
from rootless.network.options import PREDEFINED, Attachment, predefined_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.record import ContainerRecord


def network_settings(record: ContainerRecord, hostname: str) -> dict[str, Any]:
    """Docker's `NetworkSettings`. `hostname` is the container's own."""
    endpoint = record.endpoint
    is_up = record.status in ALIVE and endpoint is not None
    shown = endpoint if is_up and endpoint is not None else Endpoint("")
    addresses = {
        "EndpointID": _default_endpoint(record, shown) if shown.address else "",
        "Gateway": shown.gateway,
        "GlobalIPv6Address": shown.ipv6_address,
        "GlobalIPv6PrefixLen": shown.ipv6_prefix,
        "IPAddress": shown.address,
        "IPPrefixLen": shown.prefix,
        "IPv6Gateway": shown.ipv6_gateway,
        "MacAddress": shown.mac_address,
    }
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": f"/proc/{record.pid}/ns/net" if is_up and ":" not in shown.network else "",
        "Ports": _ports(shown),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **addresses,
        "Networks": _networks(record, hostname, addresses),
    }


def _ports(endpoint: Endpoint) -> dict[str, list[dict[str, str]] | None]:
    """Ports of the container, and those of the host that lead to them."""
    ports: dict[str, list[dict[str, str]] | None] = {str(each): None for each in endpoint.exposed}
    for each in sorted(endpoint.ports):
        entry = {"HostIp": each.address, "HostPort": str(each.host_port)}
        ports[str(each.exposed)] = [*(ports.get(str(each.exposed)) or ()), entry]
    return dict(sorted(ports.items()))


def _networks(
    record: ContainerRecord, hostname: str, addresses: Mapping[str, Any]
) -> dict[str, Any]:
    """By name. A container that shares another's network is in none of its own."""
    endpoint = record.endpoint
    if endpoint is None or not endpoint.networks:
        return {}
    places = {each.network_id: each for each in endpoint.places}
    defined = {
        each.network: _place(record, hostname, each, places.get(each.network_id))
        for each in endpoint.attachments
    }
    if not endpoint.default:
        return dict(sorted(defined.items()))
    settings = {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "DriverOpts": _driver_options(endpoint),
        "GwPriority": 0,
        "NetworkID": _default_id(record, endpoint),
        "DNSNames": None,
    }
    if record.status in ALIVE:
        addresses = {**addresses, "EndpointID": _default_endpoint(record, endpoint)}
    return dict(sorted({endpoint.default: {**settings, **addresses}, **defined}.items()))


def _default_endpoint(record: ContainerRecord, endpoint: Endpoint) -> str:
    return default_endpoint_id(record.id, endpoint.default)


def _default_id(record: ContainerRecord, endpoint: Endpoint) -> str:
    known = record.status in ALIVE and endpoint.default in PREDEFINED
    return predefined_id(endpoint.default) if known else ""


def _place(
    record: ContainerRecord, hostname: str, asked: Attachment, place: Assigned | None
) -> dict[str, Any]:
    """A container's place in a network that a user has defined; None while it does not run."""
    names = names_of(record.name, record.id, hostname, asked.aliases)
    has_run = record.status is not Status.CREATED
    config = {"IPv4Address": asked.ip, "IPv6Address": asked.ip6}
    given = {name: value for name, value in config.items() if value}
    found = place or Assigned(
        asked.network, asked.network_id, "", "", "" if has_run else asked.mac_address
    )
    return {
        "IPAMConfig": given or ({} if asked.is_by_connect else None),
        "Links": None,
        "Aliases": list(asked.aliases) or ([] if asked.is_by_connect else None),
        "MacAddress": found.mac_address,
        "DriverOpts": dict(asked.driver_options) or ({} if asked.is_by_connect else None),
        "GwPriority": asked.gateway_priority,
        "NetworkID": found.network_id if has_run else "",
        "EndpointID": found.endpoint_id,
        "Gateway": found.gateway,
        "IPAddress": found.address,
        "IPPrefixLen": found.prefix,
        "IPv6Gateway": found.ipv6_gateway,
        "GlobalIPv6Address": found.ipv6_address,
        "GlobalIPv6PrefixLen": found.ipv6_prefix,
        "DNSNames": list(names) if has_run else None,
    }


def _driver_options(endpoint: Endpoint) -> dict[str, str] | None:
    """Which program connects it, or why it is the host's network without having been asked for."""
    named = {"driver": endpoint.driver, "reason": endpoint.reason}
    return {name: value for name, value in named.items() if value} or None
