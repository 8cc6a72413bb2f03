"""`network ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import network_filters
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Flag, Parsed, Texts
from rootless.cli.output import local_time, short_id
from rootless.cli.shared_options import LIST_FORMAT, NO_HEADING, NO_TRUNC, filter_pairs
from rootless.network.defined.record import NetworkRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

_TITLES = {
    "CreatedAt": "CREATED AT",
    "Driver": "DRIVER",
    "ID": "NETWORK ID",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "Name": "NAME",
    "Scope": "SCOPE",
}
_FILTER = Texts(
    ("filter", "f"),
    "Provide filter values: dangling, driver, id, label, name, scope, type, until",
    "FILTER",
)
_QUIET = Flag(("quiet", "q"), "Only display network IDs")


def ls(parsed: Parsed, settings: Settings) -> int:
    """List networks by name."""
    records = engine_of(settings).networks.matching(network_filters(filter_pairs(parsed, _FILTER)))
    full = parsed[NO_TRUNC]
    if parsed[_QUIET]:
        for record in records:
            print(record.id if full else short_id(record.id))
        return 0
    print_list(
        parsed[LIST_FORMAT],
        "*network.networkContext",
        _TITLES,
        ["ID", "Name", "Driver", "Scope"],
        [_row(record, full=full) for record in records],
        sample=_row(NetworkRecord("", "", ""), full=full),
        heading=not parsed[NO_HEADING],
    )
    return 0


def _row(record: NetworkRecord, *, full: bool) -> Mapping[str, Any]:
    return {
        "CreatedAt": local_time(record.created) if record.created else "",
        "Driver": record.driver,
        "ID": record.id if full else short_id(record.id),
        "IPv4": "true" if record.has_ipv4 else "false",
        "IPv6": "true" if record.has_ipv6 else "false",
        "Internal": "true" if record.is_internal else "false",
        "Label": lambda key: record.labels.get(str(key), ""),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(record.labels.items())),
        "Name": record.name,
        "Scope": "local",
    }


NETWORK_LS = Command(
    "ls", "List networks", "", (_FILTER, LIST_FORMAT, NO_HEADING, NO_TRUNC, _QUIET), ls, most=0
)
