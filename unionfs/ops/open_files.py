"""The open files of a union, and its known incomplete files."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import Layer, LayerEntry, SupportsFingerprint, UpperLayer
from unionfs.light_types import OrderedDict
from unionfs.nodes import Backing, Node
from unionfs.syscalls.files import (
    SYNC_FILE_RANGE_WRITE,
    bounded_descriptors,
    sync_file_range,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from unionfs.lazy.background_copier import BackgroundCopier
    from unionfs.lazy.file import LazyState


_SLACK = 8
"""How many files more than `OpenFiles.bound` may be open until `close_excess`."""

_MAX_UNWRITTEN = 64
"""Files after which `write_later` does not wait for the end of the reply."""

_MAX_PINNED = 256
"""Files without a name that only a descriptor leads to; each further one gets a hidden name."""


class OpenFiles:
    """The backings of all nodes. `bound`: how many are kept open, besides the pinned ones."""

    def __init__(self, bound: int) -> None:
        # copy_file_range needs two at a time.
        self.bound = max(bounded_descriptors(bound, 3), 2)
        self._max_pinned = bounded_descriptors(_MAX_PINNED, 6)
        self.kept: OrderedDict[Node, Backing] = OrderedDict()
        """The files that can be opened again, the longest unused first."""
        self.used = self.kept.move_to_end
        """Called with the node at each use of a backing that is not pinned."""
        self.pinned = 0
        """How many files are kept open because nothing else leads to them."""
        self.lost: dict[Node, int] = {}
        """The errno of a close(2) that failed, where the file system defers errors, until it is reported."""
        self.unwritten: list[int] = []
        """Descriptors of files whose data `write_out` hands to the disk."""

    def write_later(self, fd: int) -> None:
        """Start writing the data of a file after the reply."""
        self.unwritten.append(fd)
        if len(self.unwritten) > _MAX_UNWRITTEN:
            self.write_out()

    def write_out(self) -> None:
        """Start writing what `write_later` was given."""
        for fd in self.unwritten:
            try:
                sync_file_range(fd, SYNC_FILE_RANGE_WRITE)
            except OSError:
                # It has been closed meanwhile; the kernel writes the data in its own time.
                pass
        self.unwritten.clear()

    def forbid_pins(self) -> None:
        """Keep no file open for that nothing but a descriptor leads to it."""
        self._max_pinned = 0

    def can_pin(self) -> bool:
        """Whether one more file may be kept open until the kernel forgets it. A client decides how
        many files it unlinks while they are open, so their number is bounded."""
        return self.pinned < self._max_pinned

    def keep(self, node: Node, backing: Backing) -> None:
        """Make `backing` the node's open file; the one longest unused is closed if there are too
        many."""
        if node.backing is not None:
            self.close(node)
        node.backing = backing
        if backing.pinned:
            return
        self.kept[node] = backing
        if len(self.kept) > self.bound + _SLACK:
            self.close_excess()

    def close_excess(self) -> None:
        while len(self.kept) > self.bound:
            self.close(next(iter(self.kept)))

    def pin(self, node: Node) -> None:
        """Keep the node's open file open until it is closed."""
        if node.backing is not None and not node.backing.pinned:
            node.backing.pinned = True
            self.pinned += 1
            self.kept.pop(node, None)

    def unpin(self, node: Node) -> None:
        """The node has a name again: its open file may be closed and opened again."""
        backing = node.backing
        if backing is not None and backing.pinned:
            backing.pinned = False
            self.pinned -= 1
            self.kept[node] = backing

    def close(self, node: Node) -> None:
        """Close the node's open file, if it has one."""
        backing = node.backing
        if backing is None:
            return
        node.backing = None
        self.pinned -= backing.pinned
        self.kept.pop(node, None)
        try:
            if backing.file is not None:
                backing.file.close()
            else:
                os.close(backing.fd)
        except OSError as failed:
            self.lost[node] = failed.errno or errno.EIO

    def forget(self, node: Node) -> None:
        """Close the open file of a node that the kernel does not refer to. No client is left to report an error to."""
        self.close(node)
        self.lost.pop(node, None)

    def report_lost(self, node: Node) -> None:
        """Raise the error of a close(2) of the node's file, once."""
        if number := self.lost.pop(node, 0):
            raise OSError(number, os.strerror(number))


