"""Lists and removes unpacked images (`rootless.containers.unpacked`).

One is renamed out of its name with the store's lock held, and then deleted, in a user namespace where its files belong to
subordinate ids. Killed in between, a directory `.old-*` or `.new-*` is left, whose lock is free.
"""

from __future__ import annotations

import os
from pathlib import Path

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.unpacked import UNPACKED
from rootless.durable import acquire_lock
from rootless.images.gc.usage import tree_size
from rootless.store.layout import Store
from rootless.store.partial import Abandoned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def unpacked_images(store: Store) -> list[tuple[str, str]]:
    """The ChainID and the name below `unpacked/` of each."""
    return [
        (f"sha256:{name.partition('.')[0]}", name)
        for name in _names(store)
        if not name.startswith(".")
    ]


def _names(store: Store) -> list[str]:
    try:
        return sorted(os.listdir(f"{store.root}/{UNPACKED}"))
    except FileNotFoundError:
        return []


def drop_unpacked(store: Store, chains: Collection[str]) -> None:
    """Remove the unpacked images with these ChainIDs. To be called with the store's lock held."""
    for chain, name in unpacked_images(store):
        if chain in chains:
            trash = f"{store.root}/{UNPACKED}/.old-{os.urandom(8).hex()}"
            os.rename(f"{store.root}/{UNPACKED}/{name}", trash)
            remove_container_tree(trash)


def abandoned_unpacked(store: Store, *, remove: bool = False) -> list[Abandoned]:
    """The directories that killed commands left."""
    found = []
    for name in _names(store):
        path = f"{store.root}/{UNPACKED}/{name}"
        if not name.startswith("."):
            continue
        if name.startswith(".new-"):
            try:
                lock = acquire_lock(f"{path}/.lock", wait=False)
            except OSError:
                continue  # its maker has put the files in their place, and removes the rest
            if lock is None:
                continue
            lock.release()  # on NFS a file that is open cannot be removed
        found.append(Abandoned(f"{UNPACKED}/{name}", tree_size(Path(path))))
        if remove:
            remove_container_tree(path)
    return found
