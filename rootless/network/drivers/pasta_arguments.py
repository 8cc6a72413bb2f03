"""What is given to pasta in `--network pasta:…` (podman-run(1)): options that say how the container is addressed become part
of its setup, so that /etc/hosts, /etc/resolv.conf and published ports are right; all others are pasta's own. Pure.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.network.cidr import Range, parse_address
from rootless.network.setup import INTERFACE, IPV4, IPV6, Addresses
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN = ("--netns", "--userns", "--pid", "-P", "--foreground", "-f", "--config-net", "--netns-only")
"""Options that the driver itself needs."""
_MAP_GATEWAY = "--map-gw"
"""Podman's; pasta has its opposite."""
_ADDRESS, _NETMASK, _GATEWAY, _RESOLVER = "--address", "--netmask", "--gateway", "--dns-forward"
_INTERFACE, _MAC_ADDRESS = "--ns-ifname", "--ns-mac-addr"
_SHORT = {"-a": _ADDRESS, "-n": _NETMASK, "-g": _GATEWAY, "-I": _INTERFACE}
_ADDRESSING = frozenset({_ADDRESS, _NETMASK, _GATEWAY, _RESOLVER, _INTERFACE, _MAC_ADDRESS})
_BITS = {32: 24, 128: 64}
"""The prefix of a subnet for whose length nothing is given, by the bits of an address."""


class PastaArguments(NamedTuple):
    """`words` are passed on to pasta. `host_loopback`: the host's loopback addresses are reached at the gateway's."""

    ipv4: Addresses
    ipv6: Addresses
    interface: str
    mac_address: str
    host_loopback: bool
    words: tuple[str, ...]


def parse_arguments(arguments: Sequence[str]) -> PastaArguments:
    """Raises UsageError."""
    asked: dict[tuple[str, int], str] = {}
    loopback = False
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name)
        if word == _MAP_GATEWAY:
            loopback = True
        elif name in _ADDRESSING:
            value = value if equals else next(rest, "")
            asked[name, _bits(name, value)] = value
        elif not word.startswith("-") and not words:
            raise UsageError(f"--network pasta: {word!r} is not an option of pasta")
        elif name in _OWN:
            raise UsageError(f"--network pasta: {word} is set by the engine")
        else:
            words.append(word)
    mask = asked.get((_NETMASK, 0), "")
    prefix = _prefix(mask) if mask else 0
    return PastaArguments(
        _addresses(IPV4, 32, asked, prefix),
        _addresses(IPV6, 128, asked, 0),
        asked.get((_INTERFACE, 0)) or INTERFACE,
        asked.get((_MAC_ADDRESS, 0), ""),
        loopback,
        tuple(words),
    )


def _bits(option: str, value: str) -> int:
    """Of the address that an option of both families gives; 0 for another option (pasta(1))."""
    if option in {_NETMASK, _INTERFACE, _MAC_ADDRESS}:
        return 0
    try:
        return parse_address(value)[1]
    except ValueError:
        raise UsageError(f"--network pasta: {option}: {value!r} is not an IP address") from None


def _prefix(mask: str) -> int:
    """The length of a netmask, which is dotted or a number of bits. Raises UsageError."""
    try:
        number = int(mask) if mask.isdecimal() else _length(parse_address(mask)[0])
    except ValueError:
        number = 0
    if not 1 <= number <= 30:
        raise UsageError(f"--network pasta: --netmask: {mask!r} is not a netmask")
    return number


def _length(mask: int) -> int:
    prefix = mask.bit_count()
    if mask != (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF:
        raise ValueError(mask)
    return prefix


def _addresses(
    default: Addresses, bits: int, asked: dict[tuple[str, int], str], prefix: int
) -> Addresses:
    """Where an address is given and no gateway, that is the first other one of the subnet. The resolver need not be in
    the subnet: what is sent to it passes the gateway, where pasta takes it.
    """
    address = asked.get((_ADDRESS, bits), default.address)
    prefix = prefix or (default.prefix if address == default.address else _BITS[bits])
    number = parse_address(address)[0]
    subnet = Range(number >> (bits - prefix) << (bits - prefix), prefix, bits)
    first = (subnet.text(subnet.base + host) for host in range(1, subnet.size))
    free = (each for each in first if each != subnet.text(number))
    gateway, resolver = default.gateway, default.resolver
    if address != default.address:
        gateway, resolver = next(free), next(free)
    gateway = asked.get((_GATEWAY, bits), gateway)
    if parse_address(gateway)[0] not in subnet:
        raise UsageError(f"--network pasta: --gateway: {gateway} is not in {subnet}")
    return Addresses(address, prefix, gateway, asked.get((_RESOLVER, bits), resolver))
