"""Finds the allocated blocks of a file: by FS_IOC_FIEMAP (Documentation/filesystems/fiemap.rst), or lseek(2) on file
systems without it. FIEMAP also tells of blocks that were allocated in advance (fallocate(2)), which lseek(2) reports
as holes on some.
"""

from __future__ import annotations

import errno
import fcntl
import os
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP = Struct("=QQIIII")
"""struct fiemap: start, length, flags, extents returned, room for extents, reserved."""
_EXTENT = Struct("=QQQ16xI12x")
"""struct fiemap_extent: logical and physical offset, length, flags."""
_LAST = 1
_AT_ONCE = 64
_NO_FIEMAP = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM)


def allocated(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The runs of an open file that have blocks and begin before `end`, in order: (first byte, byte
    after the last). Raises OSError."""
    at = start
    while at < end:
        try:
            found, is_last = _extents(fd, at, end - at)
        except OSError as failed:
            if failed.errno not in _NO_FIEMAP:
                raise
            yield from data_runs(fd, at, end)
            return
        yield from found
        if is_last or not found:
            return
        at = found[-1][1]


def _extents(fd: int, start: int, length: int) -> tuple[list[tuple[int, int]], bool]:
    buffer = bytearray(_FIEMAP.size + _AT_ONCE * _EXTENT.size)
    _FIEMAP.pack_into(buffer, 0, start, length, 0, 0, _AT_ONCE, 0)
    fcntl.ioctl(fd, _FS_IOC_FIEMAP, buffer)
    count = _FIEMAP.unpack_from(buffer)[3]
    found = []
    is_last = False
    for index in range(count):
        at, _, size, flags = _EXTENT.unpack_from(buffer, _FIEMAP.size + index * _EXTENT.size)
        found.append((at, at + size))
        is_last = bool(flags & _LAST)
    return found, is_last


def data_runs(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The runs of an open file that are no holes for lseek(2), as of `allocated`. Raises OSError."""
    at = start
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as failed:
            if failed.errno == errno.ENXIO:
                return
            raise
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, hole
        at = hole
