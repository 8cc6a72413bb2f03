"""What the kernel asks, one value per layout of request. Pure; decoding.py makes them."""

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


class Forget(NamedTuple):
    lookups: int


class BatchForget(NamedTuple):
    """Pairs of node and lookup count."""

    nodes: tuple[tuple[int, int], ...]


class Getattr(NamedTuple):
    flags: int
    fh: int


class Setattr(NamedTuple):
    """Times are nanoseconds since the epoch; only what `valid` names counts."""

    valid: int
    fh: int
    size: int
    lock_owner: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    uid: int
    gid: int


class Symlink(NamedTuple):
    name: bytes
    target: bytes


class Mknod(NamedTuple):
    mode: int
    rdev: int
    umask: int
    name: bytes


class Mkdir(NamedTuple):
    mode: int
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


class Open(NamedTuple):
    """OPEN, OPENDIR."""

    flags: int
    open_flags: int


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


class Write(NamedTuple):
    """`data` is a view of the read buffer: valid until the next request is read."""

    fh: int
    offset: int
    size: int
    write_flags: int
    lock_owner: int
    flags: int
    data: memoryview


class Release(NamedTuple):
    """RELEASE, RELEASEDIR."""

    fh: int
    flags: int
    release_flags: int
    lock_owner: int


class Flush(NamedTuple):
    fh: int
    lock_owner: int


class Fsync(NamedTuple):
    """FSYNC, FSYNCDIR."""

    fh: int
    flags: int


class Setxattr(NamedTuple):
    """`acl_flags` is 0 unless SETXATTR_EXT was negotiated."""

    flags: int
    acl_flags: int
    name: bytes
    value: bytes


class Getxattr(NamedTuple):
    """`size` 0 asks for the length of the value."""

    size: int
    name: bytes


class Listxattr(NamedTuple):
    size: int


class Lock(NamedTuple):
    """GETLK, SETLK, SETLKW."""

    fh: int
    owner: int
    start: int
    end: int
    type: int
    pid: int
    flags: int


class Access(NamedTuple):
    mask: int


class Init(NamedTuple):
    """`flags` joins both flag words."""

    major: int
    minor: int
    max_readahead: int
    flags: int


class Interrupt(NamedTuple):
    unique: int


class Bmap(NamedTuple):
    block: int
    block_size: int


class Ioctl(NamedTuple):
    fh: int
    flags: int
    command: int
    argument: int
    out_size: int
    data: bytes


class Poll(NamedTuple):
    fh: int
    handle: int
    flags: int
    events: int


class NotifyReply(NamedTuple):
    """What a NOTIFY_RETRIEVE asked for."""

    offset: int
    size: int
    data: memoryview


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


class SetupMapping(NamedTuple):
    fh: int
    file_offset: int
    length: int
    flags: int
    memory_offset: int


class RemoveMapping(NamedTuple):
    """Pairs of offset and length."""

    ranges: tuple[tuple[int, int], ...]


class Statx(NamedTuple):
    getattr_flags: int
    fh: int
    flags: int
    mask: int


class Extensions(NamedTuple):
    """What follows a creating request under CREATE_SUPP_GROUP and SECURITY_CTX."""

    groups: tuple[int, ...] = ()
    security_contexts: tuple[bytes, ...] = ()


Request = (
    Empty
    | Name
    | Forget
    | BatchForget
    | Getattr
    | Setattr
    | Symlink
    | Mknod
    | Mkdir
    | Rename
    | Link
    | Open
    | Create
    | Read
    | Write
    | Release
    | Flush
    | Fsync
    | Setxattr
    | Getxattr
    | Listxattr
    | Lock
    | Access
    | Init
    | Interrupt
    | Bmap
    | Ioctl
    | Poll
    | NotifyReply
    | Fallocate
    | Lseek
    | CopyFileRange
    | SetupMapping
    | RemoveMapping
    | Statx
)
