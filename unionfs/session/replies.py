"""Encoding of replies to the kernel: values in, bytes out. Pure, no I/O.

`reply`, `error` and `notify` frame a whole message; the other functions give the payload of one
reply.
"""

from __future__ import annotations

from stat import S_IFDIR, S_IFMT

from unionfs.model import Attributes, StatFs
from unionfs.session import wire
from unionfs.session.wire import NotifyCode

FOREVER = 1_000_000_000
"""Seconds for which names and attributes are valid: only this server changes the tree."""

Valid = tuple[int, int]
"""Seconds and nanoseconds for which a reply is valid."""

HOLDS_FOREVER: Valid = (FOREVER, 0)

DIRECTORY_BLOCK_SIZE = 1 << 16
"""st_blksize of a directory. glibc's opendir sizes its buffer by it, and since Linux 6.16 the kernel asks
for as much of the listing at once as that buffer holds. Each request allocates a buffer of that size:
with 1 MiB a walk through small directories took an eighth longer; 64 KiB hold four hundred names."""

FILE_BLOCK_SIZE = 4096
"""st_blksize of all other objects: a page, the unit in which the kernel reads."""

DOT_COOKIES = 2
"""Listing positions 1 and 2 follow `.` and `..`; a file system's own cookie is that much less than
the kernel's."""

_SECOND = 1_000_000_000
_ALIGNMENT = (b"", b"\0" * 7, b"\0" * 6, b"\0" * 5, b"\0" * 4, b"\0" * 3, b"\0" * 2, b"\0")


# ---- frames --------------------------------------------------------------------------------------


def reply(unique: int, payload: bytes | bytearray = b"") -> bytes:
    return wire.OUT_HEADER.pack(wire.OUT_HEADER.size + len(payload), 0, unique) + payload


def error(unique: int, errno: int) -> bytes:
    return wire.OUT_HEADER.pack(wire.OUT_HEADER.size, -errno, unique)


def notify(code: NotifyCode, payload: bytes = b"") -> bytes:
    """A message that answers no request: unique 0, the code in place of the error (fuse_dev_do_write)."""
    return wire.OUT_HEADER.pack(wire.OUT_HEADER.size + len(payload), code, 0) + payload


# ---- attributes and entries ----------------------------------------------------------------------


def _attr(a: Attributes) -> tuple[int, ...]:
    """The fields of fuse_attr."""
    ino, mode, nlink, uid, gid, rdev, size, blocks, atime_ns, mtime_ns, ctime_ns = a
    atime, atime_nsec = divmod(atime_ns, _SECOND)
    mtime, mtime_nsec = divmod(mtime_ns, _SECOND)
    ctime, ctime_nsec = divmod(ctime_ns, _SECOND)
    blksize = DIRECTORY_BLOCK_SIZE if mode & 0o170000 == S_IFDIR else FILE_BLOCK_SIZE
    return (
        ino, size, blocks, atime, mtime, ctime, atime_nsec, mtime_nsec, ctime_nsec,
        mode, nlink, uid, gid, encode_dev(rdev), blksize, 0,
    )  # fmt: skip


def encode_dev(rdev: int) -> int:
    """A device number as the kernel's new_encode_dev packs it; makedev(3) agrees within 32 bits."""
    return rdev & 0xFFFFFFFF


def attr_out(a: Attributes, valid: Valid = HOLDS_FOREVER) -> bytes:
    return wire.ATTR_OUT.pack(*valid, 0, *_attr(a))


def entry_out(nodeid: int, a: Attributes, valid: Valid = HOLDS_FOREVER) -> bytes:
    seconds, nsec = valid
    return wire.ENTRY_OUT.pack(nodeid, 0, seconds, seconds, nsec, nsec, *_attr(a))


def create_out(entry: bytes, open_flags: int) -> bytes:
    return entry + open_out(0, open_flags)


def open_out(fh: int, flags: int) -> bytes:
    return wire.OPEN_OUT.pack(fh, flags, 0)


def statx_out(a: Attributes, btime_ns: int | None, valid: Valid = HOLDS_FOREVER) -> bytes:
    mask = wire.STATX_BASIC_STATS
    if btime_ns is not None:
        mask |= wire.STATX_BTIME
    fields = _attr(a)
    ino, size, blocks, atime, mtime, ctime, atime_nsec, mtime_nsec, ctime_nsec = fields[:9]
    btime, btime_nsec = divmod(btime_ns or 0, _SECOND)
    major = a.rdev >> 8 & 0xFFF
    minor = (a.rdev & 0xFF) | (a.rdev >> 12 & 0xFFF00)
    return wire.STATX_OUT.pack(
        *valid, 0, mask, fields[14], 0, a.nlink, a.uid, a.gid, a.mode, ino, size, blocks, 0,
        atime, atime_nsec, btime, btime_nsec, ctime, ctime_nsec, mtime, mtime_nsec,
        major, minor, 0, 0,
    )  # fmt: skip


# ---- directories ---------------------------------------------------------------------------------


def dirent_size(name: bytes) -> int:
    return wire.DIRENT.size + len(name) + 7 & ~7


def direntplus_size(name: bytes) -> int:
    return wire.DIRENTPLUS.size + len(name) + 7 & ~7


def dirent(ino: int, next_offset: int, mode: int, name: bytes) -> bytes:
    size = len(name)
    head = wire.DIRENT.pack(ino, next_offset, size, S_IFMT(mode) >> 12)
    return head + name + _ALIGNMENT[size & 7]


def direntplus(
    nodeid: int,
    a: Attributes,
    next_offset: int,
    name: bytes,
    valid: Valid = HOLDS_FOREVER,
) -> bytes:
    """A name with what LOOKUP would have replied. With node 0 the rest does not count: so for `.` and
    `..`, which the kernel does not count as looked up (fuse_direntplus_link)."""
    length = len(name)
    seconds, nsec = valid
    ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime = a
    head = wire.DIRENTPLUS.pack(
        nodeid, 0, seconds, seconds, nsec, nsec,
        ino, size, blocks, atime // _SECOND, mtime // _SECOND, ctime // _SECOND,
        atime % _SECOND, mtime % _SECOND, ctime % _SECOND, mode, nlink, uid, gid,
        rdev & 0xFFFFFFFF, DIRECTORY_BLOCK_SIZE if mode & 0o170000 == S_IFDIR else FILE_BLOCK_SIZE, 0,
        ino, next_offset, length, mode >> 12 & 0xF,
    )  # fmt: skip
    return head + name + _ALIGNMENT[length & 7]


# ---- the rest ------------------------------------------------------------------------------------


def write_out(size: int) -> bytes:
    return wire.WRITE_OUT.pack(size, 0)


def statfs_out(s: StatFs) -> bytes:
    return wire.STATFS_OUT.pack(
        s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.bsize, s.namelen, s.frsize, 0
    )


def getxattr_out(size: int) -> bytes:
    return wire.GETXATTR_OUT.pack(size, 0)


def lseek_out(offset: int) -> bytes:
    return wire.LSEEK_OUT.pack(offset)


def copy_file_range_out(copied: int) -> bytes:
    return wire.COPY_FILE_RANGE_OUT.pack(copied)


# ---- notifications -------------------------------------------------------------------------------


def notify_inval_inode(nodeid: int, offset: int = 0, length: int = 0) -> bytes:
    """Forget cached attributes, and data from `offset` on; a negative offset leaves the data."""
    return notify(NotifyCode.INVAL_INODE, wire.NOTIFY_INVAL_INODE_OUT.pack(nodeid, offset, length))
