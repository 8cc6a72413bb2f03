"""The build cache: how much disk its layers take, and its removal."""

from __future__ import annotations

import time
from typing import NamedTuple

from rootless.filters import PruneFilters
from rootless.images.gc.leftovers import unused
from rootless.images.gc.remove import Records
from rootless.images.gc.usage import objects_size
from rootless.store.build_cache import (
    CachedStep,
    all_steps,
    contents_directory,
    forget_step,
)
from rootless.store.image import all_images
from rootless.store.layers import layer_size
from rootless.store.layout import Store


class CacheUsage(NamedTuple):
    """`size`: bytes of the step's layer. `is_shared`: an image has it, so that removing the step frees
    nothing."""

    step: CachedStep
    size: int
    is_shared: bool


class PrunedCache(NamedTuple):
    """What was removed, and how many bytes of disk that gave back."""

    steps: list[CacheUsage]
    reclaimed: int


def build_cache_usage(store: Store) -> list[CacheUsage]:
    """Every step of the cache, the one that was used last first."""
    shared = {diff_id for image in all_images(store) for diff_id in image.diff_ids}
    return [
        CacheUsage(step, layer_size(store, step.layer.diff_id), step.layer.diff_id in shared)
        for step in all_steps(store)
    ]


def cache_size(usages: list[CacheUsage]) -> int:
    """Bytes of the layers of steps, each layer once."""
    return sum({each.step.layer.diff_id: each.size for each in usages}.values())


def prune_build_cache(
    store: Store,
    containers: Records,
    *,
    everything: bool = False,
    filters: PruneFilters | None = None,
    keep: int = 0,
) -> PrunedCache:
    """Remove steps whose layers no image has, or all with `everything`; those that were used last stay, as
    long as they are not more than `keep` bytes. `filters` choose among them by the time of their last use."""
    filters = filters or PruneFilters()
    before = objects_size(store)
    kept, removed = 0, []
    for usage in build_cache_usage(store):
        used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(usage.step.used))
        if (usage.is_shared and not everything) or not filters.match(used, {}):
            continue
        if kept + usage.size <= keep:
            kept += usage.size
            continue
        forget_step(store, usage.step.key)
        removed.append(usage)
    if everything:
        from rootless.durable import remove_tree

        remove_tree(contents_directory(store))
    unused(store, containers, remove=True)
    return PrunedCache(removed, max(0, before - objects_size(store)))
