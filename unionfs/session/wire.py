"""Numbers of the FUSE protocol: operations, flags and fixed layouts, under the names of
include/uapi/linux/fuse.h.

Layouts are in the machine's byte order without implicit padding (the header pads by hand), so `=`
suits every one. The newest protocol known here is 7.45; the oldest spoken is 7.31, from where the
layouts used have not changed.
"""

from __future__ import annotations

from struct import Struct

from unionfs.light_types import IntEnum

KERNEL_VERSION = 7
NEWEST_MINOR = 45
OLDEST_MINOR = 31

MIN_READ_BUFFER = 8192
"""The kernel refuses to fill a smaller read buffer (FUSE_MIN_READ_BUFFER)."""

INVALID_ID = 0xFFFFFFFF
"""uid and gid of requests that create nothing, under ALLOW_IDMAP (FUSE_INVALID_UIDGID)."""


class Opcode(IntEnum):
    """enum fuse_opcode."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52
    COPY_FILE_RANGE_64 = 53


UNANSWERED = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY})
"""Requests for which the kernel wants no reply (an INTERRUPT may be answered EAGAIN, which asks for
it again)."""


class NotifyCode(IntEnum):
    """enum fuse_notify_code."""

    POLL = 1
    INVAL_INODE = 2
    INVAL_ENTRY = 3
    STORE = 4
    RETRIEVE = 5
    DELETE = 6
    RESEND = 7
    INC_EPOCH = 8
    PRUNE = 9


class InitFlag(IntEnum):
    """FUSE_INIT flags; those from bit 32 on travel in `flags2` and only under INIT_EXT."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    FILE_OPS = 1 << 2
    ATOMIC_O_TRUNC = 1 << 3
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    SPLICE_WRITE = 1 << 7
    SPLICE_MOVE = 1 << 8
    SPLICE_READ = 1 << 9
    FLOCK_LOCKS = 1 << 10
    HAS_IOCTL_DIR = 1 << 11
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    HANDLE_KILLPRIV = 1 << 19
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25
    MAP_ALIGNMENT = 1 << 26
    SUBMOUNTS = 1 << 27
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    SECURITY_CTX = 1 << 32
    HAS_INODE_DAX = 1 << 33
    CREATE_SUPP_GROUP = 1 << 34
    HAS_EXPIRE_ONLY = 1 << 35
    DIRECT_IO_ALLOW_MMAP = 1 << 36
    PASSTHROUGH = 1 << 37
    NO_EXPORT_SUPPORT = 1 << 38
    HAS_RESEND = 1 << 39
    ALLOW_IDMAP = 1 << 40
    OVER_IO_URING = 1 << 41
    REQUEST_TIMEOUT = 1 << 42


class SetattrValid(IntEnum):
    """FATTR_*: which fields of fuse_setattr_in count."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    LOCKOWNER = 1 << 9
    CTIME = 1 << 10
    KILL_SUIDGID = 1 << 11


WRITE_CACHE = 1 << 0
WRITE_LOCKOWNER = 1 << 1
WRITE_KILL_SUIDGID = 1 << 2

FOPEN_KEEP_CACHE = 1 << 1

FSYNC_FDATASYNC = 1 << 0
SETXATTR_ACL_KILL_SGID = 1 << 0

STATX_BASIC_STATS = 0x7FF
STATX_BTIME = 0x800

IN_HEADER = Struct("=IIQQIIIHH")
OWNERS = Struct("=III")
OWNERS_AT = 24
"""fuse_in_header from `uid` on: uid, gid and pid."""
OUT_HEADER = Struct("=IiQ")

GETATTR_IN = Struct("=IIQ")
GETATTR_FH = 1 << 0
SETATTR_IN = Struct("=IIQQQQQQIIIIIIII")
MKNOD_IN = Struct("=IIII")
MKDIR_IN = Struct("=II")
RENAME_IN = Struct("=Q")
RENAME2_IN = Struct("=QII")
LINK_IN = Struct("=Q")
CREATE_IN = Struct("=IIII")
READ_IN = Struct("=QQIIQII")
WRITE_IN = Struct("=QQIIQII")
RELEASE_IN = Struct("=QIIQ")
FSYNC_IN = Struct("=QII")
FLUSH_IN = Struct("=QIIQ")
SETXATTR_IN_COMPAT = Struct("=II")
SETXATTR_IN = Struct("=IIII")
GETXATTR_IN = Struct("=II")
INIT_IN_COMPAT = Struct("=IIII")
INIT_IN = Struct("=IIIII44x")
INTERRUPT_IN = Struct("=Q")
IOCTL_IN = Struct("=QIIQII")
FORGET_IN = Struct("=Q")
BATCH_FORGET_IN = Struct("=II")
FORGET_ONE = Struct("=QQ")
FALLOCATE_IN = Struct("=QQQII")
LSEEK_IN = Struct("=QqII")
"""The offset is signed: lseek(2) passes a negative one on for SEEK_DATA and SEEK_HOLE (vfs_llseek)."""
COPY_FILE_RANGE_IN = Struct("=QQQQQQQ")
SYNCFS_IN = Struct("=Q")
STATX_IN = Struct("=IIQII")

ATTR = Struct("=QQQqqqIIIIIIIIII")
ENTRY_OUT = Struct("=QQQQIIQQQqqqIIIIIIIIII")
ATTR_OUT = Struct("=QIIQQQqqqIIIIIIIIII")
DIRENT = Struct("=QQII")
DIRENTPLUS = Struct("=QQQQIIQQQqqqIIIIIIIIIIQQII")
INIT_OUT = Struct("=IIIIHHIIHHIIH22x")
OPEN_OUT = Struct("=QIi")
WRITE_OUT = Struct("=II")
STATFS_OUT = Struct("=QQQQQIIII24x")
GETXATTR_OUT = Struct("=II")
LSEEK_OUT = Struct("=Q")
COPY_FILE_RANGE_OUT = Struct("=Q")
STATX_OUT = Struct("=QII16xIIQIIIH2xQQQQqI4xqI4xqI4xqI4xIIII112x")

NOTIFY_INVAL_INODE_OUT = Struct("=Qqq")
