"""The values that layers, the union and the sessions exchange. Pure: no I/O.

Names and symbolic link targets are bytes: a file name is whatever the kernel lets through, UTF-8 or not.
Times are integer nanoseconds since the epoch (negative before 1970), sizes are bytes, `blocks` are 512 bytes each (stat(2)).
"""

from __future__ import annotations

import sys

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import NewType

    NodeId = NewType("NodeId", int)
    """The FUSE node number by which the kernel names an object until it forgets it. The root is 1."""
else:
    NodeId = int

ROOT_NODE = NodeId(1)
LOOKED_UP_ROOT = NodeId(1 << 63)
"""The root as the kernel finds it by its name in node 1: see `ServeOptions.root_name`."""
ROOT_NODES = frozenset({ROOT_NODE, LOOKED_UP_ROOT})


_new = tuple.__new__
_S_IFMT, _S_IFDIR, _S_ISUID, _S_ISGID, _S_IXGRP = 0o170000, 0o040000, 0o4000, 0o2000, 0o010


class Attributes(NamedTuple):
    """The result of stat(2) for an object, as the container sees it.

    `mode` includes the file type. `ino` is stable over copy-up and remount and unique in the union.
    A value is never changed in place: a session may cache an encoding of it keyed by identity.
    """

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


def with_owner(known: Attributes, mode: int, uid: int, gid: int) -> Attributes:
    """`known` with another mode and owner, in a sixth of the time of `_replace`."""
    ino, _, nlink, _, _, rdev, size, blocks, atime, mtime, ctime = known
    return _new(Attributes, (
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime,
    ))  # fmt: skip


def with_nlink(known: Attributes, nlink: int) -> Attributes:
    """`known` with another number of links."""
    ino, mode, _, uid, gid, rdev, size, blocks, atime, mtime, ctime = known
    return _new(Attributes, (
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime,
    ))  # fmt: skip


def with_times(known: Attributes, atime: int, mtime: int) -> Attributes:
    """`known` with other times, in nanoseconds, of access and of change of the data."""
    ino, mode, nlink, uid, gid, rdev, size, blocks, _, _, ctime = known
    return _new(Attributes, (
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime,
    ))  # fmt: skip


def with_ino(known: Attributes, ino: int) -> Attributes:
    """`known` with another number."""
    _, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime = known
    return _new(Attributes, (
        ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime,
    ))  # fmt: skip


def without_set_id(mode: int) -> int:
    """Of anything but a directory: without set-user-id, and without set-group-id if the group may
    execute (setattr_should_drop_suidgid, fs/attr.c)."""
    if mode & _S_IFMT == _S_IFDIR:
        return mode
    return mode & ~(_S_ISUID | _S_ISGID if mode & _S_IXGRP else _S_ISUID)


class Caller(NamedTuple):
    """Who makes a request: ids as seen in the mount's user namespace (fuse_in_header), and the umask to apply."""

    uid: int
    gid: int
    pid: int = 0
    umask: int = 0


class SetAttributes(NamedTuple):
    """The changes that one SETATTR asks for; None leaves a field as it is.

    "Now" has been resolved to a time by the session. `mode` carries permission bits only.
    `kill_privileges` asks that set-user-id, set-group-id and file capabilities be dropped (FUSE_HANDLE_KILLPRIV_V2).
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    kill_privileges: bool = False


class StatFs(NamedTuple):
    """statfs(2) of the union: that of the file system that takes the writes."""

    bsize: int
    frsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    namelen: int


def free_bytes(blocks: int, available: int, fragment: int) -> int:
    """The bytes that may still be written, from f_blocks, f_bavail and f_frsize of statvfs(3). A file system that
    does not count its blocks (ramfs, some FUSE ones) has 0 of them, and no known end.
    """
    return available * fragment if blocks else sys.maxsize


def attributes_of(found: os.stat_result) -> Attributes:
    """The result of stat(2) as `Attributes`: of a file that is in no union."""
    return Attributes(
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_rdev,
        found.st_size,
        found.st_blocks,
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def stat_fs(found: os.statvfs_result) -> StatFs:
    """The result of statvfs(3) as a `StatFs`."""
    return StatFs(
        found.f_bsize,
        found.f_frsize,
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        found.f_files,
        found.f_ffree,
        found.f_namemax,
    )
