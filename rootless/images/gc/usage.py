"""Disk usage of the store.

Bytes are those on disk (st_blocks), each file counted once however many names it has.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rootless.store.image import Image, all_images
from rootless.store.layers import layer_size
from rootless.store.layout import Store

_OBJECTS = ("blobs", "layers", "chains")
_UNDER_WAY = ("partial", "tmp", "manifests")
_UNPACKED = "unpacked"


class ImageUsage(NamedTuple):
    """`shared` bytes are of layers that another image has too; `unique` would come free."""

    image: Image
    created: str
    size: int
    shared: int
    unique: int
    containers: int


def tree_size(path: Path) -> int:
    """Bytes on disk of everything below a directory. Files that are removed meanwhile do not count."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [os.fspath(path)]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry.path)
            elif status.st_nlink > 1:
                identity = (status.st_dev, status.st_ino)
                if identity in seen:
                    continue
                seen.add(identity)
            total += status.st_blocks * 512
    return total


def objects_size(store: Store) -> int:
    """Bytes on disk of all images, whatever names them."""
    return _size_of(store, _OBJECTS)


def images_size(store: Store) -> int:
    """As `objects_size`, with transfers under way and manifest lists."""
    return _size_of(store, (*_OBJECTS, *_UNDER_WAY))


def _size_of(store: Store, places: Iterable[str]) -> int:
    # A layer that came uncompressed is the same file as its blob: one walk over all.
    seen: set[tuple[int, int]] = set()
    total = 0
    for name in places:
        for directory, _, files in os.walk(f"{store.root}/{name}"):
            for file in files:
                try:
                    status = os.lstat(os.path.join(directory, file))
                except OSError:
                    continue
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total


def unpacked_size(store: Store) -> int:
    """Bytes on disk of unpacked images, as far as this account can read their directories."""
    return tree_size(Path(store.root) / _UNPACKED)


def layers_size(usages: Iterable[ImageUsage], store: Store) -> int:
    """Bytes of the layers of images, uncompressed, each layer once."""
    return sum(
        layer_size(store, diff_id)
        for diff_id in {diff_id for each in usages for diff_id in each.image.diff_ids}
    )


def image_usage(store: Store, image_ids: Iterable[str]) -> list[ImageUsage]:
    """Every image, with the number of containers that use it, given the image of each."""
    images = all_images(store, shared=False)
    users = Counter(image_ids)
    holders = Counter(diff_id for image in images for diff_id in set(image.diff_ids))
    rows = []
    for image in images:
        sizes = {diff_id: layer_size(store, diff_id) for diff_id in set(image.diff_ids)}
        shared = sum(size for diff_id, size in sizes.items() if holders[diff_id] > 1)
        size = sum(sizes.values())
        rows.append(ImageUsage(image, image.created, size, shared, size - shared, users[image.id]))
    return rows
