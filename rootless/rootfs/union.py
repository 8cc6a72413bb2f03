"""Opens the union of a container: its layers, their owners, and the ids that it shows."""

from __future__ import annotations

import os
import stat

from rootless.containers.launch_description import HostTree, ImageTree, LaunchDescription
from rootless.containers.record import IN_OVERLAY, snapshots_of
from rootless.errors import NotFoundError
from rootless.runtime.idmap import IdMaps, IdRange
from rootless.spec.storage_driver import StorageDriver
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.upper import DirectoryUpper
from unionfs.layer import Layer
from unionfs.model import ROOT_NODE, Attributes, Caller, SetAttributes
from unionfs.ownership import IdView, Ownership
from unionfs.tar.layer import ChainLayer, TarLayer
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unionfs.journal import Journal

_NOBODY = 65534
_LAZY = 1 << 20
"""Bytes from which a file of an image is copied up lazily."""

_BACKGROUND = 64 << 20
"""Bytes a second by which lazy copies are completed: a fraction of what a disk can do."""


def open_union(container: LaunchDescription, journal: Journal | None = None) -> Union:
    """Open the layers: with the upper, or without where the kernel has that; `journal` is that of the
    mount. Raises OSError.
    """
    view = id_view(container.id_maps)
    base_owner = container.id_maps.inside(os.getuid(), os.getgid())
    over, tree = container.record.overlays, container.tree
    if isinstance(tree, HostTree):
        place = container.layer or os.path.dirname(os.path.realpath(container.upper))
        tree = tree._replace(hidden=(*tree.hidden, place, *over))
    image = lower_layers(tree)
    lowers = [*overlay_layers(over, base_owner), *image] if over else image
    if container.storage_driver is StorageDriver.OVERLAY:
        return Union(lowers, None, UnionOptions(view=view, journal=journal))
    frozen = None
    if os.path.exists(snapshots_of(container.directory)):
        from rootless.snapshots.opening import open_chain

        frozen = open_chain(container.directory, container.store, base_owner)
    is_new = not os.listdir(container.work)
    options = _options(container, has_frozen=frozen is not None)
    options = options._replace(view=view, frozen=frozen, journal=journal)
    union = _open_writable(container, lowers, options, base_owner)
    if is_new:
        take_after(union, image[0].root().attributes)
        for path in container.mount_points:
            _make_file(union, os.fsencode(path))
    if frozen is not None:
        from rootless.snapshots.opening import finish_opening

        finish_opening(union, container.directory)
    return union


def _options(container: LaunchDescription, *, has_frozen: bool) -> UnionOptions:
    """Those that the container decides. `has_frozen`: there are frozen layers below its upper."""
    # A lazy copy needs its lower to stay as it is: an image does, the live host does not. A layer that outlives its
    # container may come to lie over another image.
    record = container.record
    is_lazy = (
        isinstance(container.tree, ImageTree) and not record.overlays and record.layer != IN_OVERLAY
    )
    return UnionOptions(
        volatile=container.volatile,
        lazy_min_size=_LAZY if is_lazy and not has_frozen else None,
        background_rate=_BACKGROUND if is_lazy else None,
        defers_metadata=is_lazy,
        notes_first_seen=isinstance(container.tree, HostTree),
    )


def _open_writable(
    container: LaunchDescription,
    lowers: Sequence[Layer],
    options: UnionOptions,
    base_owner: tuple[int, int],
) -> Union:
    if container.storage.size or container.storage.inodes:
        from rootless.rootfs.storage_limits import open_limited

        return open_limited(container, lowers, options, base_owner)
    upper, work = os.fsencode(container.upper), os.fsencode(container.work)
    layer = DirectoryUpper(
        upper,
        work,
        ownership=Ownership.DATA,
        base_owner=base_owner,
        reserves_space=_is_reserved_image(container),
    )
    if container.is_traced:
        from unionfs.traced.union import TracedUnion

        return TracedUnion(lowers, layer, options)
    return Union(lowers, layer, options)


def _is_reserved_image(container: LaunchDescription) -> bool:
    """Whether the writable layer is in an ext3 image that has all its blocks on a disk. fuse2fs finds a block for what is
    written before it answers, and can then store it, which it cannot be sure of in a sparse image.
    """
    if not container.layer:
        return False
    from rootless.containers.writable_layers.place import layer_directory

    try:
        status = os.stat(layer_directory(container.directory))
    except OSError:
        return False
    is_whole = status.st_blocks * 512 >= status.st_size
    return stat.S_ISREG(status.st_mode) and is_whole and os.major(status.st_dev) != 0


