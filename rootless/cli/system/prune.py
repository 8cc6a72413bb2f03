"""`system prune`."""

from __future__ import annotations

import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import prune_filters
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import confirmed, human_size, pruned_images
from rootless.cli.shared_options import NO_PROMPT, PRUNE_FILTER, filter_pairs
from rootless.errors import UsageError
from rootless.filters import NetworkFilters, VolumeFilters

_ALL = Flag(("all", "a"), "Remove all unused images not just dangling ones")
_VOLUMES = Flag(("volumes",), "Prune anonymous volumes not used by at least one container")


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove ended containers, then networks, images and volumes that nothing needs, and what interrupted commands
    left."""
    everything = parsed[_ALL]
    filters = prune_filters(filter_pairs(parsed, PRUNE_FILTER), time.time())
    volume_filters = VolumeFilters(labels=filters.labels, without_labels=filters.without_labels)
    if parsed[_VOLUMES] and filters.until is not None:
        raise UsageError(
            'conflicting options: the "until" filter is not supported with "--volumes"'
        )
    warning = (
        "WARNING! This will remove:\n  - all stopped containers\n"
        "  - all networks not used by at least one container\n"
        f"  - {pruned_images(everything=everything)}\n"
        + ("  - anonymous volumes that no container uses\n" if parsed[_VOLUMES] else "")
        + "  - unused build cache\n  - what interrupted pulls and loads have left"
    )
    if not parsed[NO_PROMPT] and not confirmed(f"{warning}\n"):
        return 0
    engine = engine_of(settings)
    containers = engine.prune_containers(filters)
    if containers.names:
        print("Deleted Containers:", *containers.names, "", sep="\n")
    networks = engine.networks.prune(
        NetworkFilters(
            labels=filters.labels, without_labels=filters.without_labels, until=filters.until
        )
    )
    if networks:
        print("Deleted Networks:", *(record.name for record in networks), "", sep="\n")
    images = engine.prune_images(everything=everything, filters=filters)
    if images.removals:
        print("Deleted Images:", *map(str, images.removals), "", sep="\n")
    cache = engine.prune_build_cache(everything=everything, filters=filters)
    if cache.entries:
        print("Deleted build cache objects:", *(each.key for each in cache.entries), "", sep="\n")
    reclaimed = containers.reclaimed + images.reclaimed + cache.reclaimed
    if parsed[_VOLUMES]:
        volumes = engine.volumes.prune(filters=volume_filters)
        reclaimed += volumes.reclaimed
        if volumes.names:
            print("Deleted Volumes:", *volumes.names, "", sep="\n")
    print(f"Total reclaimed space: {human_size(reclaimed)}")
    return 0


SYSTEM_PRUNE = Command(
    "prune",
    "Remove unused data",
    "",
    (_ALL, NO_PROMPT, PRUNE_FILTER, _VOLUMES),
    prune,
    most=0,
    description="""Remove stopped containers, unused networks, dangling images, build cache, and what interrupted
pulls and loads have left.""",
)
