"""The merged index of an image's layers, so that a lookup costs the same whatever their number.

Crash consistency: the index appears under its name whole or not at all (unionfs.chain), and can be
built again from the layers at any time. Two who build it at once write the same file twice. A
removal of the image at the same time takes the directory away from under the builder, who then has
no layers to open either.
"""

from __future__ import annotations

import os

from rootless.errors import NotFoundError
from rootless.oci.digest import chain_id
from rootless.store.image import Image, layer_files
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
    target = f"{store.chain_directory(image.chain_id)}/{CHAIN_INDEX}"
    if os.path.exists(target):
        return target
    from unionfs.chain import build_chain

    files = layer_files(store, image)
    done, parent = 0, None
    for count in range(len(image.diff_ids) - 1, 1, -1):
        lower = f"{store.chain_directory(chain_id(image.diff_ids[:count]))}/{CHAIN_INDEX}"
        if os.path.exists(lower):
            done, parent = count, lower
            break
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        build_chain([each.index for each in files[done:]], target, parent=parent)
    except FileNotFoundError:
        raise NotFoundError(f"image {image.id} was removed while it was being prepared") from None
    return target
