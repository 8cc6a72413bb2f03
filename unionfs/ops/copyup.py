"""Copy-up: copies an object of a lower to the upper, where it appears complete in one step.

A file is copied in three parts. `plan_copy` decides, in the serving thread; `CopyUpJob.copy` moves
the data and uses nothing of the tree, so it may run in another thread, in pieces, and be
abandoned; `publish`, in the serving thread again, puts the result where the file is by then. A
killed server leaves a file without a name.
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs.copy_up_stats import CopyUpRecord
from unionfs.journal_kinds import Kind
from unionfs.layer import Creation, LayerEntry, Ref, UpperLayer
from unionfs.model import Attributes, with_ino, with_nlink
from unionfs.nodes import UPPER, Backing, Directory, Node
from unionfs.ops.copy_job import CopyUpJob
from unionfs.ops.tree import Tree
from unionfs.xattr_names import CAPABILITY, with_acl_in_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from unionfs.layer import Draft


# Directories


def ensure_directory(tree: Tree, directory: Directory) -> Ref:
    """The ref of a directory in the upper. If it is not there yet, it and those above it are made with
    their attributes. Raises EROFS without an upper."""
    if directory.upper is not None:
        return directory.upper
    tree.layers.writable()
    missing: list[Directory] = []
    at: Directory | None = directory
    while at is not None and at.upper is None:
        missing.append(at)
        if at.parent is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        at = at.parent
    for each in reversed(missing):
        _copy_directory(tree, each)
    return directory.upper


def _copy_directory(tree: Tree, directory: Directory) -> None:
    upper = tree.layers.writable()
    if tree.first_seen is not None:
        tree.first_seen.note(directory)
    parent = directory.parent
    if parent is None or parent.upper is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for each in (parent, directory):
        if each.stale:
            tree.refresh_attributes(each)
    shown = directory.attributes
    entry = upper.make(parent.upper, directory.name, _creation(tree, directory))
    _restore_times(upper, parent)
    directory.upper = directory.ref = entry.ref
    directory.layer = UPPER
    directory.attributes = Attributes(*shown[:10], entry.attributes.ctime_ns)
    tree.changed.add(shown.ino)


def _creation(tree: Tree, node: Node) -> Creation:
    if node.stale:
        tree.refresh_attributes(node)
    known = node.attributes
    uid, gid = node.true_owner
    if node.ref is None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    layer, mode = tree.layers.layer(node.layer), known.mode
    target = layer.readlink(node.ref) if stat.S_ISLNK(mode) else b""
    xattrs: Mapping[bytes, bytes] = layer.xattrs(node.ref)
    if xattrs:
        xattrs = with_acl_in_step(xattrs, mode)
    # By position, which takes a fifth of the time.
    return Creation(
        mode, uid, gid, known.rdev, target, xattrs, known.atime_ns, known.mtime_ns, known.ino, None, False
    )  # fmt: skip


def _restore_times(upper: UpperLayer, parent: Directory) -> None:
    """Give the directory the times it had: nothing visible has changed in it."""
    if parent.upper is not None:
        upper.set_times(parent.upper, -1, parent.attributes.atime_ns, parent.attributes.mtime_ns)


def _ready_parent(tree: Tree, parent: Directory) -> Ref:
    """The ref of the directory in the upper. Its times are known, for `_restore_times`."""
    ref = ensure_directory(tree, parent)
    if parent.stale:
        tree.refresh_attributes(parent)
    return ref


# Everything else


def plan_copy(tree: Tree, node: Node, length: int | None = None) -> CopyUpJob:
    """Begin the copy of a regular file of a lower; of its first `length` bytes if it is about to
    be truncated."""
    upper = tree.layers.writable()
    if node.ref is None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    if tree.first_seen is not None:
        tree.first_seen.note(node, tree.layers.layer(node.layer))
    creation = _creation(tree, node)
    size = node.attributes.size
    if length is not None:
        size = min(size, length)
        # The truncation that follows sets the times.
        creation = creation._replace(mtime_ns=None, atime_ns=None)
    source = tree.layers.layer(node.layer).open(node.ref) if size else None
    try:
        draft = upper.draft(size)
    except OSError:
        if source is not None:
            source.close()
        raise
    plan = CopyUpJob(node, source, draft, creation, size)
    plan.cause = tree.copy_up_causes.of(node.attributes.ino)
    node.has_capabilities = CAPABILITY in creation.xattrs
    try:
        if tree.lazy_copies.applies(node, length) and not plan.clone():
            from unionfs.ops import lazy_copyup

            plan.lazy = lazy_copyup.mark_draft(tree, node, draft, size)
    except BaseException:
        abandon(tree, plan)
        raise
    return plan


class BackgroundCopy:
    """A copy-up that a session carries out beside other requests: `copy` and `sync` in any thread, then
    `publish` or `abandon` in that which owns the tree."""

    __slots__ = ("_job", "_tree")

    def __init__(self, tree: Tree, job: CopyUpJob) -> None:
        self._tree = tree
        self._job = job

    def copy(self, budget: int | None = None) -> bool:
        return self._job.copy(budget)

    def sync(self) -> None:
        self._job.sync()

    def publish(self) -> None:
        publish(self._tree, self._job)

    def abandon(self) -> None:
        abandon(self._tree, self._job)


def abandon(tree: Tree, plan: CopyUpJob) -> None:
    """Give up a copy: nothing of it remains."""
    if plan.source is not None:
        plan.source.close()
    tree.layers.writable().discard(plan.draft)


def publish(tree: Tree, plan: CopyUpJob) -> None:
    """Put a complete copy where the file is now. Its descriptor becomes the node's."""
    upper, node = tree.layers.writable(), plan.node
    if node.layer == UPPER:
        # Another request has copied it meanwhile.
        abandon(tree, plan)
        return
    try:
        if not tree.volatile and not plan.is_synced:
            if plan.is_written_later and plan.lazy is None and not upper.defers_errors:
                tree.files.write_later(plan.draft.fd)
            else:
                plan.sync()
        draft, creation = plan.draft, plan.creation
        # Owner and mode may have changed while the data were copied.
        uid, gid = node.true_owner
        creation = Creation(node.attributes.mode, uid, gid, *creation[3:])
        if node.parent is None and not node.attributes.nlink:
            attributes, ref = upper.publish_unnamed(draft, creation), None
        elif node.parent is None:
            entry = _publish_indexed(tree, draft, creation, node)
            attributes, ref = entry.attributes, entry.ref
        else:
            entry = _publish_named(tree, plan, creation, node.parent)
            attributes, ref = entry.attributes, entry.ref
            _restore_times(upper, node.parent)
    except BaseException:
        abandon(tree, plan)
        raise
    if plan.source is not None and plan.lazy is None:
        plan.source.close()
    _moved_up(tree, node, ref, attributes)
    if plan.lazy is not None and plan.source is not None:
        from unionfs.ops import lazy_copyup

        lazy_copyup.install_draft(tree, node, draft, plan.source, plan.lazy)
    else:
        tree.files.keep(node, Backing(draft.fd, writable=True, unsynced=attributes.size))
    _record(tree, plan)
    if ref is None:
        keep_unnamed(tree, node, draft.fd)


