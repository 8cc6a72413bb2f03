"""Copies the data of one copy-up: in any thread, in pieces, without the tree."""

from __future__ import annotations

import errno
import fcntl
import os

from unionfs.copy_up_stats import UNKNOWN
from unionfs.layer import Creation, Draft, Extent, OpenFile
from unionfs.nodes import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from unionfs.lazy.file import LazyState

_FICLONE = 0x40049409
_CHUNK = 1 << 23
_SLOW_CHUNK = 1 << 20
_SMALL = 1 << 16
"""Up to this many bytes, one read and one write take less time than finding the runs of data."""

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
    """One copy-up that has begun: `length` bytes of `source` go to `draft`."""

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
