"""Moves bytes, and waits for a disk, in a thread while other requests are served.

What is to be done is decided first, by the thread that owns the tables: nodes are found, the target
copied up, and descriptors duplicated. `Transfer.run` then uses nothing but those duplicates, so
that no descriptor is closed, or given to another file, under it; it may run in any thread.
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs.nodes import UPPER, Backing, Directory, Node
from unionfs.ops.copyup import ensure_upper
from unionfs.ops.data import (
    clear_mode,
    drop_capabilities,
    open_backing,
    read,
    require_regular,
    writable_backing,
)
from unionfs.ops.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 20
_AT_ONCE = 16 << 20
"""Bytes that are copied while others wait, where that is how they have to be copied: a copy may do less
than asked."""

_NO_COPY_RANGE = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


class Transfer:
    """Work to be run once, then finished by the thread that began it. `done` is the number of bytes moved, `unsynced` how many
    a sync may have to write."""

    __slots__ = ("_descriptors", "_lost", "_work", "done", "target", "unsynced")

    def __init__(
        self,
        work: Callable[[], int],
        *descriptors: int,
        target: Node | None = None,
        lost: dict[Node, int] | None = None,
        unsynced: int = 0,
    ) -> None:
        """`target`: what is written to. `lost`: as of OpenFiles."""
        self._work = work
        self._descriptors = descriptors
        self.target = target
        self._lost = lost
        self.unsynced = unsynced
        self.done = 0

    def run(self) -> int:
        """Do it. Returns `done`; raises OSError."""
        self.done = self._work()
        return self.done

    def finish(self) -> None:
        """Close the descriptors, and account for what has been moved; also of work that was not run."""
        target = self.target
        for fd in self._descriptors:
            try:
                os.close(fd)
            except OSError as failed:
                # Of a file system that defers errors; fsync(2) or close(2) of the client gets it.
                if target is not None and self._lost is not None:
                    self._lost[target] = failed.errno or errno.EIO
        self._descriptors = ()
        if target is not None:
            target.stale = True
            if target.backing is not None:
                target.backing.unsynced += self.done
            if target.copy_up_record is not None:
                target.copy_up_record.changed += self.done


def _already(done: int) -> Callable[[], int]:
    return lambda: done


def begin_fsync(tree: Tree, node: Node, datasync: bool) -> Transfer:
    """fsync(2) of a file or directory."""
    unsynced = 0
    if isinstance(node, Directory):
        if node.upper is None:
            return Transfer(_already(0))
        fd = tree.layers.writable().open_directory(node.upper)
        datasync = False
    else:
        if tree.deferred is not None and node in tree.deferred.nodes:
            ensure_upper(tree, node, keeps_data=True)
        tree.files.report_lost(node)
        missing = node.backing is None and node.ref is None
        if node.layer != UPPER or missing or not stat.S_ISREG(node.attributes.mode):
            return Transfer(_already(0))
        backing = open_backing(tree, node)
        fd = os.dup(backing.fd)
        unsynced, backing.unsynced = backing.unsynced, 0

    sync_attributes = tree.layers.writable().sync_attributes

    def sync() -> int:
        sync_attributes()
        if datasync:
            os.fdatasync(fd)
        else:
            os.fsync(fd)
        return 0

    return Transfer(sync, fd, unsynced=unsynced)


def begin_flush(tree: Tree, node: Node) -> Transfer | None:
    """What close(2) does on a file system that defers errors: write the file out, and report what could not be. None: nothing
    is to be written out."""
    files = tree.files
    files.report_lost(node)
    backing = node.backing
    if backing is None or not (backing.writable or backing.lazy):
        return None
    fd = os.dup(backing.fd)
    unsynced, backing.unsynced = backing.unsynced, 0
    return _Flush(_already(0), fd, unsynced=unsynced)


class _Flush(Transfer):
    """Closing a descriptor, which flushes the file, as each close(2) does."""

    __slots__ = ()

    def run(self) -> int:
        (fd,), self._descriptors = self._descriptors, ()
        os.close(fd)
        return 0


def begin_syncfs(tree: Tree) -> Transfer:
    """syncfs(2) of the upper's file system."""
    upper = tree.upper
    if upper is None:
        return Transfer(_already(0))

    def sync() -> int:
        upper.sync()
        return 0

    return Transfer(sync)


def begin_copy(
    tree: Tree,
    from_: tuple[Node, int],
    to: tuple[Node, int],
    length: int,
    *,
    drop_set_id: int,
) -> Transfer:
    """copy_file_range(2). What one call on descriptors cannot do is done at once."""
    source, source_offset = from_
    target, target_offset = to
    require_regular(source)
    require_regular(target)
    writable_backing(tree, target)
    # Opening the target may have pushed out the source, or moved it to the upper if they are one.
    origin = open_backing(tree, source)
    into = open_backing(tree, target)
    if target.has_capabilities is not False:
        drop_capabilities(tree, target)
    if source.stale:
        tree.refresh_attributes(source)
    # After that, for they may be one.
    target.stale = True
    length = min(length, source.attributes.size - source_offset)
    if length <= 0:
        return Transfer(_already(0))
    clear_mode(tree, target, drop_set_id)
    if origin.fd < 0 or origin.lazy is not None or into.lazy is not None:
        length = min(length, _AT_ONCE)
        done = _copy_here(tree, (source, source_offset), (into, target_offset), length)
        return Transfer(_already(done), target=target)
    start = origin.start + source_offset
    from_fd = os.dup(origin.fd)
    try:
        to_fd = os.dup(into.fd)
    except OSError:
        os.close(from_fd)
        raise

    return Transfer(
        lambda: _copy(from_fd, start, to_fd, target_offset, length),
        from_fd,
        to_fd,
        target=target,
        lost=tree.files.lost,
    )


def _copy(from_fd: int, start: int, to_fd: int, offset: int, length: int) -> int:
    try:
        return os.copy_file_range(from_fd, to_fd, length, start, offset)
    except OSError as failed:
        if failed.errno not in _NO_COPY_RANGE:
            raise
    done = 0
    while done < length:
        data = os.pread(from_fd, min(length - done, _CHUNK), start + done)
        if not data:
            break
        done += os.pwrite(to_fd, data, offset + done)
    return done


def _copy_here(tree: Tree, from_: tuple[Node, int], to: tuple[Backing, int], length: int) -> int:
    source, source_offset = from_
    into, target_offset = to
    done = 0
    while done < length:
        data = read(tree, source, source_offset + done, min(length - done, _CHUNK))
        if not data:
            break
        if into.lazy is not None:
            done += into.lazy.write(target_offset + done, data)
        else:
            done += os.pwrite(into.fd, data, target_offset + done)
    return done


def run(transfer: Transfer) -> int:
    """All of it, here and now."""
    try:
        return transfer.run()
    finally:
        transfer.finish()
