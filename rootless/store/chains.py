"""The merged index of an image's layers, so that a lookup costs the same whatever their number.

Crash consistency: the index is built under tmp/, where what a killed builder leaves is swept, and is
renamed to its place whole; it can be built again from the layers at any time. Two who build it at
once write the same file twice, and the first stays, which other machines may have open. It is put in
place under the store's lock, and only if the layers are still there: a removal of the image at the
same time leaves no index of what has gone.
"""

from __future__ import annotations

import os

from rootless.durable import fsync_directory
from rootless.errors import NotFoundError
from rootless.oci.digest import chain_id
from rootless.store.image import Image
from rootless.store.layers import layer_files
from rootless.store.layout import Store

CHAIN_INDEX = "index.sqlite"


def chain_index(store: Store, image: Image) -> str | None:
    """The merged index of an image, built if it is not there; None for fewer than two layers, which
    need none.

    Starts from the longest lower part that has been merged already, as images built on one another
    share it. Raises NotFoundError if the image has gone.
    """
    if len(image.diff_ids) < 2:
        return None
    target = f"{store.chain_to_read(image.chain_id)}/{CHAIN_INDEX}"
    if os.path.exists(target):
        return target
    layer_files(store, image)
    return build_merged_index(store, image.diff_ids, f"image {image.id}")


def merged_below(store: Store, diff_ids: tuple[str, ...]) -> tuple[int, str | None]:
    """How many layers from the bottom have a merged index, and which; (0, None) if there is none."""
    for count in range(len(diff_ids), 1, -1):
        index = f"{store.chain_to_read(chain_id(diff_ids[:count]))}/{CHAIN_INDEX}"
        if os.path.exists(index):
            return count, index
    return 0, None


def build_merged_index(store: Store, diff_ids: tuple[str, ...], what: str) -> str:
    """Merge the indexes of two or more layers of the store, bottom first. Raises NotFoundError if one has
    gone; `what` names in it what they are of."""
    from rootless.store.ingest import Ingest
    from unionfs.tar.chain import build_chain

    target = f"{store.chain_directory(chain_id(diff_ids))}/{CHAIN_INDEX}"
    gone = NotFoundError(f"{what} was removed while it was being prepared")
    with Ingest(store) as ingest:
        built = str(ingest.directory / CHAIN_INDEX)
        done, parent = merged_below(store, diff_ids[:-1])
        while True:
            indexes = [store.layer_files(diff_id).index for diff_id in diff_ids[done:]]
            try:
                build_chain(indexes, built, parent=parent)
                break
            except FileNotFoundError:
                if parent is None or not all(map(store.has_layer, diff_ids)):
                    raise gone from None
                # Only the index of the layers below was removed, with another image: start from
                # the layers alone.
                done, parent = 0, None
        with store.lock():
            if not all(map(store.has_layer, diff_ids)):
                raise gone
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not os.path.exists(target):
                os.rename(built, target)
                fsync_directory(os.path.dirname(target))
                fsync_directory(f"{store.root}/chains")
    return target
