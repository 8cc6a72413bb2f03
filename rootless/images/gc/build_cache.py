"""The build cache: how much disk its steps and mounts take, and its removal."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.timestamps import timestamp
from rootless.durable import acquire_lock, remove_tree
from rootless.filters import PruneFilters
from rootless.images.gc.leftovers import unused
from rootless.images.gc.remove import Records
from rootless.images.gc.usage import objects_size, tree_size
from rootless.store.build_cache import (
    all_steps,
    contents_directory,
    forget_step,
    mounts_directory,
)
from rootless.store.image import all_images
from rootless.store.kept_steps import forget_kept
from rootless.store.layers import layer_size
from rootless.store.layout import Store
from rootless.store.step_reads import forget_reads


class CacheUsage(NamedTuple):
    """A step, whose `layer` is a diffID, or a cache mount, which has none. `text` is the instruction, or the id
    of the mount; `created` is RFC 3339, `used` seconds since 1970. `is_shared`: an image has the layer, so
    that removing the step frees nothing."""

    key: str
    text: str
    created: str
    used: float
    size: int
    layer: str | None = None
    is_shared: bool = False


class PrunedCache(NamedTuple):
    """The removed steps, and the bytes of disk that they took."""

    entries: list[CacheUsage]
    reclaimed: int


def build_cache_usage(store: Store) -> list[CacheUsage]:
    """Everything in the cache, what was used last first."""
    shared = {diff_id for image in all_images(store, shared=False) for diff_id in image.diff_ids}
    steps = [
        CacheUsage(
            step.key,
            step.text,
            step.created,
            step.used,
            layer_size(store, step.layer.diff_id),
            step.layer.diff_id,
            step.layer.diff_id in shared,
        )
        for step in all_steps(store)
    ]
    return sorted([*steps, *_mounts(store)], key=lambda each: each.used, reverse=True)


def _mounts(store: Store) -> list[CacheUsage]:
    found = []
    try:
        names = sorted(os.listdir(mounts_directory(store)))
    except FileNotFoundError:
        return []
    for name in names:
        place = Path(mounts_directory(store), name)
        try:
            text = (place / "id").read_text(encoding="utf-8", errors="surrogateescape")
            made, used = (place / "id").stat().st_mtime_ns, place.stat().st_mtime
        except OSError:
            continue  # removed meanwhile, or killed while it was made: nothing is in it
        size = tree_size(place / "data")
        found.append(CacheUsage(name, f"cache mount {text}", timestamp(made), used, size))
    return found


def cache_size(usages: list[CacheUsage]) -> int:
    """Bytes of the layers of steps, each layer once, and of mounts."""
    return sum({each.layer or each.key: each.size for each in usages}.values())


def prune_build_cache(
    store: Store,
    containers: Records,
    *,
    everything: bool = False,
    filters: PruneFilters | None = None,
    keep: int = 0,
) -> PrunedCache:
    """Remove cache mounts that no build uses, and steps whose layers no image has, or all steps with
    `everything`; what was used last stays, as long as it is not more than `keep` bytes. `filters` choose by
    the time of the last use."""
    filters = filters or PruneFilters()
    before = objects_size(store)
    kept, freed = 0, 0
    removed = []
    forgotten: set[str] = set()
    for usage in build_cache_usage(store):
        used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(usage.used))
        if (usage.is_shared and not everything) or not filters.match(used, {}):
            continue
        if kept + usage.size <= keep:
            kept += usage.size
        elif usage.layer is not None:
            forget_step(store, usage.key)
            forgotten.add(usage.key)
            removed.append(usage)
        elif _remove_mount(f"{mounts_directory(store)}/{usage.key}"):
            removed.append(usage)
            freed += usage.size
    forget_reads(store, forgotten)
    if everything:
        forget_reads(store)
        forget_kept(store)
        remove_tree(contents_directory(store))
    unused(store, containers, remove=True)
    return PrunedCache(removed, max(0, before - objects_size(store)) + freed)


def _remove_mount(place: str) -> bool:
    """False if a build uses it."""
    lock = acquire_lock(f"{place}/.lock", wait=False)
    if lock is None:
        return False
    removed = f"{place}.{os.urandom(4).hex()}"
    try:
        os.rename(place, removed)
    finally:
        lock.release()  # on NFS a file that is open cannot be removed
    remove_container_tree(removed)
    return True
