"""Directory trees that another process than the server prepares in the work directory of an upper; the server then
gives each a name, so that thousands of files get into a mount without a request for each.

The process is one that may write to the work directory, which no process sees that only sees the mount:
the name of a tree, which is random, is the right to have it adopted. The request is setxattr(2) of
`ADOPT` on a directory of the mount, of `PREPARED/NAME`. An empty value asks only whether the server
adopts trees: EINVAL means that it does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from unionfs import whiteouts
from unionfs.directory.dirfds import READ_DIRECTORY
from unionfs.directory.work import PREPARED, TEMPORARY, remove_directory
from unionfs.ownership import Owner, format_override, plain_mode
from unionfs.xattr_names import ADOPT, OVERRIDE_STAT

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def adopts(directory: int) -> bool:
    """Whether the server of an open directory adopts trees into it."""
    try:
        os.setxattr(directory, ADOPT, b"")
    except OSError as error:
        return error.errno == errno.EINVAL
    # Another server has taken it for an attribute.
    os.removexattr(directory, ADOPT)
    return False


class PreparedTree:
    """A new tree. `name` is that of its directory in the work directory, `top` a descriptor of
    it. `base_owner` is the owner that the container
    sees of a file without an override.

    Raises OSError, as its methods do.
    """

    def __init__(self, work: str, base_owner: tuple[int, int]) -> None:
        self._base_owner = base_owner
        self._temporaries = os.open(os.path.join(os.fsencode(work), TEMPORARY), READ_DIRECTORY)
        self.name = PREPARED + os.urandom(16).hex().encode()
        try:
            os.mkdir(self.name, 0o700, dir_fd=self._temporaries)
            self.top = os.open(self.name, READ_DIRECTORY, dir_fd=self._temporaries)
        except BaseException:
            os.close(self._temporaries)
            raise
        try:
            fcntl.flock(self.top, fcntl.LOCK_EX)
        except BaseException:
            self.close()
            raise

    def is_own(self) -> bool:
        """Whether what this process makes belongs to the owner of the work directory."""
        found = os.fstat(self._temporaries)
        return (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())

    def make_file(self, directory: int, name: bytes, mode: int, owner: tuple[int, int]) -> int:
        """A regular file, open for writing."""
        _require_plain(name)
        plain = plain_mode(stat.S_IFREG | mode)
        fd = os.open(name, _NEW_FILE, plain, dir_fd=directory)
        if owner != self._base_owner or plain != mode:
            self._override(fd, Owner(*owner, stat.S_IFREG | mode), stat.S_IFREG)
        return fd

    def make_symlink(
        self, directory: int, name: bytes, target: bytes, owner: tuple[int, int]
    ) -> None:
        """One of another owner is a file on disk, as only a file has the attribute."""
        _require_plain(name)
        if owner == self._base_owner:
            os.symlink(target, name, dir_fd=directory)
            return
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            os.write(fd, target)
            self._override(fd, Owner(*owner, stat.S_IFLNK | 0o777), stat.S_IFREG)
        finally:
            os.close(fd)

    def make_directory(self, directory: int, name: bytes) -> int:
        """A directory, open for reading; `set_directory` gives it owner and mode."""
        _require_plain(name)
        os.mkdir(name, 0o700, dir_fd=directory)
        return os.open(name, READ_DIRECTORY, dir_fd=directory)

    def set_directory(self, fd: int, mode: int, owner: tuple[int, int]) -> None:
        plain = plain_mode(stat.S_IFDIR | mode)
        if owner != self._base_owner or plain != mode:
            self._override(fd, Owner(*owner, stat.S_IFDIR | mode), stat.S_IFDIR)
        os.fchmod(fd, plain)

    @staticmethod
    def _override(fd: int, owner: Owner, disk_mode: int) -> None:
        os.setxattr(fd, OVERRIDE_STAT, format_override(owner, disk_mode))

    def adopt(self, directory: int, name: bytes) -> None:
        """Let the server give the tree a name in an open directory of the mount. No process may have
        looked the name up: the kernel would not ask for it again."""
        os.setxattr(directory, ADOPT, self.name + b"/" + name)

    def close(self) -> None:
        """Remove what has not been adopted."""
        os.close(self.top)
        try:
            remove_directory(self._temporaries, self.name)
        except FileNotFoundError:
            pass
        finally:
            os.close(self._temporaries)


def _require_plain(name: bytes) -> None:
    """In a layer on disk it would be a whiteout."""
    if whiteouts.is_reserved(name):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
