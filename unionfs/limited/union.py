"""A union whose upper has a quota (`unionfs.limited.quota`).

The upper counts what is made and removed. What is written to an open file is measured here, after each
write, and refused before it if the file system would have to allocate more than there is room for.
"""

from __future__ import annotations

import os
import stat

from unionfs.layer import Layer
from unionfs.limited.quota import Quota, full
from unionfs.limited.upper import LimitedUpper
from unionfs.model import Attributes, Caller, NodeId, SetAttributes, StatFs
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops import data as contents
from unionfs.ops.transfers import Transfer
from unionfs.ops.tree import UnionOptions
from unionfs.ownership import Ownership
from unionfs.syscalls.extents import allocated
from unionfs.syscalls.files import FALLOC_FL_PUNCH_HOLE
from unionfs.union import Union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unionfs.filesystem import Entry

_BLOCK = 4096
"""Bytes that a file system allocates at a time."""


class LimitedUnion(Union):
    """As `Union`. Under a limit of bytes files are copied up whole: a lazy copy would take its room
    later, when there may be none."""

    def __init__(self, lowers: Sequence[Layer], upper: LimitedUpper, options: UnionOptions) -> None:
        self._upper = upper
        self._quota = upper.quota
        self._unlinked: dict[int, int] = {}
        """The inodes of files without a name that the kernel refers to, by node."""
        if upper.quota.limits.size is not None:
            options = options._replace(lazy_min_size=None)
        super().__init__(lowers, upper, options)
        if options.frozen is not None:
            # What the former uppers hold takes room as well.
            for status in options.frozen.statuses():
                self._quota.charge(status)

    def statfs(self) -> StatFs:
        """The limits as the size of the file system, with no more room than there really is."""
        found, quota = super().statfs(), self._quota
        if quota.limits.size is not None:
            free = quota.room // found.frsize
            found = found._replace(
                blocks=quota.limits.size // found.frsize,
                bfree=min(found.bfree, free),
                bavail=min(found.bavail, free),
            )
        if quota.limits.inodes is not None:
            left = quota.free_inodes
            found = found._replace(files=quota.limits.inodes, ffree=min(found.ffree, left))
        return found

    # Data

    def write(
        self,
        nodeid: NodeId,
        offset: int,
        data: bytes | memoryview,
        *,
        kill_privileges: bool = False,
    ) -> int:
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        size = len(data)
        fits = self._fitting(node, offset, size)
        if fits < size:
            data = memoryview(data)[:fits]
        written = super().write(nodeid, offset, data, kill_privileges=kill_privileges)
        self._measure(node)
        return written

    def setattr(self, nodeid: NodeId, changes: SetAttributes) -> Attributes:
        result = super().setattr(nodeid, changes)
        if changes.size is not None:
            self._measure(self._tree.node(nodeid))
        return result

    def fallocate(
        self, nodeid: NodeId, mode: int, offset: int, length: int, *, drop_set_id: int = 0
    ) -> None:
        node = self._tree.node(nodeid)
        if not mode & FALLOC_FL_PUNCH_HOLE and self._fitting(node, offset, length) < length:
            raise full()
        try:
            super().fallocate(nodeid, mode, offset, length, drop_set_id=drop_set_id)
        finally:
            self._measure(node)

    def begin_copy_range(
        self,
        source: NodeId,
        source_offset: int,
        target: NodeId,
        target_offset: int,
        length: int,
        *,
        drop_set_id: int = 0,
    ) -> Transfer:
        node = self._tree.node(target)
        length = min(length, max(0, self.getattr(source).size - source_offset))
        fits = self._fitting(node, target_offset, length) if length else 0
        transfer = super().begin_copy_range(
            source, source_offset, target, target_offset, fits, drop_set_id=drop_set_id
        )
        self._quota.reserve(fits)

        def finished() -> None:
            self._quota.reserve(-fits)
            self._measure(node)

        return _MeasuredTransfer(transfer, finished)

    def setxattr(self, nodeid: NodeId, name: bytes, value: bytes, flags: int) -> None:
        self._quota.require_name()
        super().setxattr(nodeid, name, value, flags)
        self._tree.refresh_attributes(self._tree.node(nodeid))

    def _fitting(self, node: Node, offset: int, length: int) -> int:
        """How many of these bytes can be written. Raises ENOSPC if none can, and what a copy-up
        raises."""
        if length + (1 << 16) <= self._quota.room and node.layer == UPPER:
            return length
        backing = contents.writable_backing(self._tree, node)
        return fitting(backing.fd, offset, length, self._quota.room)

    def _measure(self, node: Node) -> None:
        backing = node.backing
        if node.layer != UPPER or backing is None or backing.fd < 0:
            return
        status = os.fstat(backing.fd)
        self._quota.charge(status)
        if node.parent is None:
            self._unlinked.setdefault(node.nodeid, status.st_ino)

    # Names

    def tmpfile(self, parent: NodeId, mode: int, flags: int, caller: Caller) -> Entry:
        entry = super().tmpfile(parent, mode, flags, caller)
        self._measure(self._tree.node(entry.nodeid))
        return entry

    def link(self, nodeid: NodeId, new_parent: NodeId, new_name: bytes) -> Entry:
        entry = super().link(nodeid, new_parent, new_name)
        self._unlinked.pop(nodeid, None)
        return entry

    def unlink(self, parent: NodeId, name: bytes) -> None:
        node = self._child(parent, name)
        try:
            super().unlink(parent, name)
        finally:
            self._settle(node)

    def rename(
        self, parent: NodeId, name: bytes, new_parent: NodeId, new_name: bytes, flags: int
    ) -> None:
        replaced = self._child(new_parent, new_name)
        try:
            super().rename(parent, name, new_parent, new_name, flags)
        finally:
            self._settle(replaced)

    def forget(self, nodeid: NodeId, count: int) -> None:
        super().forget(nodeid, count)
        if nodeid in self._unlinked and nodeid not in self._nodes:
            self._quota.release(self._unlinked.pop(nodeid))

    def _child(self, parent: NodeId, name: bytes) -> Node | None:
        """The node of a name, if there is one."""
        directory = self._nodes.get(parent)
        return directory.children.get(name) if isinstance(directory, Directory) else None

    def _settle(self, node: Node | None) -> None:
        """After names have gone: an inode without one is free, unless `node` keeps it."""
        for number in self._upper.nameless:
            if (
                node is not None
                and node.lookups
                and node.backing is not None
                and stat.S_ISREG(node.attributes.mode)
            ):
                self._unlinked[node.nodeid] = number
                self._quota.leave(number)
            else:
                self._quota.release(number)
        self._upper.nameless.clear()


