"""Lazy copy-up: see `unionfs.lazy.file`. A file without a name, of a layer without a fingerprint, or
below the minimum size is copied whole."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import Draft, OpenFile
from unionfs.model import free_bytes
from unionfs.nodes import UPPER, Backing, Node
from unionfs.ops.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.lazy.file import LazyFile, LazyState

_CANNOT_MARK = (errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.ENOTSUP, errno.EPERM)


def mark_draft(tree: Tree, node: Node, draft: Draft, length: int) -> LazyState | None:
    """Make an empty draft one that stands for the first `length` bytes of a lower's file. None if
    the upper cannot hold such a thing; the draft is then to be filled."""
    from unionfs.lazy.file import LazyMark, LazyState, usable_block

    upper = tree.layers.writable()
    if tree.lazy_copies.block < 0:
        probe = upper.draft()
        try:
            tree.lazy_copies.block = usable_block(probe.fd)
        finally:
            upper.discard(probe)
    if tree.lazy_copies.block == 0 or node.parent is None:
        return None
    _require_room(tree, length)
    known = node.attributes
    path = node.parent.lower_path() + b"/" + node.name
    mark = LazyMark(
        length, known.size, known.mtime_ns, tree.lazy_copies.fingerprint() or b"-", path
    )
    try:
        if not tree.lazy_copies.required_lowers:
            upper.set_required_lowers(mark.fingerprint)
            tree.lazy_copies.required_lowers = True
        upper.mark_lazy(draft.fd, mark.encode())
    except OSError as failed:
        if failed.errno in _CANNOT_MARK:
            return None
        raise
    os.ftruncate(draft.fd, length)
    return LazyState(mark, tree.lazy_copies.block)


def _require_room(tree: Tree, length: int) -> None:
    """Where all has to be complete at the end: ENOSPC if there would be no room for `length` bytes more.
    A write can report it; the completion at the end of the mount could not."""
    lazy_copies = tree.lazy_copies
    if not lazy_copies.must_complete:
        return
    found = tree.layers.writable().statfs()
    free = free_bytes(found.blocks, found.bavail, found.frsize)
    is_known = not lazy_copies.had_incomplete_files
    if is_known and length + lazy_copies.reserved_bytes() <= free:
        return
    if length + pending(tree) > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def install_draft(tree: Tree, node: Node, draft: Draft, source: OpenFile, state: LazyState) -> None:
    """A marked draft has become the node's file."""
    node.lazy = state
    tree.lazy_copies.states[node.attributes.ino] = state
    tree.files.keep(node, _backing(tree, draft.fd, source, state))
    node.stale = True
    _complete_later(tree, draft.fd, state)


def open_lazy(tree: Tree, node: Node, state: LazyState) -> Backing:
    """Open a file that is not all copied up, and what it stands for. EIO if the lowers have
    something else there."""
    fd = tree.layers.writable().open_write(node.ref)
    try:
        backing = _backing(tree, fd, _source(tree, state), state)
    except BaseException:
        os.close(fd)
        raise
    tree.files.keep(node, backing)
    _complete_later(tree, fd, state)
    return backing


def _source(tree: Tree, state: LazyState) -> OpenFile:
    mark = state.mark
    found = (
        tree.layers.find_below(mark.path)
        if mark.fingerprint == tree.lazy_copies.fingerprint()
        else None
    )
    if found is not None:
        known = found[1].attributes
        if (
            stat.S_ISREG(known.mode)
            and known.size == mark.size
            and known.mtime_ns == mark.mtime_ns
            and found[0] != UPPER
        ):
            return tree.layers.layer(found[0]).open(found[1].ref)
    raise OSError(
        errno.EIO, "the file it was to be copied from has changed", os.fsdecode(mark.path)
    )


def _backing(tree: Tree, fd: int, source: OpenFile, state: LazyState) -> Backing:
    file = _file(tree, fd, source, state)
    # No start and not writable, so that no operation uses the descriptor without `lazy`.
    backing = Backing(fd, start=-1, file=file)
    backing.lazy = file
    return backing


def _file(tree: Tree, fd: int, source: OpenFile, state: LazyState) -> LazyFile:
    from unionfs.lazy.file import LazyFile

    upper = tree.layers.writable()
    return LazyFile(fd, source, state, lambda to, mark: upper.mark_lazy(to, mark.encode()))


def complete(tree: Tree, file: LazyFile) -> int:
    """Copy what is missing, to stable storage, and take the mark off. Returns the bytes copied."""
    at = 0
    while at >= 0:
        at = file.fill(at)
    os.fdatasync(file.fd)
    file.release(_unmark(tree))
    tree.copy_up_stats.add_completed(file.filled)
    return file.filled


def _unmark(tree: Tree) -> Callable[[int], None]:
    upper = tree.layers.writable()
    return lambda fd: upper.mark_lazy(fd, None)


def open_again(tree: Tree, fd: int, state: LazyState) -> LazyFile:
    """An incomplete file apart from its node's: `fd`, the upper's part, is closed with it. EIO as of
    `open_lazy`."""
    try:
        return _file(tree, fd, _source(tree, state), state)
    except BaseException:
        os.close(fd)
        raise


def _complete_later(tree: Tree, fd: int, state: LazyState) -> None:
    """Give a file to the background copier, if there is to be one."""
    lazy_copies = tree.lazy_copies
    if lazy_copies.background_rate is None or state.is_queued:
        return
    if lazy_copies.background_copier is None:
        # With the first file, for most mounts never have one.
        from unionfs.lazy.background_copier import BackgroundCopier

        lazy_copies.background_copier = BackgroundCopier(
            lazy_copies.background_rate,
            lambda file: file.release(_unmark(tree)),
            tree.copy_up_stats.add_completed,
        )
    background_copier = lazy_copies.background_copier
    if background_copier.is_full:
        return
    try:
        file = open_again(tree, os.dup(fd), state)
    except OSError:
        return
    state.is_queued = True
    background_copier.add(file)


def pending(tree: Tree) -> int:
    """How many bytes the upper would grow by if all files were complete: what a quota is to count
    beside what is used."""
    if tree.upper is None or tree.upper.required_lowers() is None:
        return 0
    total = 0
    for entry in tree.upper.incomplete_files():
        state = tree.lazy_copies.of_entry(entry)
        if state is not None and entry.attributes.nlink:
            total += max(
                min(state.mark.limit, entry.attributes.size) - entry.attributes.blocks * 512, 0
            )
    return total
