"""`system df`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rootless.cli.containers.listing import status_of
from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_document, print_list
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import (
    human_size,
    local_time,
    short_id,
    since,
    table,
)
from rootless.cli.shared_options import LIST_FORMAT
from rootless.containers.status import MONITORED
from rootless.images.gc.build_cache import cache_size

if TYPE_CHECKING:
    from rootless.engine.upkeep import DiskUsage
    from rootless.images.gc.build_cache import CacheUsage

_TITLES = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}

_VERBOSE = Flag(("verbose", "v"), "Show detailed information on space usage")


def df(parsed: Parsed, settings: Settings) -> int:
    """Show how much room images, containers and volumes take."""
    usage = engine_of(settings).disk_usage()
    if not parsed[_VERBOSE]:
        rows = _summary(usage)
        print_list(parsed[LIST_FORMAT], "*formatter.diskUsageContext", _TITLES, list(_TITLES), rows)
        return 0
    document = {
        "Images": [_image_row(usage, i) for i in range(len(usage.images))],
        "Containers": [_container_row(usage, i) for i in range(len(usage.containers))],
        "Volumes": [_volume_row(usage, i) for i in range(len(usage.volumes))],
        "BuildCache": [_cache_row(each) for each in usage.build_cache],
    }
    print_document(parsed[LIST_FORMAT], document, lambda: _verbose_text(document, usage))
    return 0


def _summary(usage: DiskUsage) -> list[dict[str, Any]]:
    images, containers, volumes = usage.images, usage.containers, usage.volumes
    cache = usage.build_cache
    unshared = [each for each in cache if not each.is_shared]
    free = cache_size(unshared)
    running = sum(each.record.status in MONITORED for each in containers)
    written = sum(each.size for each in containers)
    used = sum(bool(each.containers) for each in images)
    return [
        # As `images` shows it, where layers are shared by no two.
        _row(
            "Images",
            len(images),
            used,
            usage.layers + usage.abandoned + usage.unpacked,
            usage.images_reclaimable,
        ),
        _row("Containers", len(containers), running, written, usage.containers_reclaimable),
        _row(
            "Local Volumes",
            len(volumes),
            sum(bool(each.links) for each in volumes),
            sum(each.size for each in volumes),
            usage.volumes_reclaimable,
        ),
        _row("Build Cache", len(cache), len(cache) - len(unshared), free, free),
    ]


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> dict[str, Any]:
    share = f" ({min(100, reclaimable * 100 // size)}%)" if size else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size),
        "Reclaimable": f"{human_size(reclaimable)}{share}",
    }


def _cache_row(usage: CacheUsage) -> dict[str, Any]:
    return {
        "ID": usage.key[:12],
        "CacheType": "exec.cachemount" if usage.layer is None else "regular",
        "Size": human_size(usage.size),
        "CreatedAt": local_time(usage.created),
        "CreatedSince": since(usage.created),
        "Shared": str(usage.is_shared).lower(),
        "Description": usage.text,
    }


def _image_row(usage: DiskUsage, position: int) -> dict[str, Any]:
    each = usage.images[position]
    tag = each.image.tags[0] if each.image.tags else None
    return {
        "Repository": tag.familiar_name if tag else "<none>",
        "Tag": (tag.tag if tag else None) or "<none>",
        "ID": short_id(each.image.id),
        "CreatedAt": local_time(each.created),
        "CreatedSince": since(each.created),
        "Size": human_size(each.size),
        "SharedSize": human_size(each.shared),
        "UniqueSize": human_size(each.unique),
        "Containers": str(each.containers),
    }


def _container_row(usage: DiskUsage, position: int) -> dict[str, Any]:
    record, size, volumes = usage.containers[position]
    return {
        "ID": short_id(record.id),
        "Image": record.image or "<rootfs>",
        "Command": " ".join(record.command),
        "LocalVolumes": str(volumes),
        "Size": human_size(size),
        "CreatedAt": local_time(record.created),
        "RunningFor": since(record.created),
        "State": record.status.value,
        "Status": status_of(record),
        "Names": record.name,
    }


def _volume_row(usage: DiskUsage, position: int) -> dict[str, Any]:
    record, links, size = usage.volumes[position]
    labels = ",".join(f"{key}={value}" for key, value in sorted(record.labels.items()))
    return {
        "Driver": "local",
        "Labels": labels,
        "Links": str(links),
        "Name": record.name,
        "Size": human_size(size),
    }


_VOLUME_COLUMNS = (("VOLUME NAME", "Name"), ("LINKS", "Links"), ("SIZE", "Size"))
_IMAGE_COLUMNS = (
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
    ("SHARED SIZE", "SharedSize"),
    ("UNIQUE SIZE", "UniqueSize"),
    ("CONTAINERS", "Containers"),
)
_CONTAINER_COLUMNS = (
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("LOCAL VOLUMES", "LocalVolumes"),
    ("SIZE", "Size"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("NAMES", "Names"),
)


def _verbose_text(document: dict[str, Any], usage: DiskUsage) -> str:
    return "\n".join(
        (
            "Images space usage:",
            "",
            _section(_IMAGE_COLUMNS, document["Images"]),
            "",
            f"Layers, each once: {human_size(usage.layers)}",
            f"On disk, with compressed copies and indexes: {human_size(usage.total)}",
            "",
            "Containers space usage:",
            "",
            _section(_CONTAINER_COLUMNS, document["Containers"]),
            "",
            "Local Volumes space usage:",
            "",
            _section(_VOLUME_COLUMNS, document["Volumes"]),
        )
    )


def _section(columns: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]) -> str:
    header = [title for title, _ in columns]
    return table(header, [[str(row[name]) for _, name in columns] for row in rows])


SYSTEM_DF = Command(
    "df",
    "Show disk usage",
    "",
    (LIST_FORMAT, _VERBOSE),
    df,
    most=0,
    description="""Show disk usage: the bytes that files of the store take on disk, of images with
compressed copies and indexes. The size of one image, as rootless images shows it, is that of its
layers, uncompressed, whether or not other images share them.""",
)
