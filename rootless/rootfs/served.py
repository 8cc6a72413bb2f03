"""The files of mounts that file servers of their own show: a directory that is copied on write, and an image.
Each in the user namespace of such servers, of which `maps` are the maps.
"""

from __future__ import annotations

import os

from rootless.containers.launch_description import HostTree, ImageTree
from rootless.durable import remove_tree
from rootless.rootfs.union import id_view, lower_layers, take_after
from rootless.runtime.idmap import IdMaps
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.upper import DirectoryUpper
from unionfs.light_types import NamedTuple
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.journal import Journal


class ConnectionServer(NamedTuple):
    """What a server that opens the files of a mount has to know of the connection to the kernel: whether it is the
    first, or goes on where a killed one was, and what that has written down.
    """

    is_first: bool
    journal: Journal


def open_overlay(
    source: str, directory: str, ownership: Ownership, maps: IdMaps, server: ConnectionServer
) -> Union:
    """A directory of the host, or of a volume (ownership `DATA`), with what is written in `directory`, which the
    first server of the mount empties. Raises OSError.
    """
    if server.is_first:
        remove_tree(directory)
        for each in (directory, f"{directory}/upper", f"{directory}/work"):
            os.mkdir(each, 0o700)
    upper = DirectoryUpper(
        os.fsencode(f"{directory}/upper"),
        os.fsencode(f"{directory}/work"),
        ownership=Ownership.DATA,
        base_owner=(0, 0),
    )
    lower = DirectoryLayer(os.fsencode(source), ownership=ownership)
    options = UnionOptions(view=id_view(maps), volatile=True, journal=server.journal)
    union = Union([lower], upper, options)
    if server.is_first:
        take_after(union, lower.root().attributes)
    return union


def open_image(tree: ImageTree | HostTree, maps: IdMaps, server: ConnectionServer) -> Union:
    """The files of an image, read-only. Raises OSError."""
    options = UnionOptions(view=id_view(maps), journal=server.journal)
    return Union(lower_layers(tree), None, options)
