"""A directory tree as a read-only layer."""

from __future__ import annotations

import errno
import os
import stat
import sys

from unionfs import whiteouts
from unionfs.directory.dirfds import PathNode
from unionfs.directory.entries import EntryReader
from unionfs.directory.link_index import copy_name
from unionfs.layer import Extent, LayerEntry, Mark, OpenFile, PlainListing, Ref
from unionfs.light_types import partial
from unionfs.merge import INO_BITS, compose_ino
from unionfs.model import Attributes, StatFs, stat_fs
from unionfs.syscalls.files import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, pread_whole, statx
from unionfs.xattr_names import LAZY, from_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_new = tuple.__new__
READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: should a name turn out to be a fifo after all, the server must not wait for its
writer."""

_WHITEOUT = whiteouts.PREFIX
_ENCODING = sys.getfilesystemencoding()
_S_IFMT, _S_IFREG, _S_IFDIR = 0o170000, 0o100000, 0o040000
_SIMPLE = frozenset((stat.S_IFREG, stat.S_IFLNK))
"""What needs no look at anything but lstat(2), in a tree without bookkeeping."""

_GONE = Attributes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class DirectoryFile:
    """An open regular file of a directory layer."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        return pread_whole(self._fd, size, offset)

    def extents(self) -> Sequence[Extent]:
        found: list[Extent] = []
        end = 0
        while True:
            try:
                start = os.lseek(self._fd, end, os.SEEK_DATA)
                end = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return found
                raise
            found.append(Extent(start, end - start))

    def backing(self) -> tuple[int, int] | None:
        return self._fd, 0

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class DirectoryLayer(EntryReader):
    """The tree at `path`. Mounts beneath it belong to it.

    Args:
        path: the top directory; followed if it is a symbolic link.
        ownership: how owners are kept in this tree.
        base_owner: under `Ownership.DATA`, the owner that a file of the serving user has without
            an override.
        hidden: directories and files, by path, that appear empty wherever in the tree, and by whatever name, they
            are met.
        directory_limit: how many of its directories are kept open.
        dirfds: the descriptors that it shares with other layers, which are closed together;
            `directory_limit` is theirs then.
    """

    # Reading entries

    def index(self) -> dict[int, int | None]:
        """As of `layer.LinkIndex`; for an upper."""
        return self._links.counts

    def indexed(self, origin: int) -> LayerEntry:
        """As of `layer.LinkIndex`; for an upper."""
        name = copy_name(origin, is_special=self._links.has_special(origin))
        path_node = PathNode(self._index, name)
        path, follow = self._path(path_node)
        return self._entry(path_node, os.stat(path, follow_symlinks=follow), path, follow=follow)

    def root(self) -> LayerEntry:
        fd = self._dirs.fd(self._root)
        return self._entry(self._root, os.fstat(fd), b"/proc/self/fd/%d" % fd, follow=True)

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        path_node = self._path_node(directory)
        if whiteouts.is_reserved(name):
            return None
        fd = self._dirs.fd(path_node)
        if self._hidden and self._is_hidden_fd(fd):
            return None
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return self._whiteout_file(fd, name)
        if whiteouts.is_device_whiteout(st.st_mode, st.st_rdev):
            return LayerEntry(PathNode(path_node, name), _GONE, Mark.WHITEOUT)
        path = b"/proc/self/fd/%d/%b" % (fd, name)
        if self._is_xattr_whiteout(st, path) and self._has_xattr_whiteouts(fd):
            return LayerEntry(PathNode(path_node, name), _GONE, Mark.WHITEOUT)
        return self._entry(PathNode(path_node, name), st, path)

    def listing(self, directory: Ref) -> Iterator[tuple[bytes, LayerEntry]]:
        path_node = self._path_node(directory)
        if self._hidden and self._is_hidden_fd(self._dirs.fd(path_node)):
            return
        opened, is_ours = self._dirs.reader(path_node)
        gone: list[bytes] = []
        try:
            prefix = b"/proc/self/fd/%d/" % opened
            xattr_whiteouts = not path_node.is_bare and self._has_xattr_whiteouts(opened)
            with os.scandir(opened) as entries:
                for item in entries:
                    name = item.name.encode(_ENCODING, "surrogateescape")
                    if name.startswith(whiteouts.PREFIX):
                        if name != whiteouts.OPAQUE_NAME:
                            gone.append(whiteouts.hidden_by(name))
                        continue
                    try:
                        st = item.stat(follow_symlinks=False)
                    except OSError as failed:
                        if failed.errno != errno.ENOENT:
                            yield name, self._out_of_reach(PathNode(path_node, name), item)
                        continue
                    here = PathNode(path_node, name)
                    yield name, self._listed(here, st, prefix + name, xattr_whiteouts)
            # A whiteout does not apply to its own layer (OCI image specification, "Whiteouts").
            for name in gone:
                if name and not _exists(name, opened):
                    yield name, LayerEntry(PathNode(path_node, name), _GONE, Mark.WHITEOUT)
        finally:
            if is_ours:
                os.close(opened)

    def plain_listing(self, directory: Ref) -> tuple[PlainListing, list[tuple[bytes, LayerEntry]]]:
        """This is the cold walk: of most files nothing but lstat(2) matters."""
        path_node = self._path_node(directory)
        plain: PlainListing = {}
        if self._has_bookkeeping or not path_node.is_bare:
            return plain, list(self.listing(directory))
        opened, is_ours = self._dirs.reader(path_node)
        try:
            if self._hidden and self._is_hidden_fd(opened):
                return plain, []
            names = os.listdir(opened)
            find = partial(os.stat, dir_fd=opened, follow_symlinks=False)
            try:
                found = list(map(find, names))
            except OSError:
                # One has gone, or is out of reach.
                return plain, list(self.listing(directory))
            prefix = b"/proc/self/fd/%d/" % opened
            device, limit, encoding = self._device, 1 << INO_BITS, _ENCODING
            hidden = self._hidden_numbers
            bits = compose_ino(0, self._tag or 0)
            others: list[tuple[bytes, LayerEntry]] = []
            for text, st in zip(names, found, strict=True):
                name = text.encode(encoding, "surrogateescape")
                ino, mode = st.st_ino, st.st_mode
                if name[:4] == _WHITEOUT:
                    return {}, list(self.listing(directory))
                if (
                    mode & _S_IFMT in _SIMPLE
                    and st.st_nlink == 1
                    and st.st_dev == device
                    and ino < limit
                    and ino not in hidden
                ):
                    # What `_attributes` gives, without calling it.
                    plain[name] = _new(Attributes, (
                        ino | bits, mode, 1, st.st_uid, st.st_gid, st.st_rdev, st.st_size,
                        st.st_blocks, st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns,
                    ))  # fmt: skip
                else:
                    here = PathNode(path_node, name)
                    entry = self._listed(here, st, prefix + name, xattr_whiteouts=False)
                    others.append((name, entry))
            return plain, others
        finally:
            if is_ours:
                os.close(opened)

    def plain_ref(
        self,
        directory: Ref,
        name: bytes,
        attributes: Attributes,  # noqa: ARG002 - protocol
    ) -> Ref:
        return PathNode(self._path_node(directory), name)

    def _listed(
        self, path_node: PathNode, st: os.stat_result, path: bytes, xattr_whiteouts: bool
    ) -> LayerEntry:
        if whiteouts.is_device_whiteout(st.st_mode, st.st_rdev):
            return LayerEntry(path_node, _GONE, Mark.WHITEOUT)
        if xattr_whiteouts and self._is_xattr_whiteout(st, path):
            return LayerEntry(path_node, _GONE, Mark.WHITEOUT)
        return self._entry(path_node, st, path)

    def _out_of_reach(self, path_node: PathNode, item: os.DirEntry[str]) -> LayerEntry:
        """A mount of another user's FUSE server, for one: the name is there, the object is not."""
        kind = stat.S_IFDIR if item.is_dir(follow_symlinks=False) else stat.S_IFREG
        return LayerEntry(path_node, Attributes(item.inode(), kind, 1, *self._base_owner, *[0] * 6))

    def _whiteout_file(self, fd: int, name: bytes) -> LayerEntry | None:
        try:
            os.stat(whiteouts.whiteout_name(name), dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None
        return LayerEntry(self._root, _GONE, Mark.WHITEOUT)

    def _has_xattr_whiteouts(self, fd: int) -> bool:
        path = b"/proc/self/fd/%d" % fd
        return self._store.value(path, whiteouts.OPAQUE_XATTR, follow=True) == b"x"

    def _is_xattr_whiteout(self, st: os.stat_result, path: bytes) -> bool:
        if st.st_size or not stat.S_ISREG(st.st_mode):
            return False
        return any(
            self._store.value(path, name, follow=False) is not None
            for name in whiteouts.WHITEOUT_XATTRS
        )

    # Reading objects

    def refresh(self, ref: Ref | None, fd: int, known: Attributes) -> Attributes:
        """As of `layer.UpperLayer`: of an upper, or one that was frozen."""
        kind = known[1] & _S_IFMT
        if fd >= 0:
            st = os.fstat(fd)
        elif kind == _S_IFDIR:
            st = os.fstat(self._dirs.fd(self._path_node(ref)))
        else:
            parent, name = self._parent(ref)
            st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if kind == _S_IFREG:
            nlink, size, blocks = known[2], st.st_size, st.st_blocks
        elif kind == _S_IFDIR:
            nlink, size, blocks = st.st_nlink, st.st_size, st.st_blocks
        else:
            nlink, size, blocks = known[2], known[6], known[7]
        if self._as_data:
            mode, uid, gid = known[1], known[3], known[4]
        else:
            mode, uid, gid = st.st_mode, st.st_uid, st.st_gid
        return _new(Attributes, (
            known[0], mode, nlink, uid, gid, known[5], size, blocks,
            st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns,
        ))  # fmt: skip

    def readlink(self, ref: Ref) -> bytes:
        parent, name = self._parent(ref)
        try:
            return os.readlink(name, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._as_data:
                raise
        fd = os.open(name, READ_FILE, dir_fd=parent)
        try:
            return os.pread(fd, 4096, 0)
        finally:
            os.close(fd)

    def xattrs(self, ref: Ref) -> dict[bytes, bytes]:
        if self._hidden and self._is_hidden(ref):
            return {}
        return self._shown_xattrs(*self._path(self._path_node(ref)))

    def open(self, ref: Ref) -> OpenFile:
        parent, name = self._parent(ref)
        fd = os.open(name, READ_FILE, dir_fd=parent)
        if self._hidden and self._is_hidden_fd(fd):
            os.close(fd)
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        if self._has_incomplete_files and LAZY in self._store.names(fd, follow=True):
            os.close(fd)
            raise OSError(
                errno.EIO, "not all of the file has been copied up: finish the upper first"
            )
        return DirectoryFile(fd)

    def fingerprint(self) -> Sequence[bytes]:
        return [b"directory", self.path, b"%d" % self.identity[1]]

    def release_memory(self) -> None:
        self._dirs.close_all()

    def close(self) -> None:
        self._dirs.close()
        self._store.close()

    def statfs(self) -> StatFs:
        return stat_fs(os.statvfs(b"/proc/self/fd/%d" % self._dirs.fd(self._root)))

    def btime(self, ref: Ref | None, fd: int) -> int | None:
        if fd >= 0:
            return statx(fd, b"", AT_EMPTY_PATH).btime_ns
        path_node = self._path_node(ref)
        if path_node.parent is None:
            return statx(self._dirs.fd(path_node), b"", AT_EMPTY_PATH).btime_ns
        return statx(self._dirs.fd(path_node.parent), path_node.name, AT_SYMLINK_NOFOLLOW).btime_ns

    def _is_hidden(self, ref: Ref) -> bool:
        path, follow = self._path(self._path_node(ref))
        st = os.stat(path, follow_symlinks=follow)
        return (st.st_dev, st.st_ino) in self._hidden

    def _shown_xattrs(self, path: bytes | int, follow: bool) -> dict[bytes, bytes]:
        found = {}
        for stored in self._store.names(path, follow):
            if self._stores_all and not stored.startswith(b"user."):
                continue
            name = from_disk(stored)
            value = None if name is None else self._store.value(path, stored, follow)
            if name is not None and value is not None:
                found[name] = value
        return found


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
