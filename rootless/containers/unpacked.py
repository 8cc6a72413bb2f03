"""The directories of unpacked images: the files of the layers of an image in one directory, with the owners on disk
that the ids of a container map to. Kernel overlayfs takes it as its lower.

    unpacked/<hex of ChainID>.<map of users>.<map of groups>   complete, or absent; each range of a map is inside-outside-size
    unpacked/.new-<random>/                                    being made, by the process that has its .lock

A container that is started has the directory as its lower until it ends, so that it is removed only while no container of
the overlay driver has the image.
"""

from __future__ import annotations

import os

from rootless.containers.launch_description import HostTree, ImageTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.idmap import IdMaps, IdRange

UNPACKED = "unpacked"
NAME_MAX = 255


def unpacked_name(chain: str, id_maps: IdMaps) -> str:
    """The name of the directory of a chain of layers, by the hexadecimal part of its ChainID."""
    return f"{chain}.{_text(id_maps.uids)}.{_text(id_maps.gids)}"


def _text(ranges: tuple[IdRange, ...]) -> str:
    return "+".join(f"{inside}-{outside}-{size}" for inside, outside, size in ranges)


def unpacked_directory(store: str, tree: HostTree | ImageTree, id_maps: IdMaps) -> str:
    """The directory in a store of the layers of an image, which may be a site's, for containers with these
    maps, if it is there; else ""."""
    if isinstance(tree, HostTree) or not tree.layers or tree.above:
        return ""
    if len(tree.layers) == 1:
        of_chain = os.path.dirname(tree.layers[0][0])  # a chain of one layer has its diffID
    elif tree.chain is not None:
        of_chain = os.path.dirname(tree.chain)
    else:
        return ""
    name = unpacked_name(os.path.basename(of_chain), id_maps)
    path = f"{store}/{UNPACKED}/{name}"
    return path if len(name) <= NAME_MAX and os.path.isdir(path) else ""