def end_lazy(node: Node, backing: Backing) -> None:
    """All data of an open file have been copied: from now on it is like any other."""
    if backing.lazy is not None:
        backing.lazy.detach()
        backing.lazy = backing.file = None
        backing.start = 0
        backing.writable = True
    node.lazy = None


class LazyCopies:
    """The incomplete files of the upper, and when to make more of them.

    Args:
        lowers: top first.
        min_size: from how many bytes on a file is copied up lazily; None: never.
        background_rate: bytes per second that a thread copies; None: no thread.
        must_complete: all will be complete when the union ends, so that there has to be room.
    """

    def __init__(
        self,
        lowers: Sequence[Layer],
        min_size: int | None,
        *,
        background_rate: int | None = None,
        must_complete: bool = False,
    ) -> None:
        self.min_size = min_size
        self.background_rate = background_rate
        self.must_complete = must_complete
        self.block = -1
        """`lazy.usable_block` of the upper; -1 before it is known."""
        self.required_lowers = False
        """Whether the upper records that it has incomplete files."""
        self.had_incomplete_files = False
        """Whether it had some when it was mounted: not all are known."""
        self.background_copier: BackgroundCopier | None = None
        self.states: dict[int, LazyState] = {}
        """By `st_ino`."""
        self._lowers = [
            layer if isinstance(layer, SupportsFingerprint) else None for layer in lowers
        ]
        self._fingerprint: bytes | None = None

    def require_lowers(self, upper: UpperLayer) -> None:
        """EINVAL if the upper awaits other lowers than these."""
        required = upper.required_lowers()
        self.required_lowers = self.had_incomplete_files = required is not None
        if required is not None and required != self.fingerprint():
            raise OSError(
                errno.EINVAL,
                "the upper has files that are not all copied up, from other lower layers than "
                "these: finish it with those first",
            )

    def fingerprint(self) -> bytes | None:
        """Identifies the lower layers; None if one of them cannot be identified."""
        if self._fingerprint is None:
            # Against mistakes, not against malice; hashlib takes as long to import as thirty such
            # copies take.
            from zlib import adler32, crc32

            parts: list[bytes] = []
            for layer in self._lowers:
                if layer is None:
                    return None
                parts += [b"%d:%b" % (len(part), part) for part in layer.fingerprint()]
            text = b"".join(parts)
            self._fingerprint = b"%d-%08x%08x" % (len(parts), crc32(text), adler32(text))
        return self._fingerprint

    def applies(self, node: Node, length: int | None = None) -> bool:
        """Whether a file of a lower is to be copied up lazily; its first `length` bytes, if no more
        are wanted."""
        min_size = self.min_size
        if min_size is None or node.parent is None or not stat.S_ISREG(node.attributes.mode):
            return False
        size = node.attributes.size if length is None else min(length, node.attributes.size)
        return size >= max(min_size, 1) and self.fingerprint() is not None

    def of_entry(self, entry: LayerEntry) -> LazyState | None:
        """The state of an incomplete file of the upper; None if its mark cannot be read."""
        ino = entry.attributes.ino if entry.origin is None else entry.origin
        return self.of_mark(ino, entry.lazy or b"", entry.attributes.size)

    def of_mark(self, ino: int, mark: bytes, size: int) -> LazyState | None:
        """The same of a file with this number, mark and size."""
        state = self.states.get(ino)
        if state is None:
            # Most mounts have no incomplete file.
            from unionfs.lazy.file import LazyState, parse_mark

            parsed = parse_mark(mark)
            if parsed is None:
                return None
            state = self.states[ino] = LazyState(parsed, os.sysconf("SC_PAGESIZE"))
            # What was cut off must not come back, whatever limit was written before.
            state.mark = parsed._replace(limit=min(parsed.limit, size))
        return state

    def reserved_bytes(self) -> int:
        """An upper bound for the bytes that the incomplete files of this mount may still take."""
        left = (each for each in self.states.values() if not (each.is_complete or each.is_gone))
        return sum(state.mark.limit for state in left)

    def end(self, ino: int, state: LazyState) -> None:
        """The last use of a file without a name is over: there is nothing to complete."""
        state.is_gone = True
        self.states.pop(ino, None)

    def forget_all(self, upper: UpperLayer) -> None:
        """All are complete."""
        upper.set_required_lowers(None)
        self.required_lowers = self.had_incomplete_files = False
        self.states.clear()

    def close(self) -> None:
        if self.background_copier is not None:
            self.background_copier.stop()
