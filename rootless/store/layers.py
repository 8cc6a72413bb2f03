"""The layers of an image; missing ones are made again from its blobs.

The blobs are the truth and `layers/` is derived from them. It has to be derived again when another
tool put an image into the layout, or after `layers/` was deleted to save space.
"""

from __future__ import annotations

import os

from rootless.errors import InvalidDocumentError, RootlessError
from rootless.store.image import Image, manifest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.layout import LayerFiles, Store


def layer_files(store: Store, image: Image) -> list[LayerFiles]:
    """The layers of an image, bottom first, each made from its blob if another tool put only that
    there."""
    missing = [diff_id for diff_id in image.diff_ids if not store.has_layer(diff_id)]
    if missing:
        restore_layers(store, image)
    return [store.layer_files(diff_id) for diff_id in image.diff_ids]


def restore_layers(store: Store, image: Image) -> None:
    """Make the missing layers of an image. Raises NotFoundError if a blob is missing as
    well."""
    from rootless.store.ingest import Ingest

    manifest = manifest_of(store, image)
    if len(manifest.layers) != len(image.diff_ids):
        raise InvalidDocumentError(
            f"image {image.id} has {len(manifest.layers)} layers but {len(image.diff_ids)} diff_ids"
        )
    with Ingest(store) as ingest:
        for descriptor, diff_id in zip(manifest.layers, image.diff_ids, strict=True):
            if ingest.keep_layer(diff_id):
                continue
            with store.open_blob(descriptor.digest, f"layer of image {image.id}") as stream:
                ingest.add_layer(
                    stream.read, f"layer {descriptor.digest}", diff_id=diff_id, blob=descriptor
                )
        ingest.publish(())


def remake_layer(store: Store, image: Image, diff_id: str) -> bool:
    """Make a layer again whose tar or index is damaged, of its tar or of its blob, whichever is intact;
    its uncompressed blob with it. The damaged one is replaced only by a whole one; False if there is
    none to be had."""
    from rootless.store.ingest import Ingest

    manifest = manifest_of(store, image)
    pairs = zip(manifest.layers, image.diff_ids, strict=False)
    blobs = [blob for blob, each in pairs if each == diff_id]
    paths = [store.layer_files(diff_id).tar, *(store.blob_path(blob.digest) for blob in blobs)]
    with Ingest(store) as ingest:
        for path in paths:
            try:
                with open(path, "rb", buffering=0) as stream:
                    ingest.add_layer(stream.read, f"layer {diff_id}", diff_id=diff_id)
            except (OSError, RootlessError):
                continue
            ingest.replace_layer(diff_id, with_blob=any(blob.digest == diff_id for blob in blobs))
            return True
    return False


def layer_size(store: Store, diff_id: str) -> int:
    """Bytes of a layer's uncompressed tar; 0 for one that is missing."""
    try:
        return os.stat(store.layer_files(diff_id).tar).st_size
    except OSError:
        return 0


def image_size(store: Store, image: Image) -> int:
    """Bytes of all layers of an image, uncompressed."""
    return sum(layer_size(store, diff_id) for diff_id in image.diff_ids)
