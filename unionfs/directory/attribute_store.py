"""The store of the extended attributes of a tree: on its objects, or in an index beside it."""

from __future__ import annotations

import errno
import os

from unionfs.light_types import Protocol

INDEX = b"rootless.attributes"
"""The name of the index in a work directory: see `attribute_index`."""

_PROBE = b"user.rootless.probe"
_REFUSALS = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENOSYS})


class AttributeReader(Protocol):
    """`path` is a path or a descriptor; `follow`: whether its last component is followed."""

    def names(self, path: bytes | int, follow: bool) -> frozenset[bytes]:
        """Empty where they cannot be read."""

    def value(self, path: bytes | int, name: bytes, follow: bool) -> bytes | None:
        """None if there is no such attribute, or it cannot be read."""

    def close(self) -> None: ...


class AttributeStore(AttributeReader, Protocol):
    """What changes something raises OSError as setxattr(2) and removexattr(2) do."""

    is_index: bool
    """Whether attributes are kept by inode number, apart from the objects: a new object then has those
    of an earlier one of its number until `forget`."""

    def set(
        self, path: bytes | int, name: bytes, value: bytes, *, follow: bool = True, flags: int = 0
    ) -> None: ...

    def remove(self, path: bytes | int, name: bytes, *, follow: bool = True) -> None: ...

    def forget(self, ino: int) -> None:
        """An object of this number has just been made."""

    def sync(self) -> None:
        """To stable storage, what fsync(2) of the objects does not cover."""


class DiskAttributes:
    """The attributes of the file system itself."""

    __slots__ = ()
    is_index = False

    def names(self, path: bytes | int, follow: bool) -> frozenset[bytes]:
        try:
            names = os.listxattr(path, follow_symlinks=follow)
        except OSError:
            return frozenset()
        return frozenset(map(os.fsencode, names)) if names else frozenset()

    def value(self, path: bytes | int, name: bytes, follow: bool) -> bytes | None:
        try:
            return os.getxattr(path, name, follow_symlinks=follow)
        except OSError:
            return None

    def set(
        self, path: bytes | int, name: bytes, value: bytes, *, follow: bool = True, flags: int = 0
    ) -> None:
        os.setxattr(path, name, value, flags, follow_symlinks=follow)

    def remove(self, path: bytes | int, name: bytes, *, follow: bool = True) -> None:
        os.removexattr(path, name, follow_symlinks=follow)

    def forget(self, ino: int) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


ON_DISK = DiskAttributes()


def open_attributes(work: int, directory: int) -> AttributeStore:
    """The attributes of an upper that is written: an index where the work directory `work` has one, or
    where `directory`, on the same file system, can have no attributes. Raises OSError."""
    if not _has_index(work) and _can_have_attributes(directory):
        return ON_DISK
    from unionfs.directory.attribute_index import AttributeIndexFile

    return AttributeIndexFile.open(work, INDEX)


def read_attributes(work: int) -> AttributeReader:
    """The same of an upper that is only read. Raises OSError."""
    if not _has_index(work):
        return ON_DISK
    from unionfs.directory.attribute_index import AttributeIndex

    return AttributeIndex.read(work, INDEX)


def _can_have_attributes(directory: int) -> bool:
    path = b"/proc/self/fd/%d" % directory
    try:
        os.setxattr(path, _PROBE, b"")
        os.removexattr(path, _PROBE)
    except OSError as error:
        return error.errno not in _REFUSALS
    return True


def _has_index(work: int) -> bool:
    try:
        os.stat(INDEX, dir_fd=work, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
