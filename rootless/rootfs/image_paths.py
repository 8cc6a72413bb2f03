"""What an image has, without a container."""

from __future__ import annotations

from rootless.rootfs.union import lower_layers
from rootless.rootfs.union_copy import find_node
from unionfs.union import Union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.launch_description import HostTree, ImageTree


def has_paths(tree: HostTree | ImageTree, paths: Sequence[str]) -> list[bool]:
    """Of each path whether there is anything at it, symbolic links followed beneath the root. Raises OSError."""
    union = Union(lower_layers(tree), None)
    try:
        return [find_node(union, path) is not None for path in paths]
    finally:
        union.destroy()
