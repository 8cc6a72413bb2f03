"""An index of extended attributes, for a file system that has none (most NFS homes, ramfs).

It is a file, `rootless.attributes` in the work directory of an upper: a line that names the format, then
records, each appended by one write(2) when an attribute changes:

    CRC32(4) LENGTH(4) | INO(8) OPERATION(1) NAME-LENGTH(1) NAME VALUE

Numbers are little-endian, CRC32 and LENGTH are those of what follows them. OPERATION: 0 sets the attribute
NAME of the object with inode number INO to VALUE, 1 removes it, 2 removes all attributes of the object,
because the number has been given to a new one. Only the server that has the work directory locked
writes. What follows the first record that is incomplete or damaged is not read: a server that was killed or
a disk that was full leaves such a record at the end only.

Objects are known by inode number, so that rename(2) and link(2) need no record. A copy of the tree, as
`cp -a` makes it, has other numbers, and the attributes are lost with it.
"""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from struct import Struct

from unionfs.logs.framing import OVERHEAD, framed, frames, is_cut_short
from unionfs.syscalls.files import log_flags

_NEW, _DAMAGED = b".new", b".damaged"
_FORMAT = b"rootless attributes 1\n"

_BODY = Struct("<QBB")
_SET, _REMOVE, _FORGET = range(3)
_KEPT_RECORDS = 1000
"""A file of fewer records is not written anew, however many of them are obsolete."""

_XATTR_CREATE, _XATTR_REPLACE = os.XATTR_CREATE, os.XATTR_REPLACE
_VALUE_LIMIT = 65536
"""XATTR_SIZE_MAX of <linux/limits.h>."""
_LONGEST = _BODY.size + 255 + _VALUE_LIMIT
"""Bytes of a record without its frame: a longer one is damage."""

Attributes = dict[int, dict[bytes, bytes]]
"""Values by inode number and name."""


class AttributeIndex:
    """The index as it is in memory: as of `AttributeReader`."""

    def __init__(self, found: Attributes) -> None:
        self._found = found

    @classmethod
    def read(cls, work: int, name: bytes) -> AttributeIndex:
        """That of the upper with this work directory. Raises OSError."""
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=work)
        try:
            return cls(_read(fd)[0])
        finally:
            os.close(fd)

    def names(self, path: bytes | int, follow: bool) -> frozenset[bytes]:
        return frozenset(self._found.get(_ino(path, follow), ()))

    def value(self, path: bytes | int, name: bytes, follow: bool) -> bytes | None:
        found = self._found.get(_ino(path, follow))
        return None if found is None else found.get(name)

    def close(self) -> None:
        """Nothing is held."""


class AttributeIndexFile(AttributeIndex):
    """The index together with its file: as of `AttributeStore`. Threads may use it at the same time."""

    is_index = True

    def __init__(self, fd: int, found: Attributes, end: int) -> None:
        super().__init__(found)
        self._fd = fd
        self._end = end
        self._lock = allocate_lock()
        self._is_synced = True

    @classmethod
    def open(cls, work: int, name: bytes) -> AttributeIndexFile:
        """The file in this work directory, made where there is none. Raises OSError."""
        flags = (
            os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | log_flags(work)
        )
        fd = os.open(name, flags, 0o600, dir_fd=work)
        try:
            found, end, count = _read(fd)
            size = os.fstat(fd).st_size
            live = sum(map(len, found.values()))
            if size == 0:
                _write_whole(fd, _FORMAT)
                end = len(_FORMAT)
            elif end < size or count > 2 * live + _KEPT_RECORDS:
                fd, end = _write_anew(work, name, fd, found, is_damaged=_is_damaged(fd, end, size))
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, found, end)

    def set(
        self, path: bytes | int, name: bytes, value: bytes, *, follow: bool = True, flags: int = 0
    ) -> None:
        ino = _ino(path, follow)
        if ino == 0:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if len(name) > 255:
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
        if len(value) > _VALUE_LIMIT:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        with self._lock:
            old = self._found.get(ino, {}).get(name)
            if old is not None and flags & _XATTR_CREATE:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
            if old is None and flags & _XATTR_REPLACE:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
            if old != value:
                self._append(_record(ino, _SET, name, value))
                self._found.setdefault(ino, {})[name] = bytes(value)

    def remove(self, path: bytes | int, name: bytes, *, follow: bool = True) -> None:
        ino = _ino(path, follow)
        with self._lock:
            found = self._found.get(ino, {})
            if name not in found:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
            self._append(_record(ino, _REMOVE, name))
            del found[name]
            if not found:
                del self._found[ino]

    def forget(self, ino: int) -> None:
        with self._lock:
            if ino in self._found:
                self._append(_record(ino, _FORGET))
                del self._found[ino]

    def sync(self) -> None:
        if not self._is_synced:
            self._is_synced = True
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._is_synced = False
                raise

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _append(self, record: bytes) -> None:
        """Raises OSError if there is no room; the file ends then where it did."""
        self._is_synced = False
        try:
            _write_whole(self._fd, record)
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._end += len(record)


