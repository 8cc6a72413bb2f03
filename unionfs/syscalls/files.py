"""renameat2(2), fallocate(2), syncfs(2), fstatfs(2) and statx(2); and pread(2) of all there is."""

from __future__ import annotations

import os

from unionfs.light_types import NamedTuple
from unionfs.syscalls.libc import LIBC, check
from unionfs.syscalls.light_ctypes import ctypes

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

SYNC_FILE_RANGE_WRITE = 2

FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
FALLOC_FL_ZERO_RANGE = 16

AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
STATX_BTIME = 0x800

PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x01021994
"""Types of file systems (linux/magic.h)."""

_renameat2 = LIBC.renameat2
_renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_renameat2.restype = ctypes.c_int

_fallocate = LIBC.fallocate64 if hasattr(LIBC, "fallocate64") else LIBC.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_fallocate.restype = ctypes.c_int

_sync_file_range = LIBC.sync_file_range
_sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_sync_file_range.restype = ctypes.c_int

_syncfs = LIBC.syncfs
_syncfs.argtypes = [ctypes.c_int]
_syncfs.restype = ctypes.c_int

_fstatfs = LIBC.fstatfs
_fstatfs.argtypes = [ctypes.c_int, ctypes.c_void_p]
_fstatfs.restype = ctypes.c_int

_statx = LIBC.statx
_statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
_statx.restype = ctypes.c_int


class _StatFs(ctypes.Structure):
    """struct statfs of asm-generic/statfs.h with 64 bits; what follows the type is not read."""

    _fields_ = (("f_type", ctypes.c_int64), *((f"word{n}", ctypes.c_int64) for n in range(14)))


class _Timestamp(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_int64), ("tv_nsec", ctypes.c_uint32), ("pad", ctypes.c_int32))


class _Statx(ctypes.Structure):
    """struct statx of linux/stat.h; what follows the times is not read."""

    _fields_ = (
        ("stx_mask", ctypes.c_uint32),
        ("stx_blksize", ctypes.c_uint32),
        ("stx_attributes", ctypes.c_uint64),
        ("stx_nlink", ctypes.c_uint32),
        ("stx_uid", ctypes.c_uint32),
        ("stx_gid", ctypes.c_uint32),
        ("stx_mode", ctypes.c_uint16),
        ("pad", ctypes.c_uint16),
        ("stx_ino", ctypes.c_uint64),
        ("stx_size", ctypes.c_uint64),
        ("stx_blocks", ctypes.c_uint64),
        ("stx_attributes_mask", ctypes.c_uint64),
        ("stx_atime", _Timestamp),
        ("stx_btime", _Timestamp),
        ("stx_ctime", _Timestamp),
        ("stx_mtime", _Timestamp),
        ("rest", ctypes.c_uint64 * 16),
    )


class Statx(NamedTuple):
    """The one field that os.stat does not give: the time of birth, None where the file system
    keeps none."""

    btime_ns: int | None


def renameat2(olddirfd: int, oldpath: bytes, newdirfd: int, newpath: bytes, flags: int) -> None:
    check(_renameat2(olddirfd, oldpath, newdirfd, newpath, flags), newpath)


def pread_whole(fd: int, size: int, offset: int) -> bytes:
    """pread(2) until there are `size` bytes; fewer only at the end of the file.

    An error in the middle of a file ends a read before it, and the next one reports it. What is missing
    of a short reply the kernel takes for zeros (fuse_short_read, fs/fuse/file.c).
    """
    data = os.pread(fd, size, offset)
    while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
        data += more
    return data


def pread_cached(fd: int, size: int, offset: int) -> bytearray | None:
    """These bytes of a file, if it has all of them in memory; None if it has not, or its file system cannot tell."""
    data = bytearray(size)
    try:
        return data if os.preadv(fd, (data,), offset, os.RWF_NOWAIT) == size else None
    except OSError:
        return None  # EAGAIN, EOPNOTSUPP; another error comes again with the read that follows


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    check(_fallocate(fd, mode, offset, length))


def sync_file_range(fd: int, flags: int) -> None:
    """Of the whole file."""
    check(_sync_file_range(fd, 0, 0, flags))


def syncfs(fd: int) -> None:
    check(_syncfs(fd))


def file_system_type(fd: int) -> int:
    """`f_type` of fstatfs(2): a number of linux/magic.h. Raises OSError."""
    buffer = _StatFs()
    check(_fstatfs(fd, ctypes.byref(buffer)))
    return int(buffer.f_type)


_RESERVES_SPACE = frozenset({TMPFS_MAGIC, 0x858458F6, 0x9123683E, 0x794C7630, 0x2FC12FC1})
"""tmpfs, ramfs, btrfs, overlayfs and ZFS (linux/magic.h): no disk is their device, and write(2) reports that they are full."""


def defers_errors(fd: int) -> bool:
    """Whether write(2) to the file system may succeed where there is no room, and only fsync(2) or close(2) fail, as on NFS."""
    if os.major(os.fstat(fd).st_dev) != 0:
        return False  # of a disk
    return file_system_type(fd) not in _RESERVES_SPACE


def log_flags(fd: int) -> int:
    """The flags of open(2) beside others with which write(2) to a file of this file system tells that there is no room."""
    return os.O_DSYNC if defers_errors(fd) else 0


def statx(dirfd: int, pathname: bytes, flags: int, mask: int = STATX_BTIME) -> Statx:
    buffer = _Statx()
    check(_statx(dirfd, pathname, flags, mask, ctypes.byref(buffer)), pathname)
    if not buffer.stx_mask & STATX_BTIME:
        return Statx(None)
    return Statx(buffer.stx_btime.tv_sec * 1_000_000_000 + buffer.stx_btime.tv_nsec)


_ENOUGH_DESCRIPTORS = 1024
_LEAST_DESCRIPTORS = 10
_RESERVED_DESCRIPTORS = 64
"""For what is not counted: layers, indexes, the device, files in the course of a request."""


def bounded_descriptors(count: int, share: int) -> int:
    """How many files of a kind a server may keep open: `count`, or one in `share` where the limit of open files
    (RLIMIT_NOFILE) is low."""
    limit = os.sysconf("SC_OPEN_MAX")
    if limit < 0 or limit >= _ENOUGH_DESCRIPTORS:
        return count
    return min(count, max(_LEAST_DESCRIPTORS, (limit - _RESERVED_DESCRIPTORS) // share))
