"""The quota of an upper: bytes on disk and inodes, counted as a project quota of the kernel counts them. Blocks count
where they are allocated, so that holes are free; a file with several names counts once; an unlinked file counts until
it is closed. Whiteouts do not count: a container must be able to remove files when its limit is reached.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from struct import Struct

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Report(Protocol):
        """A buffer of `REPORT.size` bytes, such as a shared mapping of a file."""

        def __setitem__(self, where: slice, data: bytes, /) -> None: ...


REPORT = Struct("=QQQQ")
"""What a quota writes into its report at each change: used bytes and inodes, and the limits of both (0:
none)."""

_SECTOR = 512
"""Bytes of the unit of st_blocks (stat(2))."""

_FORGET_SECONDS = 0.5


class QuotaLimits(NamedTuple):
    """`size` in bytes; None: no limit."""

    size: int | None = None
    inodes: int | None = None


class Quota:
    """The usage of one upper. Inodes are those of its file system."""

    def __init__(self, limits: QuotaLimits, report: Report | None = None) -> None:
        self.limits = limits
        self.inodes = 0
        self._size = sys.maxsize if limits.size is None else limits.size
        self._max_inodes = sys.maxsize if limits.inodes is None else limits.inodes
        self._sectors = 0
        self._reserved = 0
        self._charged: dict[int, int] = {}
        """Sectors of each inode when it was last looked at."""
        self._leaving: dict[int, float] = {}
        """Inodes without a name, and until when they are taken to be gone already."""
        self._report = report

    @property
    def used(self) -> int:
        """Bytes."""
        return self._sectors * _SECTOR

    @property
    def room(self) -> int:
        """Bytes that may still be allocated."""
        used = self._sectors - sum(self._charged[number] for number in self._going())
        return max(0, self._size - used * _SECTOR - self._reserved)

    @property
    def free_inodes(self) -> int:
        """How many inodes may still be made."""
        return max(0, self._max_inodes - self.inodes + len(self._going()))

    def leave(self, number: int) -> None:
        """An inode has lost its last name. If no process has it open the kernel forgets it next, but sends
        FORGET only after other requests: until then it does not stand in their way."""
        self._leaving[number] = time.monotonic() + _FORGET_SECONDS

    def _going(self) -> tuple[int, ...]:
        if not self._leaving:
            return ()
        now = time.monotonic()
        for number, until in list(self._leaving.items()):
            if until < now:
                del self._leaving[number]
        return tuple(self._leaving)

    def charge(self, status: os.stat_result) -> None:
        """An inode is there, or its blocks may have changed."""
        number, sectors = status.st_ino, status.st_blocks
        before = self._charged.get(number)
        if before == sectors:
            return
        self._charged[number] = sectors
        if before is None:
            self.inodes += 1
            before = 0
        self._sectors += sectors - before
        self._write_report()

    def release(self, number: int) -> None:
        """An inode is gone."""
        self._leaving.pop(number, None)
        sectors = self._charged.pop(number, None)
        if sectors is not None:
            self.inodes -= 1
            self._sectors -= sectors
            self._write_report()

    def reserve(self, size: int) -> None:
        """Keep `size` bytes for what a thread is writing; negative to give them back."""
        self._reserved += size

    def require_inode(self) -> None:
        """Before a new inode. Raises ENOSPC."""
        if not self.free_inodes:
            raise full()
        self.require_name()

    def require_name(self) -> None:
        """Before a new name, for which a directory may grow. Raises ENOSPC when more is in use than
        allowed, which the growth of directories alone can bring about."""
        if self._sectors * _SECTOR > self._size and not self.room:
            raise full()

    def require_room(self, size: int) -> None:
        """Raises ENOSPC unless `size` bytes may be allocated."""
        if size > self.room:
            raise full()

    def _write_report(self) -> None:
        if self._report is not None:
            limits = self.limits
            self._report[0 : REPORT.size] = REPORT.pack(
                self._sectors * _SECTOR, self.inodes, limits.size or 0, limits.inodes or 0
            )


def full() -> OSError:
    """The error of a change that does not fit."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