def _record(ino: int, operation: int, name: bytes = b"", value: bytes = b"") -> bytes:
    return framed(_BODY.pack(ino, operation, len(name)) + name + value, checksum_first=True)


def _read(fd: int) -> tuple[Attributes, int, int]:
    """The attributes in a file, where its last sound record ends, and how many records there are. Raises
    OSError."""
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        data = file.read()
    found: Attributes = {}
    if not data.startswith(_FORMAT):
        return found, 0, 0
    at, count = len(_FORMAT), 0
    for body in frames(data, _BODY.size, _LONGEST, start=at, checksum_first=True):
        ino, operation, name_length = _BODY.unpack_from(body)
        name = body[_BODY.size : _BODY.size + name_length]
        if operation == _SET:
            found.setdefault(ino, {})[name] = body[_BODY.size + name_length :]
        elif operation == _REMOVE:
            found.get(ino, {}).pop(name, None)
        else:
            found.pop(ino, None)
        at += OVERHEAD + len(body)
        count += 1
    return found, at, count


def _is_damaged(fd: int, end: int, size: int) -> bool:
    """Whether more follows the last sound record than one record that was not completely written."""
    if end == 0:
        return not _FORMAT.startswith(os.pread(fd, len(_FORMAT), 0))
    return not is_cut_short(os.pread(fd, size - end, end), checksum_first=True)


def _write_anew(
    work: int, name: bytes, fd: int, found: Attributes, *, is_damaged: bool
) -> tuple[int, int]:
    """Replace the file by one that holds just these. `fd` is closed. A damaged one is kept under another
    name. Returns the new descriptor and the size."""
    data = _FORMAT + b"".join(
        _record(ino, _SET, key, value)
        for ino, values in found.items()
        for key, value in values.items()
    )
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    flags |= log_flags(work)
    new = os.open(name + _NEW, flags, 0o600, dir_fd=work)
    try:
        _write_whole(new, data)
        os.fsync(new)
        if is_damaged:
            _keep_damaged(work, name)
        os.rename(name + _NEW, name, src_dir_fd=work, dst_dir_fd=work)
    except BaseException:
        os.close(new)
        raise
    os.close(fd)
    return new, len(data)


def _keep_damaged(work: int, name: bytes) -> None:
    try:
        os.unlink(name + _DAMAGED, dir_fd=work)
    except FileNotFoundError:
        pass
    os.link(name, name + _DAMAGED, src_dir_fd=work, dst_dir_fd=work)


def _write_whole(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _ino(path: bytes | int, follow: bool) -> int:
    """0 if the object is not there."""
    try:
        return os.stat(path, follow_symlinks=follow).st_ino
    except OSError:
        return 0
