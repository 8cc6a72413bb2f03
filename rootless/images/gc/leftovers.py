"""Leftovers: files of the store that no image and no running command needs. `system check` finds them, `system df`
counts them, `prune` removes them.

Each kind is judged with the lock held under which an owner would begin, so that nothing of a pull,
load, commit or removal that is going on is ever taken:

    tmp/<name>/            its own lock, which its maker holds while it lives; tmp/.lock
    partial/<hex>          its own lock, which the pull of the blob holds
    unpacked/.new-*        its own lock, which its maker holds; what has been renamed to .old-* has no owner
    .tmp-*                 the store's lock: what replaces a file of the store holds that
    blobs, layers, chains  the store's lock: what names an object holds that, and what is to be named
                           is pinned under tmp/ until then
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rootless.durable import TEMPORARY_PREFIX, locked, remove_tree
from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError
from rootless.images.gc.references import (
    NOTHING,
    Objects,
    delete_objects,
    objects_of_build_cache,
    objects_of_containers,
    objects_of_entry,
)
from rootless.images.gc.remove import Records
from rootless.images.gc.unpacked import abandoned_unpacked, unpacked_images
from rootless.images.gc.usage import tree_size
from rootless.store.ingest import ended
from rootless.store.layout import Store
from rootless.store.partial import FORGOTTEN_AFTER, Abandoned, abandoned_partials

_HEX = re.compile(r"[0-9a-f]{64}")


def abandoned(
    store: Store, *, idle: float = FORGOTTEN_AFTER, remove: bool = False
) -> list[Abandoned]:
    """The files that ended processes have left. A partial blob, with which a pull goes on, counts only after `idle`
    seconds without a byte. With `remove` all of it is deleted.
    """
    return [
        *_directories(store, remove),
        *_temporaries(store, remove),
        *abandoned_unpacked(store, remove=remove),
        *abandoned_partials(store, idle=idle, remove=remove),
    ]


def unused(store: Store, containers: Records, *, remove: bool = False) -> Objects:
    """Whole objects that no image, container, or bringing in needs: what a kill in the middle of a
    publication or removal leaves. Removed if wanted; call `abandoned` with `remove` before, because
    what lies in a dead one's directory counts as being brought in.

    Nothing as long as there is an image of which it cannot be known what it needs.
    """
    with store.lock():
        needed = objects_of_containers(store, containers()).plus(objects_of_build_cache(store))
        for entry in store.read_index().manifests:
            try:
                needed = needed.plus(objects_of_entry(store, entry, strict=True))
            except (NotFoundError, IntegrityError, InvalidDocumentError):
                return NOTHING
        doomed = _present(store).minus(needed).minus(_being_brought_in(store))
        if remove:
            delete_objects(store, doomed)
    return doomed


def _directories(store: Store, remove: bool) -> list[Abandoned]:
    found = []
    tmp = Path(store.root) / "tmp"
    # Those who bring something in make their directory and lock it under this one.
    with locked(tmp / ".lock"):
        for directory in ended(tmp):
            found.append(Abandoned(f"tmp/{directory.name}", tree_size(directory)))
            if remove:
                remove_tree(directory)
    return found


def _temporaries(store: Store, remove: bool) -> list[Abandoned]:
    """Temporary files of index.json, of other documents, and of manifest lists."""
    found = []
    with store.lock():
        for place in ("", "manifests/"):
            try:
                names = sorted(os.listdir(f"{store.root}/{place}"))
            except FileNotFoundError:
                continue
            for name in names:
                if name.startswith(TEMPORARY_PREFIX):
                    path = f"{store.root}/{place}{name}"
                    found.append(Abandoned(f"{place}{name}", os.lstat(path).st_blocks * 512))
                    if remove:
                        os.unlink(path)
    return found


def _being_brought_in(store: Store) -> Objects:
    """What pulls and loads have ready and name only at their end; parts of it may be in place."""
    blobs, layers = (
        frozenset(f"sha256:{path.name}" for path in (Path(store.root) / "tmp").glob(f"*/{kind}/*"))
        for kind in ("blobs", "layers")
    )
    return Objects(blobs, layers, frozenset())


def _present(store: Store) -> Objects:
    chains = frozenset(
        chain
        for chain, _ in unpacked_images(store)
        # One of a site's image is not counted: it may be needed whatever this store's index names.
        if not store.is_shared(store.chain_directory(chain))
        and not store.is_shared(store.layer_directory(chain))
    )
    return Objects(frozenset(), frozenset(), chains).plus(_present_objects(store))


def _present_objects(store: Store) -> Objects:
    return Objects(
        *(
            frozenset(
                f"sha256:{name}"
                for name in os.listdir(f"{store.root}/{place}")
                if _HEX.fullmatch(name)
            )
            for place in ("blobs/sha256", "layers", "chains")
        )
    )
