"""The requests of the kernel: one value per layout. Pure; decoding.py makes them."""

from __future__ import annotations

from unionfs.light_types import NamedTuple


class Header(NamedTuple):
    """fuse_in_header. `extensions` is in units of 8 bytes. The ids are those of the mount's user
    namespace."""

    length: int
    opcode: int
    unique: int
    nodeid: int
    uid: int
    gid: int
    pid: int
    extensions: int


class Empty(NamedTuple):
    """READLINK, STATFS, DESTROY."""


class Name(NamedTuple):
    """LOOKUP, UNLINK, RMDIR, REMOVEXATTR."""

    name: bytes


class Mknod(NamedTuple):
    mode: int
    rdev: int
    umask: int
    name: bytes


class Rename(NamedTuple):
    """RENAME and RENAME2; the header's node is the old directory."""

    new_parent: int
    flags: int
    name: bytes
    new_name: bytes


class Link(NamedTuple):
    """The header's node is the new directory."""

    nodeid: int
    new_name: bytes


class Create(NamedTuple):
    """CREATE, and TMPFILE with the name the kernel makes up."""

    flags: int
    mode: int
    umask: int
    open_flags: int
    name: bytes


class Read(NamedTuple):
    """READ, READDIR, READDIRPLUS."""

    fh: int
    offset: int
    size: int
    read_flags: int
    lock_owner: int
    flags: int


class Fsync(NamedTuple):
    """FSYNC, FSYNCDIR."""

    fh: int
    flags: int


class Flush(NamedTuple):
    fh: int
    lock_owner: int


class Setxattr(NamedTuple):
    """`acl_flags` is 0 unless SETXATTR_EXT was negotiated."""

    flags: int
    acl_flags: int
    name: bytes
    value: bytes


class Listxattr(NamedTuple):
    size: int


class Init(NamedTuple):
    """`flags` joins both flag words."""

    major: int
    minor: int
    max_readahead: int
    flags: int


class Fallocate(NamedTuple):
    fh: int
    offset: int
    length: int
    mode: int


class Lseek(NamedTuple):
    fh: int
    offset: int
    whence: int


class CopyFileRange(NamedTuple):
    """COPY_FILE_RANGE, COPY_FILE_RANGE_64; the header's node is the source."""

    fh_in: int
    offset_in: int
    target: int
    fh_out: int
    offset_out: int
    length: int
    flags: int


class Statx(NamedTuple):
    getattr_flags: int
    fh: int
    flags: int
    mask: int


Request = (
    Empty
    | Name
    | Mknod
    | Rename
    | Link
    | Create
    | Read
    | Fsync
    | Flush
    | Setxattr
    | Listxattr
    | Fallocate
    | Lseek
    | CopyFileRange
    | Statx
)
