"""The lower of a container's root file system: the layers of an image, or a directory or image file of the host."""

from __future__ import annotations

import os

from rootless.containers.launch_description import HostTree, ImageTree
from rootless.errors import NotFoundError, UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.store.image import Image
    from rootless.store.layout import Store

_PROGRAM_DIRECTORIES = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin")


class Lower(NamedTuple):
    """`name` is the image's as the user gave it, `image_id` the digest of its config, `config` the
    `config` object of that; all empty for a root file system of the host.
    """

    tree: HostTree | ImageTree
    name: str = ""
    image_id: str = ""
    config: Mapping[str, Any] = {}


def lower_of_image(store: Store, image: Image, name: str) -> Lower:
    """The layers of an image of the store, which was asked for by `name`."""
    from rootless.rootfs.image.tree import image_tree

    return Lower(image_tree(store, image), name, image.id, image.config)


def lower_of_path(path: str, *, program: str, hidden: tuple[str, ...]) -> Lower:
    """A directory, or a squashfs or SIF file, of the host.

    Args:
        program: What the container is to execute; empty for what the image says.
        hidden: Absolute paths that must not be seen through the directory.

    Raises:
        NotFoundError: there is nothing at `path`, or no image file that can be read.
        UsageError: the directory holds no programs.
    """
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise NotFoundError(f"the root file system {path} does not exist")
    if not os.path.isdir(path):
        return _lower_of_file(path)
    if not any(os.path.isdir(f"{path}/{place}") for place in _PROGRAM_DIRECTORIES) and not (
        program.startswith("/") and os.path.lexists(f"{path}{program}")
    ):
        raise UsageError(
            f"{path} is not a root file system: it has no {', '.join(_PROGRAM_DIRECTORIES[:-1])}",
            hint="name the directory that holds bin and usr, or make an image of an archive: "
            "rootless import",
        )
    return Lower(HostTree(path, hidden))


def _lower_of_file(path: str) -> Lower:
    """It is served in place. Opening it here shows what is wrong with it before a process starts."""
    from rootless.images.formats.squashfs import find_squashfs, open_squashfs

    image = find_squashfs(path)
    if image is None:
        from rootless.images.formats.ext_image import is_ext_image

        if is_ext_image(path):
            raise UsageError(
                f"{path} is an ext3 image, which is a layer and no root file system",
                hint=f"use it with an image: --overlay {path}",
            )
        raise NotFoundError(
            f"the root file system {path} is not a directory",
            hint="squashfs and SIF files are also accepted; for an archive use rootless load or "
            "rootless import",
        )
    open_squashfs(image).close()
    return Lower(HostTree(path))
