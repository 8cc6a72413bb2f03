"""The files of mounts that file servers of their own show: a directory that is copied on write, and an image.
Each in the user namespace of such servers, of which `maps` are the maps.
"""

from __future__ import annotations

import os

from rootless.containers.launch_description import HostTree, ImageTree
from rootless.rootfs.union import id_view, lower_layers, take_after
from rootless.runtime.idmap import IdMaps
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.upper import DirectoryUpper
from unionfs.light_types import NamedTuple
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.writable_layers.cow_mounts import CowMount
    from unionfs.journal import Journal


class ConnectionServer(NamedTuple):
    """What a server that opens the files of a mount has to know of the connection to the kernel: whether it is the
    first, or goes on where a killed one was, and what that has written down.
    """

    is_first: bool
    journal: Journal


def open_overlay(
    mount: CowMount,
    directory: str,
    hidden: Sequence[str],
    maps: IdMaps,
    server: ConnectionServer,
) -> Union:
    """A directory of the host, or of a volume, with what is written below the container's `directory`. `hidden`: paths
    that appear empty. Raises OSError.
    """
    known = mount.layer(directory)
    layer = known or mount.make_layer(directory)
    upper = DirectoryUpper(
        os.fsencode(f"{layer}/upper"),
        os.fsencode(f"{layer}/work"),
        ownership=Ownership.DATA,
        base_owner=(0, 0),
    )
    lower = lower_of(mount, hidden)
    options = UnionOptions(
        view=id_view(maps),
        volatile=True,
        notes_first_seen=not mount.is_volume,
        journal=server.journal,
    )
    union = Union([lower], upper, options)
    if not known:
        take_after(union, lower.root().attributes)
    return union


def lower_of(mount: CowMount, hidden: Sequence[str]) -> DirectoryLayer:
    """The lower of a copied mount. `hidden`: paths that appear empty. Raises OSError."""
    ownership = Ownership.DATA if mount.is_volume else Ownership.REAL
    existing = [os.fsencode(path) for path in hidden if os.path.exists(path)]
    return DirectoryLayer(os.fsencode(mount.source), ownership=ownership, hidden=existing)


def open_image(tree: ImageTree | HostTree, maps: IdMaps, server: ConnectionServer) -> Union:
    """The files of an image, read-only. Raises OSError."""
    options = UnionOptions(view=id_view(maps), journal=server.journal)
    return Union(lower_layers(tree), None, options)
