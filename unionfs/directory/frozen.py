"""A frozen upper: it takes no more writes, because another one lies over it. It is read as it was written, with all
its marks.

Beside it lies what its work directory held when it was frozen, `SavedState`: the copies that stand for files with
several names below (`link_index`), the logs, and the index of attributes where the file system has none.
"""

from __future__ import annotations

import fcntl
import os

from unionfs.directory.attribute_store import INDEX as ATTRIBUTES
from unionfs.directory.attribute_store import open_attributes, read_attributes
from unionfs.directory.dirfds import READ_DIRECTORY
from unionfs.directory.link_index import DIRECTORY as LINKS
from unionfs.directory.link_index import format_count, parse_count
from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.work import BASES, FIRST_SEEN, METADATA_LOG, remove_contents
from unionfs.ownership import Ownership
from unionfs.syscalls.files import log_flags
from unionfs.xattr_names import LAZY, NLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.directory.attribute_store import AttributeReader, AttributeStore
    from unionfs.directory.dirfds import DirfdCache

_LOGS = (METADATA_LOG, FIRST_SEEN, BASES, ATTRIBUTES)
_FICLONE = 0x40049409
_CHUNK = 1 << 30
_COPY = b"copy"
"""The name, in the directory of temporaries, of a copy that is being made."""


class FrozenUpper(DirectoryLayer):
    """The tree at `path`; `work` has its saved state. `base_owner` as of `DirectoryLayer`.

    Of an upper that has just been frozen, `dirfds` and `store` are those that it shares with the upper over it, which
    closes them.
    """

    def __init__(
        self,
        path: bytes,
        work: bytes,
        *,
        base_owner: tuple[int, int] = (0, 0),
        ownership: Ownership = Ownership.DATA,
        dirfds: DirfdCache | None = None,
        store: AttributeReader | None = None,
    ) -> None:
        super().__init__(path, ownership=ownership, base_owner=base_owner, dirfds=dirfds)
        self._has_bookkeeping = True
        self._stores_all = self._as_data
        self._is_shared = dirfds is not None
        if store is not None:
            self._use_store(store)
            return
        work_fd = os.open(work, READ_DIRECTORY)
        try:
            self._use_store(read_attributes(work_fd))
        finally:
            os.close(work_fd)

    def close(self) -> None:
        if not self._is_shared:
            super().close()


def save_state(work: int, saved: bytes, temporaries: int, store: AttributeStore) -> None:
    """Save what the work directory `work` of an upper that is about to be frozen holds, as the directory `saved`.

    The index of links goes on with copies of its own: the names in the upper are links of those that are saved, and
    those must not change. `temporaries` is a directory of the same file system for copies that are being made, `store`
    has the attributes of the upper. Raises OSError.
    """
    store.sync()
    os.mkdir(saved, 0o700)
    links = saved + b"/" + LINKS
    os.mkdir(links, 0o700)
    index = os.open(LINKS, READ_DIRECTORY, dir_fd=work)
    try:
        with os.scandir(index) as entries:
            for each in list(entries):
                name = os.fsencode(each.name)
                os.link(name, links + b"/" + name, src_dir_fd=index, follow_symlinks=False)
                if not each.is_symlink():
                    _replace_by_copy(index, name, temporaries, store)
    finally:
        os.close(index)
    for name in _LOGS:
        _copy_log(work, saved, name)


def restore_state(saved: bytes, work: bytes) -> None:
    """Make `work`, an empty directory, the work directory of a new upper over the frozen one with this saved state.
    Raises OSError."""
    index = work + b"/" + LINKS
    os.mkdir(index, 0o700)
    saved_fd, index_fd = os.open(saved, READ_DIRECTORY), os.open(index, READ_DIRECTORY)
    try:
        store = read_attributes(saved_fd)
        for name in _LOGS:
            _copy_log(saved_fd, work, name)
        with os.scandir(saved + b"/" + LINKS) as entries:
            for entry in entries:
                os.link(entry.path, entry.name, dst_dir_fd=index_fd, follow_symlinks=False)
        work_fd = os.open(work, READ_DIRECTORY)
        try:
            own = open_attributes(work_fd, index_fd)
            for each in map(os.fsencode, os.listdir(index_fd)):
                if not os.path.islink(b"/proc/self/fd/%d/%b" % (index_fd, each)):
                    _replace_by_copy(index_fd, each, work_fd, own)
            own.close()
        finally:
            os.close(work_fd)
        store.close()
    finally:
        os.close(saved_fd)
        os.close(index_fd)


def _replace_by_copy(index: int, name: bytes, temporaries: int, store: AttributeStore) -> None:
    """Put a copy in the place of a file of an index of links. It has no names in the tree, so that the count of names
    is with one link."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=index)
    try:
        found = os.fstat(source)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        copy = os.open(_COPY, flags, 0o600, dir_fd=temporaries)
        try:
            store.forget(os.fstat(copy).st_ino)
            _copy_data(source, copy, found.st_size)
            for key in store.names(source, follow=True):
                value = store.value(source, key, follow=True)
                if value is not None and key != LAZY:
                    store.set(copy, key, _count(value, found) if key == NLINK else value)
            os.fchmod(copy, found.st_mode & 0o7777)
            os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
        finally:
            os.close(copy)
        os.rename(_COPY, name, src_dir_fd=temporaries, dst_dir_fd=index)
    finally:
        os.close(source)


def _count(value: bytes, found: os.stat_result) -> bytes:
    """The count of names that `value` gives, of a file with one link on disk."""
    # One link more has just been made, for the saved state.
    return format_count(parse_count(value, found.st_nlink - 1) or 1, 1)


def _copy_log(work: int, target: bytes, name: bytes) -> None:
    try:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=work)
    except FileNotFoundError:
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | log_flags(work)
        copy = os.open(target + b"/" + name, flags, 0o600)
        try:
            _copy_data(source, copy, os.fstat(source).st_size)
        finally:
            os.close(copy)
    finally:
        os.close(source)


def _copy_data(source: int, target: int, size: int) -> None:
    """Copy a file of `size` bytes to an empty one on the same file system, holes as holes."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError:
        pass  # the file system does not share data (ioctl_ficlone(2))
    from unionfs.syscalls.extents import data_runs

    for start, end in data_runs(source, 0, size):
        at = start
        while at < end:
            at += _copy_run(source, target, at, end - at)
    os.ftruncate(target, size)


def _copy_run(source: int, target: int, start: int, length: int) -> int:
    try:
        done = os.copy_file_range(source, target, min(length, _CHUNK), start, start)
    except OSError:
        done = os.pwrite(target, os.pread(source, min(length, 1 << 20), start), start)
    return done or length


def discard_tree(path: bytes) -> None:
    """Remove a directory and all that is in it, if it is there."""
    try:
        fd = os.open(path, READ_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        remove_contents(fd)
    finally:
        os.close(fd)
    os.rmdir(path)
