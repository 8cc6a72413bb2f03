"""Durable writing: atomic replacement of files, and locks that end with their holder.

A file is replaced by writing a temporary beside it, fsync(2), rename(2), fsync of the directory.
Killed before the rename, the old content stands and a file whose name starts with `.tmp-` is left
over for a sweep; killed after it, the new content stands.

Locks are flock(2) on a file of their own: the kernel drops them when the holder dies, however it
dies. flock works over NFS since Linux 2.6.12 (as a byte-range lock, hence the write access). Where a
file system has no locks they hold on this node only: unionfs.syscalls.locks.
"""

from __future__ import annotations

import errno
import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

StrPath: TypeAlias = "str | os.PathLike[str]"

TEMPORARY_PREFIX = ".tmp-"

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

_RESERVE = 4096
"""Bytes by which a reserve is at least larger than the content it is to replace."""
_LOCK_POLL = 0.01
"""Seconds from one attempt to take a lock to the next."""
_NFS_WAIT = 2.0
"""Seconds for a client of NFS to remove a file that has just been closed."""

_STALE_LIMIT = 20
"""Times that a lock's file may be stale once it is open: each means that another machine has just removed it."""


def fsync_directory(directory: StrPath) -> None:
    """Make the names in a directory durable. File systems that cannot (EINVAL) order renames
    themselves."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def fsync_file(path: str | os.PathLike[str]) -> None:
    """Make the content of a file durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def link_or_copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """A hard link; a copy where the file system has none (AFS, some FUSE ones)."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        import shutil

        shutil.copyfile(source, target)
        fsync_file(target)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """write(2) until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_atomically(
    path: StrPath, data: bytes, mode: int = 0o644, *, durable: bool = True
) -> None:
    """Replace `path` by `data`: a reader finds the old content or the new one, whole, also after a
    crash. Without `durable` that holds for a kill but not for a loss of power, for
    things that mean nothing after one.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f"{TEMPORARY_PREFIX}{name[:64]}-{os.urandom(6).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)  # whatever the umask is
            write_all(fd, data)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        _unlink_quietly(temporary)
        raise
    if durable:
        fsync_directory(directory or ".")


def write_with_reserve(
    path: StrPath, data: bytes, mode: int = 0o644, *, durable: bool = True
) -> None:
    """`write_atomically`, which works on a full disk too, from the second time on: each time room for
    the next content is kept in a file beside it, PATH.reserve. That takes the new content and then
    the name, so that neither a block nor an inode has to be found."""
    reserve = f"{os.fspath(path)}.reserve"
    try:
        write_atomically(path, data, mode, durable=durable)
    except OSError as error:
        if error.errno not in NO_ROOM or not _write_into_reserve(reserve, path, data, mode):
            raise
    _keep_reserve(reserve, len(data))


def overwrite(path: StrPath, data: bytes) -> bool:
    """Write the content of a file in its place, by one write(2) into the blocks that it has, and blanks behind it if it is
    shorter. False if it has too few, or is not there. Raises OSError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(fd)
        if len(data) > status.st_blocks * 512:
            return False
        data = data.ljust(status.st_size)
        return os.pwrite(fd, data, 0) == len(data)
    finally:
        os.close(fd)


