"""An ext2, ext3 or ext4 file system in a file, as `apptainer overlay create` makes one for a writable layer. fuse2fs
serves it; while it does, the file is locked, so that one process writes to it or several read it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rootless.containers.writable_layers.place import UPPER, make_layer, require_directories
from rootless.durable import lock_descriptor, poll_lock
from rootless.errors import (
    ExistsError,
    HostSupportError,
    InUseError,
    InvalidDocumentError,
    RootlessError,
)
from rootless.images.formats.fuse_program import remove_left, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.durable import LockFile

_MAGIC, _MAGIC_OFFSET = b"\x53\xef", 1080  # s_magic of the superblock (linux/fs/ext4/ext4.h)
_PROGRAM = "fuse2fs"
_END_SECONDS = 5.0
"""One that has just ended still writes what it has in memory."""
_INODE_TABLES = 50
"""mkfs.ext3 writes this part of the size in any case: an inode of 256 bytes for each 16 KiB."""


def is_ext_image(path: str) -> bool:
    """By its first bytes; False for what is no regular file. Raises OSError."""
    if not os.path.isfile(path):
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, len(_MAGIC), _MAGIC_OFFSET) == _MAGIC
    finally:
        os.close(fd)


@contextmanager
def mounted_ext_image(
    path: str, *, writable: bool, passed: Sequence[int] = (), offset: int = 0
) -> Iterator[str]:
    """The directory on which it is mounted during the block, and beyond it for what has been opened there. fuse2fs keeps
    the descriptors `passed` until it has written everything. `offset` is where the image begins in the file.

    Raises:
        InUseError: another process writes to it, or reads it and it is to be written to.
        HostSupportError: fuse2fs is not installed.
        InvalidDocumentError: it cannot be mounted, or its layer is not in directories of its own.
        OSError: the file cannot be opened.
    """
    lock = _lock(path, writable=writable)
    try:
        # fakeroot: owners in the image are data, as in any upper, and do not decide who may read.
        options = (
            *("fakeroot", "nosuid", "nodev", "rw" if writable else "ro"),
            *((f"offset={offset}",) if offset else ()),
        )
        with served(
            path, (_PROGRAM,), options, package=_PROGRAM, passed=(*lock.descriptors, *passed)
        ) as mountpoint:
            lock.release()  # fuse2fs holds it as long as it has the file
            _check(path, mountpoint)
            yield mountpoint
    finally:
        lock.release()


def _check(path: str, mountpoint: str) -> None:
    """fuse2fs mounts more than it can read, and the maker of the image chose what is in it. Raises InvalidDocumentError."""
    try:
        os.listdir(mountpoint)
        require_directories(mountpoint)
    except NotADirectoryError as error:
        raise InvalidDocumentError(
            f"cannot read {path}: /{error.filename} in it is not a directory"
        ) from error
    except OSError as error:
        raise InvalidDocumentError(
            f"cannot read {path}: its file system is damaged: {(error.strerror or '').lower()}",
            hint=f"e2fsck {path}",
        ) from error


def _lock(path: str, *, writable: bool) -> LockFile:
    """Lock the file. Raises InUseError, OSError."""

    def take() -> LockFile | None:
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        return lock_descriptor(fd, (fcntl.LOCK_EX if writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)

    lock = take()
    if lock is None:
        remove_left()  # what serves it may be left of a process that was killed
        lock = poll_lock(take, _END_SECONDS)
    if lock is None:
        hint = f"several can read it: --overlay {path}:ro" if writable else None
        raise InUseError(f"the overlay {path} is in use by another container", hint=hint)
    return lock


def make_ext_image(
    path: str, size: int, *, sparse: bool = False, directories: Sequence[str] = ()
) -> None:
    """Make a file of `size` bytes with an empty writable layer.

    Args:
        sparse: Take room on the disk only for what is written.
        directories: Absolute paths of directories that the layer has from the beginning.

    Raises:
        ExistsError: there is something.
        HostSupportError: mkfs.ext3 is missing.
        RootlessError: it failed, or there is no room.
    """
    import shutil
    import subprocess
    import tempfile

    program = shutil.which("mkfs.ext3", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise HostSupportError("mkfs.ext3 is not installed", hint="install the package e2fsprogs")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ExistsError(f"{path} exists") from None
    except OSError as error:
        raise RootlessError(f"cannot write {path}: {(error.strerror or '').lower()}") from error
    try:
        _require_room(path, fd, size // _INODE_TABLES if sparse else size)
        with tempfile.TemporaryDirectory(prefix="rootless-image-") as top:
            make_layer(top)
            for each in directories:
                os.makedirs(f"{top}/{UPPER}{each}", exist_ok=True)
            extended = []
            if sparse:
                os.ftruncate(fd, size)
            else:
                os.posix_fallocate(fd, 0, size)
                extended = ["-E", "nodiscard"]  # it would give the blocks back
            done = subprocess.run(
                [program, "-q", "-F", *extended, "-d", top, path],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            if done.returncode != 0:
                said = done.stderr.decode(errors="replace").strip().splitlines()
                raise RootlessError(f"mkfs.ext3 failed: {said[-1] if said else done.returncode}")
    except BaseException as error:
        os.unlink(path)
        if isinstance(error, OSError):
            raise RootlessError(f"cannot write {path}: {(error.strerror or '').lower()}") from error
        raise
    finally:
        os.close(fd)


def _require_room(path: str, fd: int, size: int) -> None:
    """Where the file system cannot reserve it, posix_fallocate(3) writes, in the worst case until memory is full (ramfs).
    Raises RootlessError."""
    found = os.fstatvfs(fd)
    if found.f_bavail * found.f_frsize < size:
        raise RootlessError(
            f"cannot write {path}: its file system has no {size >> 20} MiB free",
            hint="use a smaller --size, or --sparse",
        )
