"""`builder`: the build cache."""

from __future__ import annotations

import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import prune_filters
from rootless.cli.flags.sizes import parse_size
from rootless.cli.grammar import Command, Flag, Parsed, Text
from rootless.cli.output import confirmed, human_size, since, table
from rootless.cli.shared_options import NO_PROMPT, PRUNE_FILTER, filter_pairs
from rootless.containers.timestamps import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.images.gc.build_cache import CacheUsage

_ALL = Flag(("all", "a"), "Remove all unused build cache, not just dangling ones")
_KEEP = Text(("keep-storage",), "Amount of disk space to keep for cache", "BYTES")
_VERBOSE = Flag(("verbose",), "Provide a more verbose output")


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove steps of earlier builds."""
    filters = prune_filters(filter_pairs(parsed, PRUNE_FILTER), time.time())
    what = "all build cache" if parsed[_ALL] else "all dangling build cache"
    if not parsed[NO_PROMPT] and not confirmed(f"WARNING! This will remove {what}."):
        return 0
    keep = parsed[_KEEP]
    done = engine_of(settings).prune_build_cache(
        everything=parsed[_ALL],
        filters=filters,
        keep=parse_size(keep, "--keep-storage") if keep else 0,
    )
    if done.entries:
        print(_table(done.entries))
    print(f"Total:\t{human_size(done.reclaimed)}")
    return 0


def usage(parsed: Parsed, settings: Settings) -> int:
    """Show what the build cache takes."""
    from rootless.images.gc.build_cache import cache_size

    found = engine_of(settings).build_cache_usage()
    if parsed[_VERBOSE]:
        for each in found:
            print(_described(each))
    elif found:
        print(_table(found))
    free = cache_size([each for each in found if not each.is_shared])
    print(f"Reclaimable:\t{human_size(free)}")
    print(f"Total:\t\t{human_size(cache_size(found))}")
    return 0


def _table(usages: Sequence[CacheUsage]) -> str:
    rows = [
        [
            each.key[:25],
            str(not each.is_shared).lower(),
            human_size(each.size),
            since(timestamp(int(each.used * 10**9))),
        ]
        for each in usages
    ]
    return table(["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"], rows)


def _described(usage: CacheUsage) -> str:
    fields = {
        "ID": usage.key,
        "Created at": usage.created,
        "Reclaimable": str(not usage.is_shared).lower(),
        "Size": human_size(usage.size),
        "Description": usage.text,
        "Last used": since(timestamp(int(usage.used * 10**9))),
        "Type": "exec.cachemount" if usage.layer is None else "regular",
    }
    return "\n".join([*(f"{name}:\t{value}" for name, value in fields.items()), ""])


BUILDER_PRUNE = Command(
    "prune", "Remove build cache", "", (_ALL, NO_PROMPT, PRUNE_FILTER, _KEEP), prune, most=0
)
BUILDER_DU = Command("du", "Show disk usage of the build cache", "", (_VERBOSE,), usage, most=0)
