"""A network that a user has defined, as a value, and its JSON document.

Fields that this version does not know are kept. `format` is raised only when an older engine would misread the document.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, read_versioned
from rootless.network.cidr import Range, parse_address, parse_range
from rootless.network.defined.driver_options import MTU
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FORMAT = 1
_DEFAULT_MTU = 65520
"""That of pasta and slirp4netns, which send a stream's bytes by sockets. With 1500 a stream of small writes takes eight times as
long between two containers."""
BRIDGE_DRIVER = "bridge"


class Subnet(NamedTuple):
    """`subnet` and `ip_range` are ranges as text (ADDRESS/PREFIX): all addresses of the network, and those that
    containers get that do not ask for one. An empty `gateway` is the first address of these. `reserved` are addresses
    that no container gets, by a name for each.
    """

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    reserved: Mapping[str, str] = {}

    @property
    def range(self) -> Range:
        return parse_range(self.subnet)

    @property
    def effective_gateway(self) -> str:
        subnet = self.range
        first = parse_range(self.ip_range).base if self.ip_range else subnet.base
        return self.gateway or subnet.text(max(first, subnet.first_host))

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.subnet


class NetworkRecord(NamedTuple):
    """`id` is 64 hexadecimal digits, `created` RFC 3339 in UTC. `subnets` has at most one of each family.

    `has_chosen_subnets`: a user has named them, so that containers may ask for addresses. `is_internal`: nothing leads
    out of the network.
    """

    id: str
    name: str
    created: str
    subnets: tuple[Subnet, ...] = ()
    driver: str = BRIDGE_DRIVER
    is_internal: bool = False
    has_ipv4: bool = True
    has_ipv6: bool = False
    is_attachable: bool = False
    has_chosen_subnets: bool = False
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    extra: Mapping[str, object] = {}
    """Whatever else the document holds, by key."""

    def subnet(self, *, ipv6: bool) -> Subnet | None:
        """The one of a family."""
        return next((each for each in self.subnets if each.is_ipv6 == ipv6), None)

    @property
    def resolver(self) -> str:
        """The address of its DNS for containers: that of IPv4, if it has one."""
        subnet = self.subnet(ipv6=False) or self.subnet(ipv6=True)
        return "" if subnet is None else subnet.effective_gateway

    @property
    def bridge(self) -> str:
        """The name of its interface: at most 15 bytes (IFNAMSIZ)."""
        return f"br-{self.id[:12]}"

    @property
    def mtu(self) -> int:
        """The largest packet, in bytes."""
        return int(self.options.get(MTU, "0")) or _DEFAULT_MTU


_TEXTS = ("id", "name", "created", "driver")
_FLAGS = (
    "is_internal",
    "has_ipv4",
    "has_ipv6",
    "is_attachable",
    "has_chosen_subnets",
)


def plain_record(record: NetworkRecord) -> dict[str, Any]:
    """As JSON has it; `record_of` is the inverse."""
    return {
        **record.extra,
        **{name: getattr(record, name) for name in (*_TEXTS, *_FLAGS)},
        "subnets": [{**each._asdict(), "reserved": dict(each.reserved)} for each in record.subnets],
        "labels": dict(record.labels),
        "options": dict(record.options),
    }


def record_of(document: dict[str, Any]) -> NetworkRecord:
    """Raises LookupError, TypeError or ValueError for what `plain_record` does not make."""
    fields = dict(document)
    texts = {name: _checked(fields.pop(name), str) for name in _TEXTS}
    flags = {name: _checked(fields.pop(name), bool) for name in _FLAGS}
    subnets = tuple(Subnet(**each) for each in fields.pop("subnets"))
    for each in subnets:
        parse_address(each.effective_gateway)
        for address in each.reserved.values():
            parse_address(_checked(address, str))
    labels, options = fields.pop("labels"), fields.pop("options")
    for each in (*labels.values(), *options.values()):
        _checked(each, str)
    return NetworkRecord(
        **texts, **flags, subnets=subnets, labels=labels, options=options, extra=fields
    )


def _checked(value: Any, kind: type) -> Any:  # noqa: ANN401 - a value of a JSON document
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def encode(record: NetworkRecord) -> bytes:
    """The document of a record."""
    return dumps({"format": FORMAT, **plain_record(record)}) + b"\n"


def decode(data: bytes, what: str) -> NetworkRecord:
    """The record of a document; `what` names the file in errors. Raises InvalidDocumentError."""
    document = read_versioned(data, what, FORMAT)
    try:
        return record_of(document)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{what} is damaged: {error}") from error
