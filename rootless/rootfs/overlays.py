"""Read-only layers over an image (--overlay PATH:ro): the writable layer of another container, any other directory,
or a squashfs or SIF file.
"""

from __future__ import annotations

import os

from rootless.containers.writable_layers.place import UPPER, WORK, require_directories
from rootless.errors import NotFoundError
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.ownership import Ownership


def open_overlay(path: str, base_owner: tuple[int, int]) -> DirectoryLayer:
    """The layer. `base_owner`: the owner that a file of the caller has in it. Raises NotFoundError, OSError."""
    if os.path.isdir(path):
        upper, work = f"{path}/{UPPER}", f"{path}/{WORK}"
        if os.path.isdir(upper):
            require_directories(path)
            return ReadOnlyUpper(
                os.fsencode(upper),
                os.fsencode(work),
                ownership=Ownership.DATA,
                base_owner=base_owner,
            )
        return DirectoryLayer(os.fsencode(path), ownership=Ownership.DATA, base_owner=base_owner)
    from rootless.images.formats.ext_image import is_ext_image, mounted_ext_image
    from rootless.images.formats.squashfs import find_squashfs, open_squashfs

    image = find_squashfs(path)
    if image is not None:
        return open_squashfs(image)
    if not is_ext_image(path):
        raise NotFoundError(
            f"the overlay {path} is neither a directory nor a squashfs, SIF or ext3 file"
        )
    with mounted_ext_image(path, writable=False) as top:
        return open_overlay(top, base_owner)


def open_embedded(path: str, offset: int) -> DirectoryLayer:
    """The ext3 image at `offset` of a SIF file, in which the files of the caller are root's. Raises as `open_overlay`."""
    from rootless.images.formats.ext_image import mounted_ext_image

    with mounted_ext_image(path, writable=False, offset=offset) as top:
        return open_overlay(top, (0, 0))