def take_after(union: Union, root: Attributes) -> None:
    """The root of a union is its upper's: it begins with owner, mode and times of the image's."""
    known = union.getattr(ROOT_NODE)
    if (known.mode, known.uid, known.gid) != (root.mode, root.uid, root.gid):
        mode = stat.S_IMODE(root.mode)
        changes = SetAttributes(mode=mode, uid=root.uid, gid=root.gid)
        union.setattr(ROOT_NODE, changes)
    times = SetAttributes(atime_ns=root.atime_ns, mtime_ns=root.mtime_ns)
    union.setattr(ROOT_NODE, times)


def _make_file(union: Union, path: bytes) -> None:
    """Make a mount point that the image lacks, if it has the directory. The container's first process makes what is missing
    otherwise, by a dozen requests that it waits for.
    """
    *directories, name = path.strip(b"/").split(b"/")
    looked_up = []
    node, entry = ROOT_NODE, None
    try:
        for each in directories:
            entry = union.lookup(node, each)
            if entry is None:
                return
            node = entry.nodeid
            looked_up.append(node)
            if not stat.S_ISDIR(entry.attributes.mode):
                return  # a symbolic link
        entry = union.lookup(node, name)
        if entry is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            entry = union.create(node, name, stat.S_IFREG | 0o644, flags, Caller(0, 0))
        looked_up.append(entry.nodeid)
    except OSError:
        pass  # the first process reports what it cannot make
    finally:
        for node in looked_up:
            union.forget(node, 1)


def overlay_layers(overlays: Iterable[str], base_owner: tuple[int, int]) -> list[Layer]:
    """The read-only layers over the image, top first. Raises OSError."""
    from rootless.rootfs.overlays import open_overlay

    return [open_overlay(path, base_owner) for path in overlays]


def lower_layers(tree: HostTree | ImageTree) -> list[Layer]:
    """The read-only layers, top first."""
    if isinstance(tree, HostTree):
        if not os.path.isdir(tree.path):
            return _image_file(tree.path)
        hidden = [os.fsencode(path) for path in tree.hidden if os.path.exists(path)]
        return [DirectoryLayer(os.fsencode(tree.path), ownership=Ownership.REAL, hidden=hidden)]
    if not tree.layers:
        from unionfs.memory import MemoryLayer, directory

        return [MemoryLayer(directory())]
    if tree.chain is None:
        return [TarLayer(archive, index) for archive, index in reversed(tree.layers)]
    merged = len(tree.layers) - tree.above
    over = [TarLayer(archive, index) for archive, index in reversed(tree.layers[merged:])]
    return [*over, ChainLayer(tree.chain, [archive for archive, _ in tree.layers[:merged]])]


def _image_file(path: str) -> list[Layer]:
    from rootless.images.formats.squashfs import find_squashfs, open_squashfs

    image = find_squashfs(path)
    if image is None:
        raise NotFoundError(
            f"the root file system {path} is not a directory, a squashfs or a SIF file"
        )
    if not image.overlays:
        return [open_squashfs(image)]
    from rootless.rootfs.overlays import open_embedded

    over = [open_embedded(path, offset) for offset in reversed(image.overlays)]
    return [*over, open_squashfs(image)]


def image_has_directory(tree: HostTree | ImageTree, path: str) -> bool:
    """Whether the image has this directory, as a plain path without symbolic links."""
    layers = lower_layers(tree)
    union = Union(layers, None)
    try:
        node = union.getattr(ROOT_NODE)
        parent = ROOT_NODE
        for name in path.split("/"):
            entry = union.lookup(parent, os.fsencode(name))
            if entry is None:
                return False
            parent, node = entry.nodeid, entry.attributes
        return stat.S_ISDIR(node.mode)
    finally:
        union.destroy()


def id_view(maps: IdMaps) -> IdView:
    """The ids that exist inside. Any other is shown as 65534, or as root's where that is not mapped."""
    uids, gids = _inside(maps.uids), _inside(maps.gids)
    root_uid, root_gid = maps.root
    return IdView(
        uids,
        gids,
        squash_uid=_NOBODY if _has(uids, _NOBODY) else root_uid,
        squash_gid=_NOBODY if _has(gids, _NOBODY) else root_gid,
    )


def _inside(ranges: Iterable[IdRange]) -> tuple[tuple[int, int], ...]:
    return tuple((each.inside, each.size) for each in ranges)


def _has(ranges: Iterable[tuple[int, int]], number: int) -> bool:
    return any(first <= number < first + count for first, count in ranges)
