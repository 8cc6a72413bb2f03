"""Makes a network from the options of `network create`, with docker's checks and messages; chooses subnets if none is
given.
"""

from __future__ import annotations

import os

from rootless.errors import ConflictError, HostSupportError, NotFoundError, UsageError
from rootless.network.cidr import Range, parse_address, parse_range
from rootless.network.defined.addresses import TAKEN
from rootless.network.defined.driver_options import check_options
from rootless.network.defined.record import BRIDGE_DRIVER, NetworkRecord, Subnet
from rootless.network.options import CONTAINER, HOST, NONE, PREDEFINED
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_DEFAULT = "default"
_DRIVERS_OF_ONE = {"host": HOST, "null": NONE}
RESERVED = "198.18.255.0/24"
"""The range of the way out of all networks (RFC 2544, appendix C.2.2), which no network may have."""
_OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"


class NetworkRequest(NamedTuple):
    """What the options of `network create` say; ranges and addresses are as they were typed."""

    name: str
    driver: str = BRIDGE_DRIVER
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    reserved: tuple[tuple[str, str], ...] = ()
    ipam_driver: str = _DEFAULT
    is_internal: bool = False
    has_ipv4: bool = True
    has_ipv6: bool = False
    is_attachable: bool = False
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}


def make_record(
    request: NetworkRequest,
    existing: Sequence[NetworkRecord],
    host_ranges: Callable[[], Iterable[Range]],
    created: str,
) -> NetworkRecord:
    """A new network beside the existing ones; `host_ranges` gives what the host has routes to.

    Raises:
        UsageError, ConflictError, NotFoundError, HostSupportError: docker's errors.
    """
    _check_name(request, existing)
    _check_driver(request)
    subnets = asked_subnets(request)
    taken = [each.range for record in existing for each in record.subnets]
    taken.append(parse_range(RESERVED))
    for each in subnets:
        if each.range.first_overlap(taken) is not None:
            raise ConflictError(_OVERLAP)
    routes = list(host_ranges()) if subnets else []
    for each in subnets:
        overlapping = each.range.first_overlap(routes)
        if overlapping is not None:
            raise ConflictError(
                f"{_OVERLAP}: the host has a route to {overlapping}", hint="choose another --subnet"
            )
    return NetworkRecord(
        id=os.urandom(32).hex(),
        name=request.name,
        created=created,
        subnets=tuple(_with_defaults(request, subnets, taken, host_ranges)),
        driver=request.driver or BRIDGE_DRIVER,
        is_internal=request.is_internal,
        has_ipv4=request.has_ipv4,
        has_ipv6=request.has_ipv6,
        is_attachable=request.is_attachable,
        has_chosen_subnets=bool(subnets),
        labels=request.labels,
        options=request.options,
    )


def _check_name(request: NetworkRequest, existing: Sequence[NetworkRecord]) -> None:
    name = request.name
    if not name.strip():
        raise UsageError("invalid name: name is empty")
    if name in (*PREDEFINED, _DEFAULT):
        raise UsageError(f"operation is not permitted on predefined {name} network")
    if name.startswith(CONTAINER) or not name.isprintable():
        raise UsageError(f"invalid name: {name!r} cannot be given to --network")
    if any(record.name == name for record in existing):
        raise ConflictError(f"network with name {name} already exists")


def _check_driver(request: NetworkRequest) -> None:
    driver = request.driver or BRIDGE_DRIVER
    if driver in _DRIVERS_OF_ONE:
        raise UsageError(f'only one instance of "{driver}" network is allowed')
    if driver in {"macvlan", "ipvlan", "overlay"}:
        raise HostSupportError(
            f"an ordinary user cannot make a network of the driver {driver}",
            hint="use --driver bridge",
        )
    if driver != BRIDGE_DRIVER:
        raise NotFoundError(f'plugin "{driver}" not found')
    if request.ipam_driver not in {"", _DEFAULT}:
        raise NotFoundError(f'plugin "{request.ipam_driver}" not found')
    check_options(request.options)
    if not (request.has_ipv4 or request.has_ipv6):
        raise UsageError("IPv4 or IPv6 must be enabled")


