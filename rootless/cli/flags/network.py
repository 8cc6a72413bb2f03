"""--network, --publish, --publish-all, --expose and --mac-address."""

from __future__ import annotations

from rootless.cli.flags.names import is_address
from rootless.csv_fields import split_fields
from rootless.errors import UsageError
from rootless.network.options import (
    CONTAINER,
    HOST,
    PASTA,
    SLIRP4NETNS,
    ExposedPort,
    NetworkOptions,
    PortRequest,
)
from rootless.network.ports import parse_expose, parse_publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELDS = frozenset({"name", "alias", "ip", "ip6", "mac-address", "driver-opt", "link-local-ip"})
"""Docker's keys of the long form."""
_USER_DEFINED = "user-defined networks are not supported yet"
DISCARDED = "Published ports are discarded when using host network mode"
"""Docker's warning."""


def parse_network(
    names: Sequence[str],
    *,
    publish: Sequence[str],
    publish_all: bool,
    expose: Sequence[str],
    mac_address: str,
) -> NetworkOptions:
    """Raises UsageError with docker's words."""
    network = NetworkOptions()
    for index, text in enumerate(names):
        other = _network(text)
        if index and other.name == network.name:
            raise UsageError(f'network "{other.name}" is specified multiple times')
        if index:
            raise UsageError(
                f"cannot connect a container to network {other.name} as well: {_USER_DEFINED}"
            )
        network = other
    ports = tuple(port for text in publish for port in parse_publish(text, is_address))
    exposed = tuple(port for text in expose for port in parse_expose(text))
    if network.container:
        _check_shared(ports, exposed)
    if mac_address and network.mac_address not in {"", mac_address}:
        raise UsageError(
            "conflicting options: cannot specify both --mac-address and per-network MAC address"
        )
    return network._replace(
        mac_address=_mac_address(mac_address or network.mac_address),
        ports=() if network.name == HOST else ports,
        publish_all=publish_all and network.name != HOST,
        exposed=exposed,
    )


def discards_ports(names: Sequence[str], publish: Sequence[str]) -> bool:
    """Whether docker warns of that: on the host's network every port is the host's."""
    return bool(publish) and tuple(names) == (HOST,)


def _network(text: str) -> NetworkOptions:
    """NAME, a driver's name with arguments after a colon (podman's form), or docker's fields KEY=VALUE."""
    if not text:
        raise UsageError("no name set for network")
    if text == CONTAINER:
        raise UsageError("invalid network mode: invalid container format container:<name|id>")
    driver, colon, arguments = text.partition(":")
    if driver in {PASTA, SLIRP4NETNS}:
        return NetworkOptions(driver, tuple(filter(None, arguments.split(","))) if colon else ())
    if "=" not in text:
        return NetworkOptions(text)
    fields: dict[str, str] = {}
    for field in split_fields(text):
        key, _, value = field.partition("=")
        key = key.strip().lower()
        if key not in _FIELDS:
            raise UsageError(
                f'invalid argument "{text}" for "--network" flag: invalid field key {key}'
            )
        fields[key] = value.strip()
    name = fields.get("name", "")
    if not name:
        raise UsageError("no name set for network")
    if "alias" in fields:
        raise UsageError("network-scoped aliases are only supported for user-defined networks")
    if {"ip", "ip6", "link-local-ip"} & set(fields):
        raise UsageError("user specified IP address is supported on user defined networks only")
    return NetworkOptions(name, mac_address=fields.get("mac-address", ""))


def _check_shared(ports: Sequence[PortRequest], exposed: Sequence[ExposedPort]) -> None:
    if ports:
        raise UsageError("conflicting options: port publishing and the container type network mode")
    if exposed:
        raise UsageError("conflicting options: port exposing and the container type network mode")


def _mac_address(text: str) -> str:
    """Six bytes in hexadecimal digits. Raises UsageError."""
    if not text:
        return ""
    pairs = text.replace("-", ":").split(":")
    digits = set("0123456789abcdefABCDEF")
    if len(pairs) != 6 or not all(len(pair) == 2 and set(pair) <= digits for pair in pairs):
        raise UsageError(f"{text} is not a valid mac address")
    return ":".join(pairs).lower()
