"""Copy-up: an object of a lower becomes one of the upper, complete in one step.

A file is copied in three parts. `plan_copy` decides, under the session's lock; `CopyUp.copy`
moves the data and touches nothing that the tree knows, so it may run in a thread, in pieces, and
be abandoned; `publish` puts the result in place, under the lock again, wherever the file has got
to meanwhile. What a killed server leaves is a file without a name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from unionfs.copy_up_stats import UNKNOWN, CopyUpRecord
from unionfs.layer import Creation, Draft, Extent, LayerEntry, OpenFile, Ref, UpperLayer
from unionfs.model import Attributes, with_ino, with_nlink
from unionfs.nodes import UPPER, Backing, Directory, Node
from unionfs.ops.tree import Tree
from unionfs.xattr_names import CAPABILITY, with_acl_in_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unionfs.lazy.file import LazyState

_FICLONE = 0x40049409
_CHUNK = 1 << 23
_SLOW_CHUNK = 1 << 20
_SMALL = 1 << 16
"""Up to this size one read and one write beat asking for the map of data."""

_NO_CLONE = (
    errno.EOPNOTSUPP,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOTTY,
    errno.EPERM,
    errno.ETXTBSY,
    errno.EBADF,
)
_NO_COPY_RANGE = (
    errno.EXDEV,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
)


class CopyUpJob:
    """One copy under way. `length` bytes of `source` go to `draft`."""

    __slots__ = (
        "_at",
        "_extents",
        "cause",
        "creation",
        "draft",
        "is_cloned",
        "is_synced",
        "keeps_data",
        "lazy",
        "length",
        "node",
        "source",
    )

    def __init__(
        self,
        node: Node,
        source: OpenFile | None,
        draft: Draft,
        creation: Creation,
        length: int,
    ) -> None:
        self.node = node
        self.cause = UNKNOWN
        self.source = source
        self.draft = draft
        self.creation = creation
        self.length = length
        self.is_synced = False
        self.is_cloned = False
        self.keeps_data = False
        """The file is copied for a change of its metadata alone."""
        self.lazy: LazyState | None = None
        """Nothing is copied: the draft stands for the source."""
        self._extents: list[Extent] | None = None
        self._at = 0

    def copy(self, budget: int | None = None) -> bool:
        """Copy up to about `budget` bytes, all if None. True when there is nothing left."""
        source = self.source
        if source is None or self.length == 0 or self.lazy is not None or self.is_cloned:
            return True
        if self._extents is None:
            if self._copy_whole(source):
                return True
            self._extents = list(reversed(_clip(source.extents(), self.length)))
        left = self.length if budget is None else budget
        while self._extents and left > 0:
            start, length = self._extents.pop()
            done = self._copy_run(source, start, min(length, _CHUNK, max(left, 1)))
            if done < length:
                self._extents.append(Extent(start + done, length - done))
            left -= done
        if self._extents:
            return False
        os.ftruncate(self.draft.fd, self.length)
        return True

    def _copy_whole(self, source: OpenFile) -> bool:
        if self.length <= _SMALL:
            data = source.read(0, self.length)
            if len(data) == self.length:
                _write_all(self.draft.fd, data, 0)
                return True
            return False
        return self.clone()

    def clone(self) -> bool:
        """Share the data with the source (ioctl_ficlone(2)); False where that cannot be."""
        backing = None if self.source is None else self.source.backing()
        if backing is None or backing[1] != 0:
            return False
        try:
            fcntl.ioctl(self.draft.fd, _FICLONE, backing[0])
        except OSError as failed:
            if failed.errno in _NO_CLONE:
                return False
            raise
        if os.fstat(self.draft.fd).st_size != self.length:
            os.ftruncate(self.draft.fd, self.length)
        self.is_cloned = True
        return True

    def _copy_run(self, source: OpenFile, start: int, length: int) -> int:
        backing = source.backing()
        if backing is not None:
            try:
                done = os.copy_file_range(
                    backing[0], self.draft.fd, length, backing[1] + start, start
                )
            except OSError as failed:
                if failed.errno not in _NO_COPY_RANGE:
                    raise
            else:
                if done:
                    return done
        data = source.read(start, min(length, _SLOW_CHUNK))
        if not data:
            # The lower is shorter than it was: the rest is a hole, as it would read.
            return length
        _write_all(self.draft.fd, data, start)
        return len(data)

    def sync(self) -> None:
        """Write the data to stable storage, so that no loss of power leaves the new name without
        them."""
        if self.length and self.lazy is None:
            os.fdatasync(self.draft.fd)
        self.is_synced = True

    @property
    def is_written_later(self) -> bool:
        """Whether writing the data is started after the reply, and not waited for, as ext4 does for a
        file that replaces another by rename(2) (ext4(5), auto_da_alloc): of a small file whose
        metadata alone change. Such changes come by the thousand, and waiting for the disk takes ten
        times as long as all the rest."""
        return self.keeps_data and 0 < self.length <= _SMALL and not self.is_cloned


def _clip(extents: Sequence[Extent], length: int) -> list[Extent]:
    return [Extent(at, min(size, length - at)) for at, size in extents if at < length]


def _write_all(fd: int, data: bytes, offset: int) -> None:
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)


# Directories


def ensure_directory(tree: Tree, directory: Directory) -> Ref:
    """The directory in the upper, made there with its attributes if need be, and those above it.
    EROFS without an upper."""
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
    """The directory in the upper, its times known: see `_restore_times`."""
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
    creation = _creation(tree, node)
    size = node.attributes.size
    if length is not None:
        size = min(size, length)
        # The truncation that follows sets the times.
        creation = creation._replace(mtime_ns=None, atime_ns=None)
    source = tree.layers.layer(node.layer).open(node.ref) if size else None
    try:
        draft = upper.draft()
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


def abandon(tree: Tree, plan: CopyUpJob) -> None:
    """Give up a copy: nothing of it remains."""
    if plan.source is not None:
        plan.source.close()
    tree.layers.writable().discard(plan.draft)


def publish(tree: Tree, plan: CopyUpJob) -> None:
    """Put a finished copy where the file is now. Its descriptor becomes the node's."""
    upper, node = tree.layers.writable(), plan.node
    if node.layer == UPPER:
        # Another request has copied it meanwhile.
        abandon(tree, plan)
        return
    try:
        if not tree.volatile and not plan.is_synced:
            if plan.is_written_later and plan.lazy is None:
                tree.files.write_later(plan.draft.fd)
            else:
                plan.sync()
        draft, creation = plan.draft, plan.creation
        # Owner and mode may have changed while the data were copied.
        uid, gid = node.true_owner
        creation = Creation(node.attributes.mode, uid, gid, *creation[3:])
        if node.parent is None:
            attributes, ref = upper.publish_unnamed(draft, creation), None
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
        tree.files.keep(node, Backing(draft.fd, writable=True))
    _record(tree, plan)
    if ref is None:
        keep_unnamed(tree, node, draft.fd)


def keep_unnamed(tree: Tree, node: Node, fd: int) -> None:
    """Keep a way to a file of the upper that has no name, and is open as `fd`."""
    if tree.files.can_pin():
        tree.files.pin(node)
    else:
        node.ref = node.stash = tree.layers.writable().stash(None, fd)


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
