"""The files of a volume: a union of one layer, the volume's own directory."""

from __future__ import annotations

import os

from rootless.rootfs.union import id_view
from rootless.runtime.idmap import IdMaps
from unionfs.directory.upper import DirectoryUpper
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.journal import Journal


def open_volume(data: str, work: str, maps: IdMaps | None, journal: Journal | None = None) -> Union:
    """The union over a volume's directory; owners are data. `maps` are those of the namespace that it is
    mounted in; None shows every id. `journal` is that of the connection, which another server goes on with if
    this one is killed. Closing it (`destroy`) ends the lock on the work directory.

    Raises OSError; EBUSY if another process serves the volume.
    """
    return Union(
        [],
        DirectoryUpper(
            os.fsencode(data), os.fsencode(work), ownership=Ownership.DATA, base_owner=(0, 0)
        ),
        UnionOptions(view=None if maps is None else id_view(maps), journal=journal),
    )
