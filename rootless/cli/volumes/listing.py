"""`volume ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import volume_filters
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Flag, Parsed, Texts
from rootless.cli.shared_options import LIST_FORMAT, filter_pairs
from rootless.volumes.record import VolumeRecord

if TYPE_CHECKING:
    from rootless.engine import Engine

_TITLES = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}
_FILTER = Texts(("filter", "f"), "Provide filter values: dangling, driver, label, name", "FILTER")
_NO_HEADING = Flag(("noheading", "n"), "Do not print headers")
_QUIET = Flag(("quiet", "q"), "Only display volume names")


def ls(parsed: Parsed, settings: Settings) -> int:
    """List volumes by name."""
    engine = engine_of(settings)
    records = engine.volumes.matching(volume_filters(filter_pairs(parsed, _FILTER)))
    if parsed[_QUIET] and not parsed[LIST_FORMAT]:
        for record in records:
            print(record.name)
        return 0
    rows = [_row(engine, record) for record in records]
    sample = _row(engine, VolumeRecord("", ""))
    print_list(
        parsed[LIST_FORMAT],
        "*formatter.volumeContext",
        _TITLES,
        ["Driver", "Name"],
        rows,
        sample=sample,
        heading=not parsed[_NO_HEADING],
    )
    return 0


def _row(engine: Engine, record: VolumeRecord) -> dict[str, Any]:
    """Docker shows sizes and links in `system df -v` alone."""
    return {
        "Availability": "N/A",
        "Driver": "local",
        "Group": "N/A",
        "Label": lambda key: record.labels.get(str(key), ""),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(record.labels.items())),
        "Links": "N/A",
        "Mountpoint": engine.paths.volumes.mountpoint(record.name),
        "Name": record.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    }


VOLUME_LS = Command(
    "ls", "List volumes", "", (_FILTER, LIST_FORMAT, _NO_HEADING, _QUIET), ls, most=0
)
