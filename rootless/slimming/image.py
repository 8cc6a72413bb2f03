"""Makes an image of some files of another one: one layer, and the other's configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rootless.images.commit import inherited
from rootless.images.new_image import LoadedImage, new_image
from rootless.oci import media_types
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor
from rootless.oci.reference import Reference
from rootless.rootfs.image.tree import image_tree
from rootless.rootfs.union import lower_layers
from rootless.store.decompression import Limits
from rootless.store.image import Image
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST
from unionfs.changes.snapshot import Change, Snapshot


def make_slim_image(
    store: Store,
    base: Image,
    target: Store,
    select: Callable[[Snapshot], Iterable[Change]],
    *,
    created: str,
    tag: Reference,
) -> LoadedImage:
    """Put an image of what `select` returns of the files of `base`, which is in `store`, into the store `target`.

    `created` is an RFC 3339 time. Equal files and times make equal images. Raises OSError and RootlessError.
    """
    snapshot = Snapshot(lower_layers(image_tree(store, base)), None)
    try:
        pieces = (piece for piece in snapshot.layer_archive(list(select(snapshot))) if piece)
        with Ingest(target, Limits()) as ingest:
            written = ingest.add_layer(lambda _: next(pieces, b""), "the slim layer")
            document: Json = {
                **inherited(base),
                "created": created,
                "config": base.config,
                "rootfs": {"type": "layers", "diff_ids": [written.diff_id]},
                "history": [{"created": created, "created_by": "rootless image slim"}],
            }
            layer = Descriptor(media_types.OCI_LAYER, written.digest, written.blob_size)
            image = new_image(ingest, encode(document), (layer,), (tag,))
            ingest.publish([image])
    finally:
        snapshot.close()
    return LoadedImage(image.manifest.annotations[CONFIG_DIGEST], (tag,))
