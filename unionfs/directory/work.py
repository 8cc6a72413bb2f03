"""The work directory of an upper: objects are completed there before they are moved to their place.

It lies on the file system of the upper, so that rename(2) and link(2) lead from one to the
other. What is in `rootless.tmp` when an upper is opened was left by a server that was killed;
nothing refers to it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from unionfs import whiteouts
from unionfs.directory import link_index
from unionfs.directory.dirfds import READ_DIRECTORY
from unionfs.syscalls.files import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    log_flags,
    renameat2,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

TEMPORARY = b"rootless.tmp"
PREPARED = b"prepared-"
"""How the names of trees begin that other processes make: see `unionfs.directory.prepared`."""

_ENDING = b"rootless.ending"
"""Exists while the server of an unmounted union completes the upper."""

METADATA_LOG = b"rootless.metadata"
"""See `unionfs.logs.metadata`. It outlives the mount."""

FIRST_SEEN = b"rootless.first-seen"
"""See `unionfs.logs.first_seen`. It outlives the mount."""

BASES = b"rootless.bases"
"""The contents of small files before they were written over: see `unionfs.logs.first_seen`."""

_LOG = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""The maker of the upper may have made a link or a pipe of this name."""

_END_SECONDS = 1.0
"""A server sees that its mount has gone some milliseconds after umount(2) has returned."""

_POLL_SECONDS = 0.005
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class WorkDirectory:
    """`lock_fd` is the work directory, `fd` the directory of temporaries in it, `index_fd` that of the link
    index. One server at a time has it locked (flock).

    `reserves_space`: as of `DirectoryUpper`.

    Raises OSError: EBUSY if another server, whose mount has not ended, has it locked.
    """

    def __init__(self, path: bytes, *, reserves_space: bool = False) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)
        self.lock_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._substitute = _lock(self.lock_fd, path)
        except BaseException:
            os.close(self.lock_fd)
            raise
        self._log_flags = 0 if reserves_space else log_flags(self.lock_fd)
        self.fd = _subdirectory(self.lock_fd, TEMPORARY)
        self.index_fd = _subdirectory(self.lock_fd, link_index.DIRECTORY)
        self._serial = 0
        self.has_device_whiteouts = True
        self._log: int | None = None
        self._log_size = 0
        self._seen: int | None = None
        self._bases: int | None = None

    def close(self) -> None:
        for fd in (self.fd, self.lock_fd, self._substitute, self._log, self._seen, self._bases):
            if fd is not None:
                os.close(fd)

    def metadata_log(self) -> bytes:
        return read_log(self.lock_fd, METADATA_LOG)

    def append_metadata_log(self, data: bytes) -> None:
        """Add to the log. Raises OSError (ENOSPC), and then the log is as it was."""
        if self._log is None:
            flags = _LOG | self._log_flags
            self._log = os.open(METADATA_LOG, flags, 0o600, dir_fd=self.lock_fd)
            self._log_size = os.fstat(self._log).st_size
        try:
            done = os.pwrite(self._log, data, self._log_size)
            if done < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._log, self._log_size)
            raise
        self._log_size += len(data)

    def replace_metadata_log(self, data: bytes) -> None:
        """Put another log in the place of the log, in one step."""
        if self._log is not None:
            os.close(self._log)
            self._log = None
        if not data:
            try:
                os.unlink(METADATA_LOG, dir_fd=self.lock_fd)
            except FileNotFoundError:
                pass
            return
        name = self.temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | self._log_flags
        fd = os.open(name, flags, 0o600, dir_fd=self.fd)
        try:
            done = 0
            while done < len(data):
                done += os.write(fd, memoryview(data)[done:])
            os.rename(name, METADATA_LOG, src_dir_fd=self.fd, dst_dir_fd=self.lock_fd)
        except OSError:
            self.discard(name)
            raise
        finally:
            os.close(fd)

    def append_first_seen(self, data: bytes) -> None:
        """Add to the log of what was seen first. Raises OSError."""
        if self._seen is None:
            self._seen = self._open_log(FIRST_SEEN)
        _append(self._seen, data)

    def append_base(self, data: bytes) -> None:
        """Add to the log of contents that were seen first. Raises OSError."""
        if self._bases is None:
            self._bases = self._open_log(BASES)
        _append(self._bases, data)

    def _open_log(self, name: bytes) -> int:
        flags = _LOG | os.O_APPEND | self._log_flags
        return os.open(name, flags, 0o600, dir_fd=self.lock_fd)

    def announce_end(self) -> None:
        """Let the next mount wait until this one has ended, however long that takes."""
        os.close(os.open(_ENDING, _LOG, 0o600, dir_fd=self.lock_fd))

    def clean(self, kept: Collection[bytes] = ()) -> None:
        """Remove the temporaries of a killed server, except these, which its successor uses, and trees
        that a process is preparing."""
        remove_contents(self.fd, kept)
        self._serial = max(map(int, kept), default=0)

    def temporary(self) -> bytes:
        """A name in `fd` that is free."""
        self._serial += 1
        return b"%d" % self._serial

    def make_whiteout(self) -> bytes | None:
        """The name of a fresh whiteout in `fd`; None if this file system or kernel makes no 0:0
        device for us."""
        if not self.has_device_whiteouts:
            return None
        name = self.temporary()
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=self.fd)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, *_UNSUPPORTED):
                raise
            self.has_device_whiteouts = False
            return None
        return name

    def leaves_names(self) -> bool:
        """Whether a file that is removed while it is open leaves a name in its directory until it is closed, as clients
        of NFS (.nfs…) and of libfuse (.fuse_hidden…) do."""
        if os.major(os.fstat(self.fd).st_dev) != 0:
            return False  # of a disk
        name = self.temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o600, dir_fd=self.fd)
        except OSError:
            return False
        try:
            before = len(os.listdir(self.fd))
            os.unlink(name, dir_fd=self.fd)
            return len(os.listdir(self.fd)) == before
        finally:
            os.close(fd)

    def install(self, temporary: bytes, dir_fd: int, name: bytes, *, is_directory: bool) -> None:
        """Move an object from `fd` to its place, where there is nothing or a whiteout. EEXIST if
        there is more."""
        try:
            renameat2(self.fd, temporary, dir_fd, name, RENAME_NOREPLACE)
        except OSError as error:
            if error.errno != errno.EEXIST and error.errno not in _UNSUPPORTED:
                raise
            self._install_over(temporary, dir_fd, name, is_directory=is_directory)

    def _install_over(
        self, temporary: bytes, dir_fd: int, name: bytes, *, is_directory: bool
    ) -> None:
        if require_whiteout_or_nothing(dir_fd, name) and is_directory:
            if not exchange(self.fd, temporary, dir_fd, name):
                os.unlink(name, dir_fd=dir_fd)
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=dir_fd)
                return
            os.unlink(temporary, dir_fd=self.fd)
            return
        os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=dir_fd)

    def discard(self, name: bytes) -> None:
        """Remove a temporary, a directory with all that is in it."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except IsADirectoryError:
            remove_directory(self.fd, name)


def read_log(dir_fd: int, name: bytes) -> bytes:
    """The log of this name in a work directory; empty if there is none."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, dir_fd=dir_fd)
    except FileNotFoundError:
        return b""
    with open(fd, "rb") as log:
        return log.read()