def asked_subnets(request: NetworkRequest) -> list[Subnet]:
    """Those that a user has named, with what belongs to each. Raises UsageError."""
    ranges = [_asked_range(text, "subnet") for text in request.subnets]
    for index, each in enumerate(ranges):
        if each.first_overlap(ranges[:index]) is not None:
            raise UsageError("multiple overlapping subnet configuration is not supported")
    if len(request.gateways) > len(ranges) or len(request.ip_ranges) > len(ranges):
        raise UsageError("every ip-range or gateway must have a corresponding subnet")
    gateways: dict[Range, str] = {}
    for text in request.gateways:
        subnet = _containing(ranges, text, "gateway")
        if subnet in gateways:
            raise UsageError(
                f"cannot configure multiple gateways ({text}, {gateways[subnet]}) for the same subnet ({subnet})"
            )
        gateways[subnet] = text
    parts: dict[Range, str] = {}
    for text in request.ip_ranges:
        subnet = _containing(ranges, text, "range")
        _asked_range(text, "ip-range")
        if subnet in parts:
            raise UsageError(
                f"cannot configure multiple ranges ({text}, {parts[subnet]}) on the same subnet ({subnet})"
            )
        parts[subnet] = text
    reserved: dict[Range, dict[str, str]] = {}
    for name, text in request.reserved:
        reserved.setdefault(_containing(ranges, text, "aux-address"), {})[name] = text
    for bits in (32, 128):
        if sum(each.bits == bits for each in ranges) > 1:
            raise UsageError("bridge driver doesn't support multiple subnets")
    subnets = [
        Subnet(str(each), gateways.get(each, ""), parts.get(each, ""), reserved.get(each, {}))
        for each in ranges
    ]
    for each_subnet in subnets:
        _check_hosts(each_subnet)
    return subnets


def _check_hosts(subnet: Subnet) -> None:
    """Raise ConflictError for an address that no interface can have, or two have."""
    whole = subnet.range
    gateway = parse_address(subnet.effective_gateway)[0]
    if not whole.first_host <= gateway <= whole.last_host:
        raise ConflictError(f"failed to allocate gateway ({subnet.gateway}): {TAKEN}")
    used = {gateway}
    for name, text in subnet.reserved.items():
        address = parse_address(text)[0]
        if address in used or not whole.first_host <= address <= whole.last_host:
            raise ConflictError(f"failed to allocate secondary ip address ({name}:{text}): {TAKEN}")
        used.add(address)


def _asked_range(text: str, what: str) -> Range:
    try:
        found = parse_range(text)
    except ValueError:
        raise UsageError(
            f"invalid network config: invalid {what} {text}: invalid CIDR block notation"
        ) from None
    if str(found) != text and parse_address(text.partition("/")[0])[0] != found.base:
        raise UsageError(f"invalid network config: invalid {what} {text}: it should be {found}")
    return found


def _containing(ranges: Sequence[Range], text: str, what: str) -> Range:
    """The subnet that an address or a range belongs to. Raises UsageError."""
    try:
        inner = parse_range(text if what == "range" else f"{text}/{128 if ':' in text else 32}")
    except ValueError:
        if what == "range":
            raise UsageError(f"invalid CIDR address: {text}") from None
        inner = Range(-1, 0, 0)
    for each in ranges:
        if inner.bits == each.bits and inner.base in each and inner.last in each:
            return each
    raise UsageError(f"no matching subnet for {what} {text}".rstrip())


def _with_defaults(
    request: NetworkRequest,
    subnets: Sequence[Subnet],
    taken: list[Range],
    host_ranges: Callable[[], Iterable[Range]],
) -> Iterator[Subnet]:
    """Those that were asked for, and one of each family that the network is to have and none was named of."""
    yield from subnets
    families = {each.is_ipv6 for each in subnets}
    routes: list[Range] = []
    for wanted, is_ipv6 in ((request.has_ipv4, False), (request.has_ipv6, True)):
        if not wanted or is_ipv6 in families:
            continue
        routes = routes or list(host_ranges())
        pool = _ipv6_pool() if is_ipv6 else _ipv4_pool()
        free = next((each for each in pool if each.first_overlap((*taken, *routes)) is None), None)
        if free is None:
            raise ConflictError(
                "all predefined address pools have been fully subnetted", hint="use --subnet"
            )
        yield Subnet(str(free), free.text(free.first_host))


def _ipv4_pool() -> Iterator[Range]:
    """Docker's default-address-pools, without the one of its default network."""
    for second in range(18, 32):
        yield parse_range(f"172.{second}.0.0/16")
    for third in range(0, 256, 16):
        yield parse_range(f"192.168.{third}.0/20")


def _ipv6_pool() -> Iterator[Range]:
    """Of prefixes for private use, chosen at random (RFC 4193, section 3.2.2)."""
    while True:
        yield Range((0xFD << 120) | (int.from_bytes(os.urandom(5), "big") << 80), 64, 128)
