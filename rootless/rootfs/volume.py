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


def open_volume(
    data: str,
    work: str,
    maps: IdMaps | None,
    journal: Journal | None = None,
    only_owner: tuple[int, int] | None = None,
) -> Union:
    """The union over a volume's directory; owners are data. Closing it (`destroy`) ends the lock on the work
    directory.

    Args:
        maps: those of the namespace that it is mounted in; None shows every id.
        journal: that of the connection, which another server goes on with if this one is killed.
        only_owner: uid and gid that are stored for the one id of `maps`; None stores that id.

    Raises OSError; EBUSY if another process serves the volume.
    """
    view = None if maps is None else id_view(maps)
    if view is not None and only_owner is not None:
        (uid, gid), (inside_uid, inside_gid) = only_owner, (view.uids[0][0], view.gids[0][0])
        view = view._replace(uid_shifts=((uid, inside_uid, 1),), gid_shifts=((gid, inside_gid, 1),))
    return Union(
        [],
        DirectoryUpper(
            os.fsencode(data), os.fsencode(work), ownership=Ownership.DATA, base_owner=(0, 0)
        ),
        UnionOptions(view=view, journal=journal),
    )
