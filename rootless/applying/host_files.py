"""Access to the host's files for apply. Every path is resolved beneath the root and through no symbolic link, so that
a link that is swapped meanwhile cannot lead elsewhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import TypeVar

from rootless.applying.step import Attributes, Fingerprint
from rootless.rootfs.copying.data import copy_data
from rootless.syscalls.openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)
from unionfs.syscalls.files import RENAME_NOREPLACE, renameat2

_T = TypeVar("_T")

_FICLONE = 0x40049409
_BLOCK = 512
_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SETTABLE = ("user.", "system.posix_acl_")


class HostFiles:
    """The tree at `root`. Paths are relative, bytes. The methods raise OSError; ELOOP for a path through a symbolic
    link."""

    def __init__(self, root: str) -> None:
        self._root = os.open(root, _DIRECTORY)
        self._parent: tuple[bytes, int] | None = None
        self._missing: bytes | None = None
        """The directory that was asked for last, if it does not exist."""
        self._clones = True
        """Whether the file system may share blocks."""

    def close(self) -> None:
        self.forget()
        os.close(self._root)

    def forget(self) -> None:
        """Resolve the next path anew: a directory has come, moved or gone."""
        self._missing = None
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory of a path, as a descriptor that stays valid until the next call, and the name in it."""
        directory, _, name = path.rpartition(b"/")
        if self._parent is None or self._parent[0] != directory:
            if directory == self._missing:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
            self.forget()
            try:
                found = openat2(
                    self._root, os.fsdecode(directory or b"."), _DIRECTORY, resolve=_RESOLVE
                )
            except FileNotFoundError:
                self._missing = directory
                raise
            self._parent = directory, found
        return self._parent[1], name

    def fingerprint(self, path: bytes) -> Fingerprint | None:
        """Of what is there now; None if nothing is."""
        found = self.status(path)
        return None if found is None else _fingerprint(found)

    def status(self, path: bytes) -> os.stat_result | None:
        """lstat(2); None if there is nothing."""
        try:
            directory, name = self.parent(path)
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, path: bytes) -> list[bytes]:
        """The names in a directory."""
        directory, name = self.parent(path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(name, flags, dir_fd=directory)
        try:
            return sorted(map(os.fsencode, os.listdir(opened)))
        finally:
            os.close(opened)

    def open(self, path: bytes, flags: int) -> int:
        """A descriptor of a regular file."""
        directory, name = self.parent(path)
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        opened = os.open(name, flags, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise OSError(errno.EINVAL, "not a regular file", path)
        return opened

    def attributes(self, path: bytes) -> Attributes:
        """The present attributes of the object."""
        directory, name = self.parent(path)
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(found.st_mode) else b""
        place = _by_descriptor(directory, name)
        xattrs = {
            each: b64encode(os.getxattr(place, each, follow_symlinks=False)).decode()
            for each in _xattr_names(place, follow=False)
        }
        return Attributes(found.st_mode, found.st_mtime_ns, target.decode("latin-1"), xattrs)

    def write(
        self, path: bytes, temporary: bytes, source: int, given: Attributes, *, new: bool
    ) -> Fingerprint:
        """Put a copy of an open file at a path, complete: in the place of what is there, or with `new` where nothing
        is. Returns what was put there, as it was before it got its name."""
        directory, _ = self.parent(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = self._anew(
            path, temporary, lambda: os.open(temporary, flags, 0o600, dir_fd=directory)
        )
        try:
            self._copy(source, made)
            _give(made, given)
            written = _fingerprint(os.fstat(made))
        except BaseException:
            self.discard(path, temporary)
            raise
        finally:
            os.close(made)
        self.put(path, temporary, new=new)
        return written

    def _copy(self, source: int, target: int) -> None:
        """`copy_contents`, which is asked to share blocks only until it was refused."""
        found = os.fstat(source)
        if found.st_size:
            self._clones = self._clones and _clone(source, target)
            if not self._clones:
                copy_data(source, found, target)

    def _anew(self, path: bytes, temporary: bytes, make: Callable[[], _T]) -> _T:
        """Make something of a temporary name, which a run that was killed may have left there."""
        try:
            return make()
        except FileExistsError:
            self.discard(path, temporary)
            return make()

    def put(self, path: bytes, temporary: bytes, *, new: bool) -> None:
        """Give the object with a temporary name its own."""
        directory, name = self.parent(path)
        try:
            renameat2(directory, temporary, directory, name, RENAME_NOREPLACE if new else 0)
        except BaseException:
            self.discard(path, temporary)
            raise

    def discard(self, path: bytes, temporary: bytes) -> None:
        """Remove what has a temporary name beside a path, if something has."""
        directory, _ = self.parent(path)
        try:
            os.unlink(temporary, dir_fd=directory)
        except FileNotFoundError:
            return

    def make(self, path: bytes, temporary: bytes, given: Attributes, *, new: bool) -> None:
        """Make a symbolic link or a fifo, complete, as `write` does a file."""
        directory, _ = self.parent(path)
        if stat.S_ISLNK(given.mode):
            target = given.target.encode("latin-1")
            self._anew(path, temporary, lambda: os.symlink(target, temporary, dir_fd=directory))
        else:
            self._anew(path, temporary, lambda: os.mkfifo(temporary, 0o600, dir_fd=directory))
        self.give_to(directory, temporary, given)
        self.put(path, temporary, new=new)

    def make_directory(self, path: bytes) -> None:
        directory, name = self.parent(path)
        os.mkdir(name, 0o700, dir_fd=directory)
        self._missing = None

    def link(self, existing: bytes, path: bytes, temporary: bytes, *, new: bool) -> None:
        """Give a file one more name."""
        above, name = self.parent(existing)
        held = os.dup(above)
        try:
            directory, _ = self.parent(path)
            self._anew(
                path,
                temporary,
                lambda: os.link(
                    name,
                    temporary,
                    src_dir_fd=held,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                ),
            )
        finally:
            os.close(held)
        self.put(path, temporary, new=new)

    def move(self, source: bytes, path: bytes) -> None:
        """Move what is at `source` to a path where nothing is."""
        above, name = self.parent(source)
        held = os.dup(above)
        try:
            directory, new_name = self.parent(path)
            renameat2(held, name, directory, new_name, RENAME_NOREPLACE)
        finally:
            os.close(held)
            self.forget()

    def remove(self, path: bytes, *, is_directory: bool) -> None:
        directory, name = self.parent(path)
        if is_directory:
            os.rmdir(name, dir_fd=directory)
            self.forget()
        else:
            os.unlink(name, dir_fd=directory)

    def give(self, path: bytes, given: Attributes) -> None:
        """Set mode, extended attributes and time of modification of what is at a path."""
        directory, name = self.parent(path)
        self.give_to(directory, name, given)

    @staticmethod
    def give_to(directory: int, name: bytes, given: Attributes) -> None:
        if stat.S_ISLNK(given.mode):
            os.utime(
                name, ns=(given.mtime_ns, given.mtime_ns), dir_fd=directory, follow_symlinks=False
            )
            return
        opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            _give(b"/proc/self/fd/%d" % opened, given)
        finally:
            os.close(opened)


def copy_contents(source: int, target: int) -> None:
    """Make an empty file a copy of another one: by sharing its blocks where the file system can."""
    if not _clone(source, target):
        copy_data(source, os.fstat(source), target)


def _clone(source: int, target: int) -> bool:
    """Make a file share the blocks of another one. Whether the file system can."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def overwrite_contents(source: int, target: int) -> None:
    """The same for a file that is not empty. Room for all of it is taken before anything is written."""
    found = os.fstat(source)
    if not _clone(source, target):
        if found.st_blocks * _BLOCK < found.st_size:  # holes must not keep what was there
            os.ftruncate(target, 0)
        elif found.st_size:
            os.posix_fallocate(target, 0, found.st_size)
        copy_data(source, found, target)
    os.ftruncate(target, found.st_size)


def _give(place: bytes | int, given: Attributes) -> None:
    """`place`: a path, or a descriptor that is not O_PATH."""
    has = set(_xattr_names(place))
    for name in has - given.xattrs.keys():
        os.removexattr(place, name)
    for name, value in given.xattrs.items():
        if name not in has or os.getxattr(place, name) != b64decode(value):
            os.setxattr(place, name, b64decode(value))
    os.chmod(place, stat.S_IMODE(given.mode))
    os.utime(place, ns=(given.mtime_ns, given.mtime_ns))


def _xattr_names(place: bytes | int, *, follow: bool = True) -> list[str]:
    """Those that an ordinary user sets."""
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError:
        return []
    return [name for name in names if name.startswith(_SETTABLE)]


def _by_descriptor(directory: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%b" % (directory, name)


def _fingerprint(found: os.stat_result) -> Fingerprint:
    is_directory = stat.S_ISDIR(found.st_mode)
    return Fingerprint(
        found.st_mode,
        found.st_uid,
        found.st_gid,
        0 if is_directory else found.st_size,
        found.st_ino,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