def _append(log: int, data: bytes) -> None:
    if os.write(log, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lock(fd: int, path: bytes) -> int | None:
    """Lock a work directory; wait for a server that is ending. Returns the descriptor that holds the lock
    instead where the file system has none. Raises OSError (EBUSY)."""
    until = time.monotonic() + _END_SECONDS
    substitute: int | None = None
    while True:
        operation = fcntl.LOCK_EX | (0 if _exists(_ENDING, fd) else fcntl.LOCK_NB)
        try:
            substitute = _flock(fd, operation)
            break
        except BlockingIOError:
            if time.monotonic() >= until:
                where = os.fsdecode(path)
                message = f"work directory {where} is in use by another mount"
                raise OSError(errno.EBUSY, message) from None
        time.sleep(_POLL_SECONDS)
    if _exists(_ENDING, fd):
        os.unlink(_ENDING, dir_fd=fd)
    return substitute


def _flock(fd: int, operation: int) -> int | None:
    try:
        fcntl.flock(fd, operation)
    except OSError as error:
        from unionfs.syscalls.locks import lock_on_node

        return lock_on_node(error, fd, operation)
    return None


def _exists(name: bytes, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def require_whiteout_or_nothing(dir_fd: int, name: bytes) -> bool:
    """Whether there is a whiteout of this name; EEXIST if there is something else."""
    try:
        st = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not whiteouts.is_device_whiteout(st.st_mode, st.st_rdev) and not _is_empty_mark(st):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    return True


def _is_empty_mark(st: os.stat_result) -> bool:
    # The union asks only for names that it does not show, so an empty file here is an
    # overlay.whiteout one.
    return stat.S_ISREG(st.st_mode) and st.st_size == 0


def exchange(old_fd: int, old: bytes, new_fd: int, new: bytes) -> bool:
    """renameat2(RENAME_EXCHANGE); False where the file system has none (NFS, for one)."""
    try:
        renameat2(old_fd, old, new_fd, new, RENAME_EXCHANGE)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _subdirectory(dir_fd: int, name: bytes) -> int:
    try:
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        pass
    return os.open(name, READ_DIRECTORY, dir_fd=dir_fd)


def is_prepared(name: bytes) -> bool:
    """Whether this is the name of a tree that another process has made."""
    return name.startswith(PREPARED) and b"/" not in name


def _is_being_prepared(dir_fd: int, name: bytes) -> bool:
    """Whether the process that makes such a tree is alive: it has it locked."""
    if not is_prepared(name):
        return False
    try:
        fd = os.open(name, READ_DIRECTORY, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks: none is prepared there
    finally:
        os.close(fd)
    return False


def remove_directory(dir_fd: int, name: bytes) -> None:
    fd = os.open(name, READ_DIRECTORY, dir_fd=dir_fd)
    try:
        remove_contents(fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)


def remove_contents(fd: int, kept: Collection[bytes] = ()) -> None:
    """Empty a directory, but for entries with these names, and trees that a process is preparing."""
    with os.scandir(fd) as entries:
        found = [(os.fsencode(item.name), item.is_dir(follow_symlinks=False)) for item in entries]
    for name, is_directory in found:
        if name in kept or _is_being_prepared(fd, name):
            continue
        if is_directory:
            remove_directory(fd, name)
        else:
            os.unlink(name, dir_fd=fd)