def keep_unnamed(tree: Tree, node: Node, fd: int) -> None:
    """Keep a way to a file of the upper that has no name, and is open as `fd`."""
    if tree.journal is None and tree.files.can_pin():
        tree.files.pin(node)
    else:
        name = reserve_stash(tree, node)
        node.ref = node.stash = tree.layers.writable().stash(None, fd, name)


def reserve_stash(tree: Tree, node: Node) -> bytes:
    """A stash name for a file that the kernel refers to, written down before the file gets it."""
    name = tree.layers.writable().new_stash()
    if tree.journal is not None:
        tree.journal.add(Kind.STASHED, node.nodeid, 0, name)
    return name


def _record(tree: Tree, plan: CopyUpJob) -> None:
    node = plan.node
    copied = 0 if plan.lazy is not None or plan.is_cloned else plan.length
    path = b"" if node.parent is None else node.path()
    is_lazy = plan.lazy is not None
    node.copy_up_record = CopyUpRecord(
        path, plan.cause, node.attributes.size, copied, is_lazy=is_lazy
    )
    tree.copy_up_stats.add(node.copy_up_record)


def _publish_named(
    tree: Tree, plan: CopyUpJob, creation: Creation, directory: Directory
) -> LayerEntry:
    upper, node = tree.layers.writable(), plan.node
    parent = _ready_parent(tree, directory)
    if not _has_links(tree, node):
        return upper.publish(plan.draft, parent, node.name, creation)
    entry = upper.index_add(plan.draft, creation._replace(nlink=node.attributes.nlink))
    _link_indexed(tree, node, entry, parent)
    return entry


def _publish_indexed(tree: Tree, draft: Draft, creation: Creation, node: Node) -> LayerEntry:
    """Publish a copy of an object whose names that are left in a lower have not been looked up: those
    that were are gone."""
    upper, known = tree.layers.writable(), node.attributes
    entry = upper.index_add(draft, creation._replace(nlink=known.nlink))
    upper.index_links(known.ino, entry.ref, known.nlink)
    node.indexed = True
    tree.node_maker.index[known.ino] = None
    return entry


