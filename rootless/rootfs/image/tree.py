"""Opens the layers of an image for a union."""

from __future__ import annotations

import os

from rootless.containers.launch_description import ImageTree
from rootless.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.image import Image
    from rootless.store.layout import Store


def image_tree(store: Store, image: Image) -> ImageTree:
    """The layers of an image, their merged index built where it is missing."""
    from rootless.store.chains import chain_index
    from rootless.store.layers import layer_files

    layers = tuple((files.tar, files.index) for files in layer_files(store, image))
    return ImageTree(layers, chain_index(store, image))


def image_tree_by_id(store: Store, image_id: str) -> ImageTree:
    """The layers of an image that may have no name any more: one that a container needs keeps its
    layers when it loses its names. Nothing is built. Raises NotFoundError."""
    from rootless.oci.digest import chain_id
    from rootless.oci.image_config import read_image_config
    from rootless.store.chains import CHAIN_INDEX

    diff_ids = read_image_config(store.read_document(image_id, "image config"), image_id).diff_ids
    files = [store.layer_files(diff_id) for diff_id in diff_ids]
    for each in files:
        if not os.path.exists(each.index):
            raise NotFoundError(f"the layer {each.tar} of image {image_id} is missing")
    layers = tuple((each.tar, each.index) for each in files)
    chain = f"{store.chain_to_read(chain_id(diff_ids))}/{CHAIN_INDEX}" if len(files) > 1 else None
    return ImageTree(layers, chain if chain is not None and os.path.exists(chain) else None)
