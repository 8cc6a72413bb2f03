"""The disk usage of a container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from rootless.containers.record import ContainerRecord
from rootless.containers.storage_paths import StoragePaths
from rootless.containers.writable_layers.place import UPPER, layer_of
from rootless.errors import NotFoundError, RootlessError
from rootless.images.gc.usage import tree_size
from rootless.snapshots import SNAPSHOTS
from rootless.store.image import resolve
from rootless.store.layers import image_size
from rootless.store.layout import Store


class ContainerSizes(NamedTuple):
    """Bytes: what the container has written, as it is on disk, and its image's layers with that."""

    written: int
    total: int


def written_size(record: ContainerRecord, directory: str) -> int:
    """Bytes on disk, or in memory, of what the container with this directory has written, with what of it is in its
    snapshots; 0 where the place of that is gone."""
    try:
        places = [Path(layer_of(record, directory)) / UPPER]
        if os.path.exists(f"{directory}/{SNAPSHOTS}"):
            from rootless.snapshots.opening import frozen_trees

            places += map(Path, frozen_trees(directory))
        return sum(map(tree_size, places))
    except RootlessError:
        return 0


def container_sizes(record: ContainerRecord, paths: StoragePaths, store: Store) -> ContainerSizes:
    """The sizes of a container. An image that is gone counts as nothing."""
    written = written_size(record, paths.containers.directory(record.id))
    try:
        below = image_size(store, resolve(store, record.image_id)) if record.image_id else 0
    except NotFoundError:
        below = 0
    return ContainerSizes(written, written + below)
