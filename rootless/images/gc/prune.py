"""image prune: removes unused images, and the leftovers of interrupted commands.

Each image goes by `remove`, which asks again with the store's lock held whether a container uses
it, and the rest by rootless.images.gc.leftovers, so that a prune is as safe beside pulls, loads and
starts as a removal is. What a pull has left to go on with goes too: a prune is asked for room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rootless.containers.record import ContainerRecord
from rootless.containers.unpacked import UNPACKED
from rootless.errors import InUseError, NotFoundError
from rootless.filters import PruneFilters
from rootless.images.gc.leftovers import abandoned, unused
from rootless.images.gc.references import objects_of_containers
from rootless.images.gc.remove import Records, Removal, remove
from rootless.images.gc.unpacked import drop_unpacked, unpacked_images
from rootless.images.gc.usage import objects_size, unpacked_size
from rootless.spec.storage_driver import StorageDriver
from rootless.store.image import all_images
from rootless.store.layout import Store


class Pruned(NamedTuple):
    """The removals of a prune, in order, and the bytes of disk that they took."""

    removals: list[Removal]
    reclaimed: int


def prune_images(
    store: Store,
    containers: Records,
    *,
    everything: bool = False,
    filters: PruneFilters | None = None,
) -> Pruned:
    """Remove images without a name, or, with `everything`, all that no container uses; then what
    nothing uses. `filters` choose among these images."""
    filters = filters or PruneFilters()
    before = objects_size(store)
    used = {image_id for record in containers() for image_id in record.used_images}
    removals: list[Removal] = []
    for image in all_images(store, shared=False):
        if image.id in used or (image.tags and not everything):
            continue
        if filters.match(image.created, image.config.get("Labels")):
            removals += _remove_wholly(store, image.id, containers)
    unpacked_before = unpacked_size(store)
    freed = sum(
        each.size
        for each in abandoned(store, idle=0, remove=True)
        if not each.name.startswith(UNPACKED)
    )
    with store.lock():
        in_use = _used_chains(store, containers())
        drop_unpacked(store, {chain for chain, _ in unpacked_images(store)} - in_use)
    freed += max(0, unpacked_before - unpacked_size(store))
    unused(store, containers, remove=True)
    return Pruned(removals, freed + max(0, before - objects_size(store)))


def _used_chains(store: Store, records: Iterable[ContainerRecord]) -> frozenset[str]:
    """The ChainIDs of the images of containers that have, or may have, an unpacked one as their lower."""
    overlay = [each for each in records if each.storage_driver == StorageDriver.OVERLAY.value]
    return objects_of_containers(store, overlay).chains


def _remove_wholly(store: Store, image_id: str, containers: Records) -> list[Removal]:
    """Remove an image with all its names, unless a container uses it by now."""

    def records() -> list[ContainerRecord]:
        found = list(containers())
        for record in found:
            if image_id in record.used_images:
                raise InUseError(f"image {image_id} is used by container {record.name}")
        return found

    try:
        return remove(store, image_id, records, force=True)
    except (InUseError, NotFoundError):
        return []