class _MeasuredTransfer(Transfer):
    """Another transfer, after whose end `finished` is called."""

    __slots__ = ("_finished", "_transfer")

    def __init__(self, transfer: Transfer, finished: Callable[[], None]) -> None:
        super().__init__(transfer.run)
        self._transfer = transfer
        self._finished = finished

    def finish(self) -> None:
        self._transfer.finish()
        self._finished()


def fitting(fd: int, offset: int, length: int, room: int) -> int:
    """How many of `length` bytes can be written to an open file from `offset` on, with `room` bytes
    to be allocated. Blocks that it has already take none. Raises ENOSPC if no byte can."""
    if length + 2 * _BLOCK <= room:
        return length
    left = room // _BLOCK * _BLOCK
    at, end = offset // _BLOCK * _BLOCK, -(-(offset + length) // _BLOCK) * _BLOCK
    for start, stop in (*allocated(fd, at, end), (end, end)):
        left -= max(0, start - at)
        at = max(at, start)
        if left < 0:
            # `at` lies behind a gap of which the last -left bytes do not fit.
            fits = min(length, at + left - offset)
            if fits <= 0:
                raise full()
            return fits
        at = max(at, stop)
    return length


def open_limited(
    lowers: Sequence[Layer],
    upper: bytes,
    work: bytes,
    quota: Quota,
    options: UnionOptions,
    *,
    ownership: Ownership,
    base_owner: tuple[int, int],
) -> LimitedUnion:
    """A union over the upper at this path. Raises OSError as `Union` and `DirectoryUpper` do."""
    layer = LimitedUpper(upper, work, ownership=ownership, base_owner=base_owner, quota=quota)
    try:
        return LimitedUnion(lowers, layer, options)
    except BaseException:
        layer.close()
        raise
