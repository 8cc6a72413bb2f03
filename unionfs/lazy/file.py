"""A lazy copy: a copied-up file whose data are still in the lower, a sparse file of full size in the upper.

Where the upper's file has data (lseek(2), SEEK_DATA), they count; where it has a hole, the bytes
of the lower's file count, up to `LazyMark.limit`, and zeros beyond. So the upper's own map alone
records what has been copied, and after a loss of power a block that was never written is a
hole again and shows what the lower has.

Three rules keep that true. A block is written whole or not at all: the edges of a write are
filled from the lower. What is to read as zeros below the limit is written as zeros, never
punched or preallocated, for unwritten extents are holes to SEEK_DATA. Before a file grows, the
limit on disk is brought down to the size it grows from: a truncation may have cut away what a
larger limit would let reappear.

The upper's file is never read in its holes, and without readahead (`LazyFile`): a page of zeros
in the cache over an unwritten extent counts as data (mapping_seek_hole_data, mm/filemap.c).
"""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock

from unionfs.layer import Extent, OpenFile
from unionfs.light_types import NamedTuple
from unionfs.syscalls.files import (
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
    pread_whole,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VERSION = b"1"
STEP = 1 << 18
"""Bytes that are copied while others wait for the same file."""

_PROBE = 1 << 20


class LazyMark(NamedTuple):
    """The value of `user.rootless.lazy` of an incomplete file: where the rest of its data are.

    The first `limit` bytes are those of the file at `path` in the lowers that have this
    fingerprint, all together; it had this size and time of change.
    """

    limit: int
    size: int
    mtime_ns: int
    fingerprint: bytes
    path: bytes

    def encode(self) -> bytes:
        numbers = b"%d %d %d" % (self.limit, self.size, self.mtime_ns)
        return b" ".join((_VERSION, numbers, self.fingerprint, self.path))


def parse_mark(value: bytes) -> LazyMark | None:
    """Read a mark; None if it does not follow the format."""
    fields = value.split(b" ", 5)
    if len(fields) != 6 or fields[0] != _VERSION:
        return None
    try:
        limit, size, mtime_ns = map(int, fields[1:4])
    except ValueError:
        return None
    return LazyMark(limit, size, mtime_ns, fields[4], fields[5])


def usable_block(fd: int) -> int:
    """The unit in which the map of data of an empty file's file system is exact; 0 if it keeps no
    such map. Leaves the file longer, and with a block of data."""
    # A write that comes short, on a full disk, ends at a page: that must not be within a block.
    block = os.sysconf("SC_PAGESIZE")
    if block % os.fstatvfs(fd).f_bsize or _PROBE % block:
        return 0
    os.ftruncate(fd, 4 * _PROBE)
    os.pwrite(fd, bytes(block), _PROBE + block)
    try:
        start = os.lseek(fd, 0, os.SEEK_DATA)
        end = os.lseek(fd, start, os.SEEK_HOLE)
    except OSError:
        return 0
    return block if (start, end) == (_PROBE + block, _PROBE + 2 * block) else 0


class LazyState:
    """The state that the threads of one incomplete file share. `lock` is held for each step of work on its data,
    and to read or set its times.
    """

    __slots__ = (
        "block",
        "is_busy",
        "is_complete",
        "is_gone",
        "is_queued",
        "lock",
        "mark",
        "saved_limit",
    )

    def __init__(self, mark: LazyMark, block: int) -> None:
        self.saved_limit = mark.limit
        """On disk; a killed server may have left it larger than the file was then."""
        self.mark = mark
        self.block = block
        self.lock = allocate_lock()
        self.is_busy = True
        """It has been written to since this was last cleared."""
        self.is_queued = False
        """It is to be completed in the background."""
        self.is_complete = False
        self.is_gone = False
        """The last name and user of the file are gone: no use to complete it."""


class LazyFile:
    """An incomplete file, open: `fd` in the upper, `source` in the lower; both are closed with it.
    Satisfies `layer.OpenFile`. `save` puts a mark on disk."""

    __slots__ = ("_save", "_source", "fd", "filled", "state")

    def __init__(
        self, fd: int, source: OpenFile, state: LazyState, save: Callable[[int, LazyMark], None]
    ) -> None:
        self.fd = fd
        self.state = state
        self.filled = 0
        """Bytes that `fill` has copied."""
        self._source: OpenFile | None = source
        self._save = save
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)

    def close(self) -> None:
        self.detach()
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def detach(self) -> None:
        """Close the lower's file only: the upper's has all the data."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
        if self.fd >= 0:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_NORMAL)

    def backing(self) -> None:
        return None

    # Reading

    def read(self, offset: int, size: int) -> bytes:
        with self.state.lock:
            return self._read(offset, min(size, os.fstat(self.fd).st_size - offset))

    def _read(self, offset: int, size: int) -> bytes:
        if size <= 0:
            return b""
        parts = [
            pread_whole(self.fd, length, at) if is_data else self._below(at, length)
            for at, length, is_data in self._runs(offset, offset + size)
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _runs(self, at: int, end: int) -> list[tuple[int, int, bool]]:
        """(offset, length, whether the upper has it) of the pieces of a range."""
        runs = []
        while at < end:
            data = min(_seek(self.fd, at, os.SEEK_DATA, end), end)
            if data > at:
                runs.append((at, data - at, False))
            if data == end:
                break
            at = min(_seek(self.fd, data, os.SEEK_HOLE, end), end)
            runs.append((data, at - data, True))
        return runs

    def _below(self, offset: int, size: int) -> bytes:
        """What a hole reads as."""
        source, limit = self._source, self.state.mark.limit
        wanted = min(size, limit - offset)
        if wanted <= 0:
            return bytes(size)
        if source is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = source.read(offset, wanted)
        while len(data) < wanted:
            more = source.read(offset + len(data), wanted - len(data))
            if not more:
                raise OSError(errno.EIO, "a file of a lower layer has become shorter")
            data += more
        return data if wanted == size else data + bytes(size - wanted)

    def extents(self) -> Sequence[Extent]:
        """Where there is data, in the upper or in the lower."""
        with self.state.lock:
            size = os.fstat(self.fd).st_size
            found = [Extent(at, length) for at, length, has in self._runs(0, size) if has]
            limit = min(self.state.mark.limit, size)
            if self._source is not None:
                below = self._source.extents()
                found += [Extent(at, min(length, limit - at)) for at, length in below if at < limit]
        merged: list[Extent] = []
        for at, length in sorted(found):
            if merged and at <= merged[-1].offset + merged[-1].length:
                start = merged[-1].offset
                end = max(start + merged[-1].length, at + length)
                merged[-1] = Extent(start, end - start)
            else:
                merged.append(Extent(at, length))
        return merged

    # Writing

    def write(self, offset: int, data: bytes | memoryview) -> int:
        """pwrite(2)."""
        self.state.is_busy = True
        with self.state.lock:
            size = os.fstat(self.fd).st_size
            if offset + len(data) > size:
                self._limit_to(size)
            return self._write(offset, data, size)

    def _write(self, offset: int, data: bytes | memoryview, size: int) -> int:
        if not data:
            return 0
        block, limit = self.state.block, self.state.mark.limit
        start, end = offset, offset + len(data)
        first, last = start - start % block, end - end % block
        head = tail = b""
        if first < start and first < limit and not self._has(first):
            head = self._below(first, start - first)
        if last < end < limit and not self._has(last):
            tail = self._below(end, min(last + block, size) - end)
        if not head and not tail:
            return os.pwrite(self.fd, data, offset)
        whole = b"".join((head, data, tail))
        done = os.pwrite(self.fd, whole, start - len(head))
        done = min(done - len(head), len(data))
        if done <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return done

    def _has(self, offset: int) -> bool:
        """Whether the upper has the block at `offset`."""
        return _seek(self.fd, offset, os.SEEK_DATA, -1) == offset

    def _limit_to(self, size: int) -> None:
        state = self.state
        mark = state.mark._replace(limit=min(state.mark.limit, size))
        if state.saved_limit > mark.limit:
            self._save(self.fd, mark)
            state.saved_limit = mark.limit
        state.mark = mark

    def truncate(self, size: int) -> None:
        with self.state.lock:
            known = os.fstat(self.fd).st_size
            if size > known:
                self._limit_to(known)
            os.ftruncate(self.fd, size)
            self._limit_to(size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """fallocate(2): below the limit space is taken by data alone."""
        with self.state.lock:
            size = os.fstat(self.fd).st_size
            end = offset + length
            if end > size:
                self._limit_to(size)
            # Up to a whole block, so that none is half below the limit and half prepared.
            block, limit = self.state.block, self.state.mark.limit
            border = min(-(-limit // block) * block, size)
            if offset < border:
                if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
                    self._zero(offset, min(end, border), size)
                else:
                    self._fill(offset, min(end, border), size)
            if end > border:
                first = max(offset, border)
                if border % block and first < border - border % block + block:
                    self._fill(border - border % block, border, size)
                fallocate(self.fd, mode, first, end - first)

    def _zero(self, offset: int, end: int, size: int) -> None:
        while offset < end:
            done = min(end - offset, STEP - offset % STEP)
            offset += self._write(offset, bytes(done), size)

    def _fill(self, offset: int, end: int, size: int) -> int:
        """Copy from the lower what is missing of a range. Returns how many bytes that were."""
        block = self.state.block
        offset -= offset % block
        end = min(-(-end // block) * block, size)
        copied = 0
        for start, length, has in self._runs(offset, end):
            at = start
            while not has and at < start + length:
                data = self._below(at, min(start + length - at, STEP))
                at += os.pwrite(self.fd, data, at)
            copied += 0 if has else length
        return copied

    # Completing

    def fill(self, offset: int) -> int:
        """Copy one step of what is missing from `offset` on. Returns where to go on; -1 when all
        is there. The file's times stay. May run in any thread, on a `LazyFile` of its own."""
        with self.state.lock:
            known = os.fstat(self.fd)
            end = min(self.state.mark.limit, known.st_size)
            if offset >= end or self._source is None:
                return -1
            copied = 0
            try:
                copied = self._fill(offset, min(offset + STEP, end), known.st_size)
            finally:
                # No client has changed the file; the lock keeps others from reading its times meanwhile.
                if os.fstat(self.fd).st_mtime_ns != known.st_mtime_ns:
                    os.utime(self.fd, ns=(known.st_atime_ns, known.st_mtime_ns))
            self.filled += copied
            return offset + STEP

    def release(self, unmark: Callable[[int], None]) -> None:
        """Take the mark off a file that has been filled, once."""
        with self.state.lock:
            if not self.state.is_complete:
                unmark(self.fd)
                self.state.is_complete = True


def _seek(fd: int, offset: int, whence: int, otherwise: int) -> int:
    try:
        return os.lseek(fd, offset, whence)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return otherwise