def _has_links(tree: Tree, node: Node) -> bool:
    """Whether an object of a lower has several names there, or had until some were removed."""
    return node.attributes.nlink > 1 or node.attributes.ino in tree.node_maker.index


def _link_indexed(tree: Tree, node: Node, entry: LayerEntry, parent: Ref) -> None:
    """Give a copy that is in the index the name by which the node is known. Killed between the two,
    all names stand for the copy, which shows the same."""
    upper, known = tree.layers.writable(), node.attributes
    try:
        upper.link(entry.ref, -1, parent, node.name)
    except OSError:
        upper.index_links(known.ino, None, known.nlink)
        raise
    # From here on the count goes with the links that the copy has on disk.
    upper.index_links(known.ino, entry.ref, known.nlink)
    node.indexed = True
    tree.node_maker.index[known.ino] = None


def _moved_up(tree: Tree, node: Node, ref: Ref | None, attributes: Attributes) -> None:
    shown = node.attributes
    tree.files.close(node)
    node.layer = UPPER
    node.ref = ref
    tree.shown.set(node, with_nlink(with_ino(attributes, shown.ino), shown.nlink))
    tree.changed.add(shown.ino)
    if tree.deferred is not None and node in tree.deferred.nodes:
        tree.deferred.note_copied(node)


def ensure_upper(
    tree: Tree, node: Node, length: int | None = None, *, keeps_data: bool = False
) -> None:
    """Copy an object up unless it is in the upper. It mostly is; callers check `node.layer` first.

    Args:
        length: no more of the data than this is wanted.
        keeps_data: what follows does not change the data.
    """
    if isinstance(node, Directory):
        ensure_directory(tree, node)
        return
    if node.layer == UPPER:
        return
    if stat.S_ISREG(node.attributes.mode):
        publish(tree, _copied(tree, node, length, keeps_data=keeps_data))
        return
    _copy_special(tree, node)


def _copied(tree: Tree, node: Node, length: int | None, *, keeps_data: bool) -> CopyUpJob:
    plan = plan_copy(tree, node, length)
    plan.keeps_data = keeps_data
    try:
        plan.copy()
    except BaseException:
        abandon(tree, plan)
        raise
    return plan


def copy_up_with_owner(
    tree: Tree, node: Node, changed: Attributes, *, keeps_capabilities: bool
) -> None:
    """Copy up a regular file of a lower with another mode and owner, in one step: those of
    `changed`, which are the true ones."""
    plan = _copied(tree, node, None, keeps_data=True)
    if plan.creation.xattrs:
        xattrs = with_acl_in_step(plan.creation.xattrs, changed.mode)
        if not keeps_capabilities and node.has_capabilities:
            xattrs = {name: value for name, value in xattrs.items() if name != CAPABILITY}
        plan.creation = plan.creation._replace(xattrs=xattrs)
    attributes, owner = node.attributes, node.owner
    tree.shown.set(node, changed)
    try:
        publish(tree, plan)
    except BaseException:
        node.attributes, node.owner = attributes, owner
        raise
    if not keeps_capabilities:
        node.has_capabilities = False


def _copy_special(tree: Tree, node: Node) -> None:
    upper = tree.layers.writable()
    if node.parent is None:
        # A symbolic link or device without a name: no client can find it again, so only the
        # attributes shown change.
        return
    if tree.first_seen is not None:
        tree.first_seen.note(node)
    parent = _ready_parent(tree, node.parent)
    creation = _creation(tree, node)
    if _has_links(tree, node):
        entry = upper.index_make(creation._replace(nlink=node.attributes.nlink))
        _link_indexed(tree, node, entry, parent)
    else:
        entry = upper.make(parent, node.name, creation)
    _restore_times(upper, node.parent)
    _moved_up(tree, node, entry.ref, entry.attributes)


def ensure_name(tree: Tree, node: Node, directory: Directory, name: bytes) -> Ref | None:
    """Make sure that this very name of an object is in the upper. Returns its ref."""
    if isinstance(node, Directory):
        return ensure_directory(tree, node)
    ensure_upper(tree, node, keeps_data=True)
    if not node.indexed:
        if node.parent is directory and node.name == name:
            return node.ref
        return next(
            ref for place, other, ref in node.aliases or () if place is directory and other == name
        )
    upper = tree.layers.writable()
    parent = _ready_parent(tree, directory)
    entry = upper.lookup(parent, name)
    if entry is not None:
        return entry.ref
    ref = upper.link(node.ref, -1, parent, name)
    # The copy has one link more on disk, for a name that has been counted.
    upper.index_links(node.attributes.ino, node.ref, node.attributes.nlink)
    _restore_times(upper, directory)
    return ref
