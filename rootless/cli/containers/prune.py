"""`container prune`."""

from __future__ import annotations

import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import prune_filters
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import confirmed, human_size
from rootless.cli.shared_options import NO_PROMPT, PRUNE_FILTER, filter_pairs

_WARNING = "WARNING! This will remove all stopped containers."


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove every container that has ended."""
    filters = prune_filters(filter_pairs(parsed, PRUNE_FILTER), time.time())
    if not parsed[NO_PROMPT] and not confirmed(_WARNING):
        return 0
    done = engine_of(settings).prune_containers(filters)
    if done.names:
        print("Deleted Containers:", *done.names, "", sep="\n")
    print(f"Total reclaimed space: {human_size(done.reclaimed)}")
    return 0


CONTAINER_PRUNE = Command(
    "prune", "Remove all stopped containers", "", (NO_PROMPT, PRUNE_FILTER), prune, most=0
)
