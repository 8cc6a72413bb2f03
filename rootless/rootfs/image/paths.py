"""Answers questions about paths of an image without a container. The indexes of its layers answer most; for the
others a union of the layers is made, which takes fifty modules.
"""

from __future__ import annotations

import os
import stat

from rootless.containers.launch_description import HostTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.launch_description import ImageTree


def has_paths(tree: HostTree | ImageTree, paths: Sequence[str]) -> list[bool]:
    """Of each absolute path whether there is anything at it, symbolic links followed beneath the root. Raises OSError."""
    if not any(_may_have(tree, name) for name in {path.split("/")[1] for path in paths}):
        return [False] * len(paths)
    from rootless.rootfs.union import lower_layers
    from rootless.rootfs.union_copy import find_node
    from unionfs.union import Union

    union = Union(lower_layers(tree), None)
    try:
        return [find_node(union, path) is not None for path in paths]
    finally:
        union.destroy()


def has_directory(tree: HostTree | ImageTree, path: str) -> bool:
    """Whether there is a directory at an absolute path; symbolic links are followed in a directory of the host only. Raises
    OSError.
    """
    if isinstance(tree, HostTree):
        if os.path.isdir(tree.path):
            return os.path.isdir(f"{tree.path}{path}")
    else:
        modes = _modes(tree, path.lstrip("/"))
        if all(mode is None for mode in modes):
            return False
        if len(modes) == 1:
            return stat.S_ISDIR(modes[0] or 0)
    from rootless.rootfs.union import image_has_directory

    return image_has_directory(tree, path.lstrip("/"))


def _may_have(tree: HostTree | ImageTree, name: str) -> bool:
    """False if the root has no entry of this name."""
    if isinstance(tree, HostTree):
        return not os.path.isdir(tree.path) or os.path.lexists(f"{tree.path}/{name}")
    return any(_modes(tree, name))


def _modes(tree: ImageTree, path: str) -> list[int | None]:
    """What each index of the image has at a relative path, as `mode_at`."""
    from unionfs.tar.index import mode_at

    merged = 0 if tree.chain is None else len(tree.layers) - tree.above
    indexes = [index for _, index in tree.layers[merged:]]
    if tree.chain is not None:
        indexes.append(tree.chain)
    names = os.fsencode(path).split(b"/")
    return [mode_at(index, names) for index in indexes]
