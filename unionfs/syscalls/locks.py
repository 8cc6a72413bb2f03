"""A substitute for flock(2) on file systems that have no locks (Lustre without `flock`, NFS 3 without a lock
daemon): a lock on a file of this node, in a directory of this user's. Processes on other nodes do not see
it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

_WITHOUT_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})


def lock_on_node(failed: OSError, fd: int, operation: int) -> int:
    """After flock(2) of `fd` failed: take the substitute. Returns the descriptor, the caller's, that holds
    it. Raises `failed` if the file system has locks, OSError as flock(2) does, and PermissionError if
    another user's directory is where the substitutes should be."""
    if failed.errno not in _WITHOUT_LOCKS:
        raise failed
    found = os.fstat(fd)
    name = b"%x-%x" % (found.st_dev, found.st_ino)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    substitute = os.open(_directory() + b"/" + name, flags, 0o600)
    try:
        fcntl.flock(substitute, operation)
    except BaseException:
        os.close(substitute)
        raise
    return substitute


def _directory() -> bytes:
    """That of this user's locks. Raises OSError (EPERM) if it is another user's."""
    parent = os.environb.get(b"XDG_RUNTIME_DIR", b"")
    if not os.path.isdir(parent):
        parent = b"/tmp"
    path = b"%b/rootless-locks-%d" % (parent, os.geteuid())
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.stat(path, follow_symlinks=False)
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise OSError(
            errno.EPERM,
            "not a directory of this user's alone: remove it, or set XDG_RUNTIME_DIR",
            os.fsdecode(path),
        )
    return path
