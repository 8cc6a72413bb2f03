"""Opens the union of given mount options: directories as layers, and the ids that the mount can show."""

from __future__ import annotations

import os

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.directory.dirfds import DirfdCache
from unionfs.options import OptionError, Options
from unionfs.ownership import IdView, Ownership
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ALL_IDS = 0xFFFFFFFF
_OPEN_DIRECTORIES = 256
_BACKGROUND = 64 << 20
"""Bytes per second for the background completion of lazy copies: a fraction of a disk's rate."""


def open_union(options: Options) -> Union:
    """The union that the options describe.

    Raises OptionError for what contradicts itself, OSError for a directory that cannot be used.
    """
    _check(options)
    ownership = Ownership.DATA if options.ownership_is_data else Ownership.REAL
    owner = (os.geteuid(), os.getegid())
    upper = None
    lowers: list[DirectoryLayer] = []
    # One limit for all layers together.
    dirfds = DirfdCache(_OPEN_DIRECTORIES)
    try:
        for path in options.lowerdirs:
            lowers.append(  # noqa: PERF401
                DirectoryLayer(
                    os.fsencode(path),
                    ownership=ownership,
                    base_owner=owner,
                    dirfds=dirfds,
                )
            )
        how = _union_options(options, {layer.identity[0] for layer in lowers})
        if options.upperdir is None or options.workdir is None:
            return Union(lowers, None, how)
        paths = os.fsencode(options.upperdir), os.fsencode(options.workdir)
        if options.size or options.inodes:
            from unionfs.limited.quota import Quota, QuotaLimits
            from unionfs.limited.union import open_limited

            quota = Quota(QuotaLimits(options.size, options.inodes))
            return open_limited(lowers, *paths, quota, how, ownership=ownership, base_owner=owner)
        upper = DirectoryUpper(*paths, ownership=ownership, base_owner=owner)
        return Union(lowers, upper, how)
    except BaseException:
        for layer in (*lowers, *([upper] if upper else [])):
            layer.close()
        raise


def _union_options(options: Options, devices: set[int]) -> UnionOptions:
    """`devices` are the file systems that the lowers are on."""
    return UnionOptions(
        view=view_of(options, _id_map("uid"), _id_map("gid")),
        redirect=options.redirect_dir == "on",
        volatile=options.volatile or not options.fsync,
        own_numbers=options.upperdir is None and len(devices) == 1,
        static_nlink=options.static_nlink,
        lazy_min_size=options.lazy_size,
        complete_at_end=not options.ownership_is_data,
        background_rate=_BACKGROUND,
    )


def _check(options: Options) -> None:
    """Raises OptionError for what contradicts itself."""
    if not options.lowerdirs and options.upperdir is None:
        raise OptionError("option 'lowerdir' is missing")
    if options.upperdir is not None and options.workdir is None:
        raise OptionError("option 'upperdir' needs a 'workdir' on the same file system")
    if options.upperdir is None and (options.size or options.inodes):
        raise OptionError("options 'size' and 'inodes' need an 'upperdir'")


def view_of(
    options: Options, uids: Sequence[tuple[int, int]], gids: Sequence[tuple[int, int]]
) -> IdView | None:
    """The ids that the mount can show; `uids` and `gids` are the ranges (first, count) that its user
    namespace maps. None: all ids."""
    squash_uid = options.squash_to_uid
    squash_gid = options.squash_to_gid
    if options.squash_to_root:
        squash_uid = 0 if squash_uid is None else squash_uid
        squash_gid = 0 if squash_gid is None else squash_gid
    shifts = options.uid_mappings, options.gid_mappings
    if not any((squash_uid is not None, squash_gid is not None, *shifts)) and (
        _is_all(uids) and _is_all(gids)
    ):
        return None
    return IdView(
        uids=tuple(uids) if squash_uid is None else (),
        gids=tuple(gids) if squash_gid is None else (),
        squash_uid=uids[0][0] if squash_uid is None else squash_uid,
        squash_gid=gids[0][0] if squash_gid is None else squash_gid,
        uid_shifts=shifts[0],
        gid_shifts=shifts[1],
    )


def _is_all(ranges: Sequence[tuple[int, int]]) -> bool:
    return list(ranges) == [(0, _ALL_IDS)]


def _id_map(kind: str) -> list[tuple[int, int]]:
    """The ids that exist in the user namespace of this process: /proc/self/uid_map, gid_map
    (user_namespaces(7))."""
    with open(f"/proc/self/{kind}_map", encoding="ascii") as lines:
        return [(int(first), int(count)) for first, _, count in map(str.split, lines)]
