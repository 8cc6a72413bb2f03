"""`image prune`."""

from __future__ import annotations

import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import image_prune_filters
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import confirmed, human_size, pruned_images
from rootless.cli.shared_options import NO_PROMPT, PRUNE_FILTER, filter_pairs

_ALL = Flag(("all", "a"), "Remove all unused images, not just dangling ones")


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove images that nothing needs."""
    filters, dangling = image_prune_filters(filter_pairs(parsed, PRUNE_FILTER), time.time())
    everything = parsed[_ALL] if dangling is None else not dangling
    warning = f"WARNING! This will remove {pruned_images(everything=everything)}."
    if not parsed[NO_PROMPT] and not confirmed(warning):
        return 0
    done = engine_of(settings).prune_images(everything=everything, filters=filters)
    if done.removals:
        print("Deleted Images:", *map(str, done.removals), "", sep="\n")
    print(f"Total reclaimed space: {human_size(done.reclaimed)}")
    return 0


IMAGE_PRUNE = Command(
    "prune", "Remove unused images", "", (_ALL, NO_PROMPT, PRUNE_FILTER), prune, most=0
)