def _write_into_reserve(reserve: str, path: StrPath, data: bytes, mode: int) -> bool:
    """False if there is no reserve, or it is too small."""
    try:
        fd = os.open(reserve, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_size < len(data):
            return False
        os.fchmod(fd, mode)
        write_all(fd, data)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(reserve, path)
    return True


def _keep_reserve(reserve: str, size: int) -> None:
    """Make or enlarge the file for contents that have grown from `size`; on a full disk a later call
    does it."""
    try:
        fd = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        if os.fstat(fd).st_size < size + _RESERVE:
            os.posix_fallocate(fd, 0, 2 * (size + _RESERVE))
    except OSError:
        pass  # a smaller one, and its inode, are better than none
    finally:
        try:
            os.close(fd)
        except OSError:
            pass  # on NFS a full disk may be reported here alone


def replace_file(path: StrPath, write: Callable[[int], None], mode: int = 0o644) -> None:
    """Replace a file by what `write` puts into a descriptor, as a whole. For large files in
    directories of the user's: until it is complete the file has no name (open(2), O_TMPFILE), so that
    a process that is killed leaves nothing behind. Where the file system has no such files (NFS, some FUSE ones) it has
    a temporary one, as in `write_atomically`. Raises OSError."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f"{TEMPORARY_PREFIX}{name[:64]}-{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        fd = os.open(directory or ".", flags | os.O_TMPFILE, mode)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            raise
        _replace_by_named(
            path, temporary, write, os.open(temporary, flags | os.O_CREAT | os.O_EXCL, mode)
        )
    else:
        _replace_by_unnamed(
            path, os.path.join(directory, f"{TEMPORARY_PREFIX}{name[:64]}"), write, fd
        )
    fsync_directory(directory or ".")


def _replace_by_named(path: StrPath, temporary: str, write: Callable[[int], None], fd: int) -> None:
    """`fd`, which is closed, is open at `temporary`."""
    try:
        try:
            write(fd)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        _unlink_quietly(temporary)
        raise


def _replace_by_unnamed(
    path: StrPath, temporary: str, write: Callable[[int], None], fd: int
) -> None:
    """linkat(2) cannot replace a file, so that one in its place is replaced by a rename from `temporary`. A process
    that is killed between the two leaves that name, which the next one takes."""
    try:
        write(fd)
        os.fsync(fd)
        if _link_unnamed(fd, path):
            return
        while not _link_unnamed(fd, temporary):
            try:
                os.unlink(temporary)
            except FileNotFoundError:
                pass  # another has just renamed it
    finally:
        os.close(fd)
    try:
        os.rename(temporary, path)
    except FileNotFoundError:
        pass  # another that replaces the file at the same time has taken the name, and has done so
    except BaseException:
        _unlink_quietly(temporary)
        raise


def _unlink_quietly(path: StrPath) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _link_unnamed(fd: int, path: StrPath) -> bool:
    """Give a file its name; False if there is one already."""
    try:
        # With a descriptor of a directory Python calls linkat(2), which alone can follow the
        # link that /proc/self/fd has; the descriptor itself is of no effect.
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    except FileExistsError:
        return False
    return True


class LockFile:
    """A held lock. It is released by `release`, or by the death of the process."""

    __slots__ = ("_fds",)

    def __init__(self, *fds: int) -> None:
        self._fds = fds

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Of which any holds the lock; a child process that keeps them holds it too."""
        return self._fds

    @property
    def is_substitute(self) -> bool:
        """Whether it is held on a file of this machine, because the file system has no locks."""
        return len(self._fds) > 1

    def unlock(self) -> None:
        """Give the lock back also for processes that were forked meanwhile and have the descriptors. Idempotent."""
        for fd in self._fds:
            fcntl.flock(fd, fcntl.LOCK_UN)
        self.release()

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        fds, self._fds = self._fds, ()
        for fd in fds:
            os.close(fd)


def acquire_lock(path: StrPath, *, shared: bool = False, wait: bool = True) -> LockFile | None:
    """Lock `path`, which is created where it is missing. None if it is held and `wait` is false.

    A holder may unlink the lock file before releasing it: the lock taken on such an orphan is worth
    nothing, so the name is looked up again once the lock is held.
    """
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    stale = 0
    while True:
        fd = os.open(path, flags, 0o600)
        lock = None
        try:
            lock = lock_descriptor(fd, operation)
            if lock is None:
                return None
            if _has_name(fd, path):
                held, lock = lock, None
                return held
        except OSError as error:
            # On NFS the descriptor of a file that another machine has removed.
            stale += 1
            if error.errno != errno.ESTALE or stale > _STALE_LIMIT:
                raise
        finally:
            if lock is not None:
                lock.release()


def lock_descriptor(fd: int, operation: int) -> LockFile | None:
    """flock(2) of an open file. The lock owns the descriptor, which is closed if it is not taken. None if the operation has
    LOCK_NB and another holds it. Raises OSError."""
    try:
        try:
            fcntl.flock(fd, operation)
        except OSError as error:
            from unionfs.syscalls.locks import lock_on_node

            return LockFile(fd, lock_on_node(error, fd, operation))
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return LockFile(fd)


def poll_lock(take: Callable[[], LockFile | None], seconds: float) -> LockFile | None:
    """Try to take a lock until its holder gives it back, for this time at most; None if it is held then."""
    import time

    until = time.monotonic() + seconds
    while (lock := take()) is None and time.monotonic() < until:
        time.sleep(_LOCK_POLL)
    return lock


def _has_name(fd: int, path: StrPath) -> bool:
    """Whether an open file is the one that the path names."""
    ours = os.fstat(fd)
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


class locked:  # noqa: N801 - used as a function is
    """Hold the lock `path` for the length of a block; waits for it."""

    def __init__(self, path: StrPath, *, shared: bool = False) -> None:
        self._path = path
        self._shared = shared
        self._lock: LockFile | None = None

    def __enter__(self) -> None:
        self._lock = acquire_lock(self._path, shared=self._shared)

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()


def remove_tree(path: StrPath) -> None:
    """Delete a tree of this user's files, directories without permissions included. What is gone already is
    no error."""
    if _remove_small_tree(os.fspath(path)):
        return
    import time

    until = time.monotonic() + _NFS_WAIT
    while True:
        try:
            _remove_any_tree(path)
            return
        except OSError as error:
            if not is_name_of_open_file(error) or time.monotonic() > until:
                raise
        time.sleep(0.02)


def is_name_of_open_file(error: OSError) -> bool:
    """Whether a tree cannot be deleted for a file that was removed while it was open: a client of NFS gives it another name,
    which it removes some time after the file has been closed.
    """
    return error.errno == errno.EBUSY and "/.nfs" in str(error.filename)


def _remove_any_tree(path: StrPath) -> None:
    import shutil

    def allow_and_retry(
        function: Callable[..., object], name: str, failure: tuple[object, BaseException, object]
    ) -> None:
        if isinstance(failure[1], FileNotFoundError):
            return
        # A directory of mode 0 (overlayfs's work directory, an image's own) hides its entries from
        # its owner.
        os.chmod(
            name if function is os.open or function is os.scandir else os.path.dirname(name), 0o700
        )
        if function is os.open or function is os.scandir:
            remove_tree(name)
        else:
            function(name)

    shutil.rmtree(path, onerror=allow_and_retry)


def _remove_small_tree(path: str, depth: int = 32) -> bool:
    """Delete a tree that is not deep and whose directories its owner may change, as nearly all are;
    False if it is not, or not all of it went. Importing shutil takes longer.
    """
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                elif not depth or not _remove_small_tree(entry.path, depth - 1):
                    return False
        os.rmdir(path)
    except OSError:
        return False
    return True
