"""The entry of a layer for a path of a directory tree, with its attributes and marks.

Extended attributes are reached through /proc/self/fd/DIRECTORY/NAME: the kernel had no *xattrat
calls before 6.13, and an object that may not be opened still has attributes.
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs import whiteouts
from unionfs.directory.attribute_store import ON_DISK
from unionfs.directory.dirfds import DirfdCache, PathNode
from unionfs.directory.link_index import LinkIndex, parse_count
from unionfs.layer import LayerEntry, Mark, Ref
from unionfs.merge import INO_BITS, compose_ino
from unionfs.model import Attributes
from unionfs.ownership import Owner, Ownership, parse_override
from unionfs.xattr_names import LAZY, NLINK, ORIGIN, OVERRIDE_STAT, REDIRECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from unionfs.directory.attribute_store import AttributeReader

_new = tuple.__new__
_INO_BITS = 40
"""Of the inode number of an object on another device than the root's."""


class EntryReader:
    """The tree at `path`. The arguments are those of `DirectoryLayer`."""

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

    def is_hidden(self, identity: tuple[int, int]) -> bool:
        """Whether the object of this device and inode number is one that appears empty."""
        return identity in self._hidden

    def required_lowers(self) -> bytes | None:
        """The fingerprint of the lowers that files of this tree, copied up in part, still need."""
        return self._store.value(b"/proc/self/fd/%d" % self._dirs.fd(self._root), LAZY, follow=True)

    def number_from(self, tag: int) -> None:
        self._tag = tag

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
        nlink = self._links.special_count(origin, st.st_nlink)
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

    def _is_hidden_fd(self, fd: int) -> bool:
        st = os.fstat(fd)
        return (st.st_dev, st.st_ino) in self._hidden

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


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None


def resolved(path: bytes) -> bytes:
    """The path without symbolic links. One below a descriptor stays as it is: the mount may be attached nowhere."""
    return path if is_below_descriptor(path) else os.path.realpath(path)


def is_below_descriptor(path: bytes) -> bool:
    """Whether it begins with /proc/PID/fd/."""
    return path.startswith(b"/proc/") and path.split(b"/", 4)[3:4] == [b"fd"]
