"""A directory tree as a layer to read from.

Extended attributes are reached through /proc/self/fd/DIRECTORY/NAME: the kernel had no *xattrat
calls before 6.13, and an object that may not be opened still has attributes.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from unionfs import whiteouts
from unionfs.directory.attribute_store import ON_DISK
from unionfs.directory.dirfds import DirfdCache, PathNode
from unionfs.directory.link_index import LinkIndex, copy_name, parse_count, special_count
from unionfs.layer import Extent, LayerEntry, Mark, OpenFile, PlainListing, Ref
from unionfs.light_types import partial
from unionfs.merge import INO_BITS, compose_ino
from unionfs.model import Attributes, StatFs
from unionfs.ownership import Owner, Ownership, parse_override
from unionfs.syscalls.files import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, pread_whole, statx
from unionfs.xattr_names import LAZY, NLINK, ORIGIN, OVERRIDE_STAT, REDIRECT, from_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unionfs.directory.attribute_store import AttributeReader

_new = tuple.__new__
_INO_BITS = 40
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


class DirectoryLayer:
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

    def __init__(
        self,
        path: bytes,
        *,
        ownership: Ownership = Ownership.REAL,
        base_owner: tuple[int, int] = (0, 0),
        hidden: Sequence[bytes] = (),
        directory_limit: int = 64,
        dirfds: DirfdCache | None = None,
    ) -> None:
        self.path = resolved(path)
        self._as_data = ownership is Ownership.DATA
        self._base_owner = base_owner
        self._has_bookkeeping = self._as_data
        """Whether files carry attributes that bear on what the container sees of them."""
        self._stores_all = False
        """Whether all attributes of the container are stored as ordinary ones, so that any other
        is the host's."""
        self._server = (os.geteuid(), os.getegid())
        self._hidden = {(st.st_dev, st.st_ino) for st in map(os.stat, hidden)}
        self._hidden_numbers: frozenset[int] = frozenset()
        """Of those that are on the device of the top directory."""
        self._dirs = DirfdCache(directory_limit) if dirfds is None else dirfds
        self._root = self._dirs.add_root(
            os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        )
        st = os.fstat(self._dirs.fd(self._root))
        self.identity = (st.st_dev, st.st_ino)
        self._device = st.st_dev
        self._hidden_numbers = frozenset(ino for dev, ino in self._hidden if dev == st.st_dev)
        self._tag: int | None = None
        self._store: AttributeReader = ON_DISK
        self._has_incomplete_files = self.required_lowers() is not None
        self._devices: dict[int, int] = {}
        self._index = self._root
        """Of an upper: the directory of `link_index`."""
        self._links = LinkIndex(None)

    def _use_store(self, store: AttributeReader) -> None:
        """Take the attributes of an upper from there. `store` is taken over."""
        self._store = store
        self._has_incomplete_files = self.required_lowers() is not None

    def _set_index(self, fd: int) -> None:
        """Read the link index of an upper. `fd` is taken over."""
        self._index = self._dirs.add_root(fd)
        self._links = LinkIndex(fd)

    def index(self) -> dict[int, int | None]:
        """As of `layer.LinkIndex`; for an upper."""
        return self._links.counts

    def indexed(self, origin: int) -> LayerEntry:
        """As of `layer.LinkIndex`; for an upper."""
        name = copy_name(origin, is_special=self._links.has_special(origin))
        path_node = PathNode(self._index, name)
        path, follow = self._path(path_node)
        return self._entry(path_node, os.stat(path, follow_symlinks=follow), path, follow=follow)

    def is_hidden(self, identity: tuple[int, int]) -> bool:
        """Whether the object of this device and inode number is one that appears empty."""
        return identity in self._hidden

    # Reading entries

    def number_from(self, tag: int) -> None:
        self._tag = tag

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

    def _entry(
        self, path_node: PathNode, st: os.stat_result, path: bytes, *, follow: bool = False
    ) -> LayerEntry:
        mode = st.st_mode
        if stat.S_ISDIR(mode):
            return self._directory_entry(path_node, st, path, follow)
        if self._hidden and (st.st_dev, st.st_ino) in self._hidden:
            return LayerEntry(path_node, _emptied(self._attributes(st, None)))
        if not self._has_bookkeeping or not stat.S_ISREG(mode):
            attributes = self._attributes(st, None)
            if st.st_ino in self._links.specials:
                return self._special_copy(path_node, st, attributes)
            return LayerEntry(path_node, attributes)
        names = self._store.names(path, follow)
        if not names:
            return LayerEntry(path_node, self._attributes(st, None))
        owner = self._override(names, path, follow, mode) if self._as_data else None
        attributes = self._attributes(st, owner)
        if NLINK in names:
            attributes = attributes._replace(
                nlink=parse_count(self._store.value(path, NLINK, follow) or b"", st.st_nlink)
                or attributes.nlink
            )
        origin = _number(self._store.value(path, ORIGIN, follow)) if ORIGIN in names else None
        lazy = self._store.value(path, LAZY, follow) if LAZY in names else None
        return LayerEntry(path_node, attributes, origin=origin, lazy=lazy)

    def _special_copy(
        self, path_node: PathNode, st: os.stat_result, attributes: Attributes
    ) -> LayerEntry:
        """A name in an upper of an object that has several in a lower."""
        origin = self._links.specials[st.st_ino]
        nlink = special_count(self._dirs.fd(self._index), origin, st.st_nlink)
        if nlink is not None:
            attributes = attributes._replace(nlink=nlink)
        return LayerEntry(path_node, attributes, origin=origin)

    def _directory_entry(
        self, path_node: PathNode, st: os.stat_result, path: bytes, follow: bool
    ) -> LayerEntry:
        if self._hidden and (st.st_dev, st.st_ino) in self._hidden:
            return LayerEntry(path_node, self._attributes(st, None)._replace(nlink=2))
        names = self._store.names(path, follow)
        mark = Mark.NONE
        for name in whiteouts.OPAQUE_XATTRS & names if names else ():
            if self._store.value(path, name, follow) == b"y":
                mark = Mark.OPAQUE
        if mark is Mark.NONE and os.access(path + b"/" + whiteouts.OPAQUE_NAME, os.F_OK):
            mark = Mark.OPAQUE
        if not names:
            path_node.is_bare = True
            return LayerEntry(path_node, self._attributes(st, None), mark)
        owner = self._override(names, path, follow, st.st_mode) if self._as_data else None
        redirect = self._store.value(path, REDIRECT, follow) if REDIRECT in names else None
        origin = _number(self._store.value(path, ORIGIN, follow)) if ORIGIN in names else None
        return LayerEntry(path_node, self._attributes(st, owner), mark, redirect, origin)

    def _override(
        self, names: frozenset[bytes], path: bytes | int, follow: bool, mode: int
    ) -> Owner | None:
        if OVERRIDE_STAT not in names:
            return None
        value = self._store.value(path, OVERRIDE_STAT, follow)
        return None if value is None else parse_override(value, mode)

    def _attributes(self, st: os.stat_result, owner: Owner | None) -> Attributes:
        size, blocks = st.st_size, st.st_blocks
        if owner is not None:
            uid, gid, mode, rdev = owner
            if not stat.S_ISREG(mode) and stat.S_ISREG(st.st_mode):
                blocks = 0
                size = size if stat.S_ISLNK(mode) else 0
        else:
            uid, gid, mode, rdev = st.st_uid, st.st_gid, st.st_mode, st.st_rdev
            if self._as_data:
                uid = self._base_owner[0] if uid == self._server[0] else uid
                gid = self._base_owner[1] if gid == self._server[1] else gid
        ino = st.st_ino if st.st_dev == self._device else self._foreign_ino(st)
        if self._tag:
            ino = compose_ino(ino, self._tag)
        elif ino >> INO_BITS and self._tag is not None:
            ino = compose_ino(ino, 0)
        return _new(Attributes, (
            ino, mode, st.st_nlink, uid, gid, rdev, size, blocks,
            st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns,
        ))  # fmt: skip

    def _foreign_ino(self, st: os.stat_result) -> int:
        """A number for an object on another device than the root's: a slot for the device above
        the inode number.

        The slot comes from the device's number, so that it is the same at the next mount unless
        two devices collide."""
        slot = self._devices.get(st.st_dev)
        if slot is None:
            slot = (st.st_dev * 0x9E3779B1 >> 7) % 254
            while slot + 1 in self._devices.values():
                slot = (slot + 1) % 254
            slot += 1
            self._devices[st.st_dev] = slot
        ino = st.st_ino
        if ino >> _INO_BITS:
            ino = (ino ^ (ino >> _INO_BITS) * 0x9E3779B1) & ((1 << _INO_BITS) - 1)
        return slot << _INO_BITS | ino

    def _is_hidden(self, ref: Ref) -> bool:
        path, follow = self._path(self._path_node(ref))
        st = os.stat(path, follow_symlinks=follow)
        return (st.st_dev, st.st_ino) in self._hidden

    def _is_hidden_fd(self, fd: int) -> bool:
        st = os.fstat(fd)
        return (st.st_dev, st.st_ino) in self._hidden

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

    def required_lowers(self) -> bytes | None:
        """The fingerprint of the lowers that files of this tree, copied up in part, still need."""
        return self._store.value(b"/proc/self/fd/%d" % self._dirs.fd(self._root), LAZY, follow=True)

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

    @staticmethod
    def _path_node(ref: Ref) -> PathNode:
        if not isinstance(ref, PathNode):
            raise OSError(errno.EINVAL, "not an object of a directory layer")
        return ref

    def _parent(self, ref: Ref) -> tuple[int, bytes]:
        """Descriptor of the directory and name in it of anything but the root."""
        path_node = self._path_node(ref)
        if path_node.parent is None:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return self._dirs.fd(path_node.parent), path_node.name

    def _path(self, path_node: PathNode) -> tuple[bytes, bool]:
        """A short path of the object, and whether its last component is to be followed."""
        if path_node.parent is None:
            return b"/proc/self/fd/%d" % self._dirs.fd(path_node), True
        return b"/proc/self/fd/%d/%b" % (self._dirs.fd(path_node.parent), path_node.name), False


def _emptied(known: Attributes) -> Attributes:
    """The attributes of a hidden file: an empty one that none may open."""
    return known._replace(mode=stat.S_IFREG, size=0, blocks=0)


def attributes_of(found: os.stat_result) -> Attributes:
    """The result of stat(2) as `Attributes`: of a file that is in no union."""
    return Attributes(
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_rdev,
        found.st_size,
        found.st_blocks,
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def stat_fs(found: os.statvfs_result) -> StatFs:
    """The result of statvfs(3) as a `StatFs`."""
    return StatFs(
        found.f_bsize,
        found.f_frsize,
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        found.f_files,
        found.f_ffree,
        found.f_namemax,
    )


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None


def resolved(path: bytes) -> bytes:
    """The path without symbolic links. One below a descriptor stays as it is: the mount may be attached nowhere."""
    return path if is_below_descriptor(path) else os.path.realpath(path)


def is_below_descriptor(path: bytes) -> bool:
    """Whether it begins with /proc/PID/fd/."""
    return path.startswith(b"/proc/") and path.split(b"/", 4)[3:4] == [b"fd"]
