"""Making layers again from the blobs they came from: blobs are the truth, layers/ is derived from
them.

Needed when another tool put an image into the layout, or after layers/ was deleted to save space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootless.errors import InvalidDocumentError
from rootless.store.ingest import Ingest

if TYPE_CHECKING:
    from rootless.store.image import Image
    from rootless.store.layout import Store


def restore_layers(store: Store, image: Image) -> None:
    """Make what is missing of an image's layers. Raises NotFoundError if a blob is missing as
    well."""
    from rootless.store.image import manifest_of

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
