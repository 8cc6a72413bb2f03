"""Layers that are tar archives, read in place: one archive (`TarLayer`), or a chain of archives with a
merged index (`ChainLayer`).

Both read the same kind of index (`tar.index`): a lookup is one query by primary key, a listing one query
per directory, a read one pread(2) at the offset in the index. The index and the archives are opened on
first use, so that the time of mounting an image does not grow with its size.

Queries share one connection under a lock; reads of data take no lock. A `Ref` is the node number, which
is also `attributes.ino`: the names of a hard-linked file share it.
"""

from __future__ import annotations

import _thread
import os
import struct
from _bisect import bisect_right  # `bisect` is a second module around it
from errno import EBADF, EINVAL, EIO, EISDIR, ENOENT
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG

from unionfs.layer import Extent, LayerEntry, Mark, PlainListing, Ref
from unionfs.merge import OWN_NUMBER, compose_ino
from unionfs.model import Attributes, StatFs
from unionfs.syscalls.files import pread_whole
from unionfs.tar.index import OPAQUE, ROOT, WHITEOUT, IndexFormatError, open_index
from unionfs.tar.records import decode_extents, decode_xattrs, stored_bytes
from unionfs.xattr_names import ACLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from typing import Any

_ATTRIBUTES = (
    "n.ino, n.mode, n.nlink, n.uid, n.gid, n.rdev, n.size, n.mtime, coalesce(n.atime, n.mtime), "
    "coalesce(n.ctime, n.mtime), n.sparse"
)
_FROM = "FROM entry e LEFT JOIN node n ON n.ino = e.ino"
_LOOKUP = f"SELECT e.flags, {_ATTRIBUTES} {_FROM} WHERE e.parent = ? AND e.name = ?"
_LISTING = f"SELECT e.name, e.flags, {_ATTRIBUTES} {_FROM} WHERE e.parent = ?"
_DIRECTORIES = (
    "SELECT e.ino, e.parent, e.name FROM entry e JOIN node n ON n.ino = e.ino "
    "WHERE n.mode & 61440 = ?"
)
_LINKED = (
    "SELECT e.ino, e.parent, e.name FROM entry e JOIN node n ON n.ino = e.ino "
    "WHERE n.nlink > 1 AND n.mode & 61440 != ?"
)
_BATCH = 1000
_NODES_TO_SEARCH = 300_000
"""At most, for an extended attribute: 20 milliseconds."""
_BAD_ROW = (TypeError, struct.error)

# Attributes that union file systems use for bookkeeping, and the file system's own: an archive may have
# them, and they would hide files or forge owners. POSIX ACLs alone are a container's.
_BOOKKEEPING = (
    b"user.overlay.",
    b"trusted.overlay.",
    b"user.fuseoverlayfs.",
    b"trusted.fuseoverlayfs.",
    b"user.containers.override_stat",
    b"user.rootless.",
    b"system.",
)

_new = tuple.__new__
_S_IFMT = 0o170000
_NOTHING = Attributes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_WHITEOUT = LayerEntry(0, _NOTHING, Mark.WHITEOUT)


_STATVFS = (
    "f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_namemax",
)  # fmt: skip


class IndexedLayer:
    """A `Layer` of an index and its archives. Damage of either is EIO."""

    def __init__(
        self, index: str | os.PathLike[str], archives: Sequence[str | os.PathLike[str]]
    ) -> None:
        self._index_path = index
        self._archive_paths = [os.fspath(archive) for archive in archives]
        self._descriptors = [-1] * len(archives)
        self._database: sqlite3.Connection | None = None
        self._lock = _thread.allocate_lock()
        self._closed = False
        self._number_bits = 0

    def number_from(self, tag: int) -> None:
        self._number_bits = compose_ino(0, tag)

    def root(self) -> LayerEntry:
        entry = self.lookup(0, b"")
        if entry is None:
            raise self._damaged()
        return entry

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        row = self._row(_LOOKUP, (directory, name))
        try:
            return _entry(row, self._number_bits) if row else None
        except _BAD_ROW as error:
            raise self._damaged() from error

    def listing(self, directory: Ref) -> Iterator[tuple[bytes, LayerEntry]]:
        cursor, rows = self._first_rows(_LISTING, (directory,))
        bits = self._number_bits
        while rows:
            try:
                entries = [(row[0], _entry(row[1:], bits)) for row in rows]
            except _BAD_ROW as error:
                raise self._damaged() from error
            yield from entries
            rows = self._more_rows(cursor)

    def plain_listing(self, directory: Ref) -> tuple[PlainListing, list[tuple[bytes, LayerEntry]]]:
        plain: PlainListing = {}
        others: list[tuple[bytes, LayerEntry]] = []
        bits = self._number_bits
        try:
            for row in self._rows(_LISTING, (directory,)):
                name, flags, ino, mode, nlink, uid, gid, rdev, size, mtime, atime, ctime, sparse = (
                    row
                )
                if flags or nlink != 1 or sparse is not None or mode & _S_IFMT == S_IFDIR:
                    others.append((name, _entry(row[1:], bits)))
                    continue
                plain[name] = _new(Attributes, (
                    ino | bits, mode, 1, uid, gid, rdev, size, size + 511 >> 9, atime, mtime, ctime,
                ))  # fmt: skip
        except _BAD_ROW as error:
            raise self._damaged() from error
        return plain, others

    def plain_ref(
        self,
        directory: Ref,  # noqa: ARG002 - protocol
        name: bytes,  # noqa: ARG002 - protocol
        attributes: Attributes,
    ) -> Ref:
        return attributes.ino & OWN_NUMBER

    def names(self, ino: int) -> list[bytes]:
        """The relative paths of an object that is not a directory, in no particular order.

        Reads the whole index, which is ordered by directory and name.
        """
        rows = self._rows("SELECT ino, parent, name FROM entry WHERE ino = ?", (ino,))
        return self._paths(rows).get(ino, [])

    def linked_names(self) -> dict[int, list[bytes]]:
        """The same of every object that has several names, by number. As expensive as `names` of one."""
        return self._paths(self._rows(_LINKED, (S_IFDIR,)))

    def _paths(self, rows: list[tuple[Any, ...]]) -> dict[int, list[bytes]]:
        """The paths of entries, by number."""
        found: dict[int, list[bytes]] = {}
        if not rows:
            return found
        parents = {
            number: (parent, name) for number, parent, name in self._rows(_DIRECTORIES, (S_IFDIR,))
        }
        for ino, parent, name in rows:
            path = bytes(name)
            at = parent
            while at != ROOT and at in parents:
                at, component = parents[at]
                path = bytes(component) + b"/" + path
            found.setdefault(ino, []).append(path)
        return found

    def readlink(self, ref: Ref) -> bytes:
        mode, target = self._node("mode, target", ref)
        if S_IFMT(mode) != S_IFLNK:
            raise OSError(EINVAL, "not a symbolic link")
        return bytes(target)

    def xattrs(self, ref: Ref) -> dict[bytes, bytes]:
        (packed,) = self._node("xattrs", ref)
        try:
            attributes = decode_xattrs(packed)
        except _BAD_ROW as error:
            raise self._damaged() from error
        return {
            name: value
            for name, value in attributes.items()
            if name in ACLS or not name.startswith(_BOOKKEEPING)
        }

    def has_xattrs(self) -> bool:
        found = self._row("SELECT last_ino > ? FROM summary", (_NODES_TO_SEARCH,))
        if found is None or found[0]:
            return True
        return self._row("SELECT 1 FROM node WHERE xattrs IS NOT NULL LIMIT 1", ()) is not None

    def open(self, ref: Ref) -> TarFile:
        mode, layer, offset, size, sparse = self._node("mode, layer, offset, size, sparse", ref)
        if S_IFMT(mode) != S_IFREG:
            raise OSError(EISDIR if S_IFMT(mode) == S_IFDIR else EINVAL, "not a regular file")
        self.descriptor(layer)
        try:
            extents = None if sparse is None else decode_extents(sparse)
        except _BAD_ROW as error:
            raise self._damaged() from error
        return TarFile(self, layer, offset, size, extents)

    def statfs(self) -> StatFs:
        """The file system of the topmost archive."""
        found = os.statvfs(self._archive_paths[-1])
        return StatFs(*(getattr(found, field) for field in _STATVFS))

    def fingerprint(self) -> Sequence[bytes]:
        """Size and modification time of each archive, topmost first: the same for a chain and for its
        single layers."""
        found = map(os.stat, reversed(self._archive_paths))
        return [b"tar %d %d" % (st.st_size, st.st_mtime_ns) for st in found]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._database is not None:
                self._database.close()
                self._database = None
            for layer, descriptor in enumerate(self._descriptors):
                self._descriptors[layer] = -1
                if descriptor >= 0:
                    os.close(descriptor)

    def descriptor(self, layer: int) -> int:
        """A descriptor of archive number `layer`, for reading. The caller must not close it."""
        descriptor = self._descriptors[layer] if 0 <= layer < len(self._descriptors) else -1
        if descriptor >= 0:
            return descriptor
        with self._lock:
            if self._closed:
                raise OSError(EBADF, "layer is closed")
            if not 0 <= layer < len(self._descriptors):
                raise self._damaged()
            if self._descriptors[layer] < 0:
                self._descriptors[layer] = os.open(
                    self._archive_paths[layer], os.O_RDONLY | os.O_CLOEXEC
                )
            return self._descriptors[layer]

    def open_all(self) -> None:
        """Open the index and every archive now, so that they may be unlinked."""
        for layer in range(len(self._descriptors)):
            self.descriptor(layer)
        self.root()

    # The index. No method raises sqlite3.Error.

    def _row(self, query: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        with self._lock:
            try:
                row: tuple[Any, ...] | None = (
                    self._connection().execute(query, parameters).fetchone()
                )
            except OSError:
                raise
            except Exception as error:
                raise self._damaged() from error
            return row

    def _first_rows(
        self, query: str, parameters: tuple[Any, ...]
    ) -> tuple[sqlite3.Cursor, list[tuple[Any, ...]]]:
        with self._lock:
            try:
                cursor = self._connection().execute(query, parameters)
                return cursor, cursor.fetchmany(_BATCH)
            except OSError:
                raise
            except Exception as error:
                raise self._damaged() from error

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        cursor, rows = self._first_rows(query, parameters)
        found = rows
        while rows:
            rows = self._more_rows(cursor)
            found = found + rows
        return found

    def _more_rows(self, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return cursor.fetchmany(_BATCH)
            except Exception as error:
                raise self._damaged() from error

    def _node(self, columns: str, ref: Ref) -> tuple[Any, ...]:
        row = self._row(f"SELECT {columns} FROM node WHERE ino = ?", (ref,))
        if row is None:
            raise OSError(ENOENT, "no such node in the layer")
        return row

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            if self._closed:
                raise OSError(EBADF, "layer is closed")
            database = open_index(self._index_path)
            (layers,) = database.execute("SELECT layers FROM summary").fetchone()
            if layers != len(self._archive_paths):
                database.close()
                raise IndexFormatError(
                    f"index of {layers} layers opened with {len(self._archive_paths)} archives"
                )
            self._database = database
        return self._database

    def _damaged(self) -> OSError:
        return OSError(EIO, "damaged layer index", os.fspath(self._index_path))


class TarLayer(IndexedLayer):
    """One tar archive with its index (`tar.indexer.TarIndexer`)."""

    def __init__(
        self, tar_path: str | os.PathLike[str], index_path: str | os.PathLike[str]
    ) -> None:
        super().__init__(index_path, [tar_path])


class ChainLayer(IndexedLayer):
    """Several tar archives, bottom first, with their merged index (`tar.chain.build_chain`)."""

    def __init__(
        self, index: str | os.PathLike[str], tar_paths: Sequence[str | os.PathLike[str]]
    ) -> None:
        super().__init__(index, tar_paths)


class TarFile:
    """An open regular file in an archive (`OpenFile`). It shares the layer's descriptor."""

    __slots__ = ("_extents", "_layer", "_offset", "_ordinal", "_size", "_starts")

    def __init__(
        self,
        layer: IndexedLayer,
        ordinal: int,
        offset: int,
        size: int,
        extents: list[tuple[int, int]] | None,
    ) -> None:
        self._layer = layer
        self._ordinal = ordinal
        self._offset = offset
        self._size = size
        self._extents = extents
        self._starts: list[int] = []
        if extents is not None:
            position = offset
            for _, length in extents:
                self._starts.append(position)
                position += length

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self._size - offset)
        if size <= 0:
            return b""
        if self._extents is None:
            return self._pread(self._offset + offset, size)
        return self._read_sparse(self._extents, offset, size)

    def extents(self) -> Sequence[Extent]:
        if self._extents is not None:
            return [Extent(offset, length) for offset, length in self._extents]
        return [Extent(0, self._size)] if self._size else []

    def backing(self) -> tuple[int, int] | None:
        if self._extents is None or self._extents == [(0, self._size)]:
            return self._layer.descriptor(self._ordinal), self._offset
        return None

    def close(self) -> None:
        """Does nothing: the layer closes the descriptor."""

    def _read_sparse(self, extents: list[tuple[int, int]], offset: int, size: int) -> bytes:
        result = bytearray(size)
        end = offset + size
        index = max(bisect_right(extents, (offset, 1 << 63)) - 1, 0)
        while index < len(extents) and extents[index][0] < end:
            start, length = extents[index]
            first, last = max(start, offset), min(start + length, end)
            if first < last:
                data = self._pread(self._starts[index] + first - start, last - first)
                result[first - offset : last - offset] = data
            index += 1
        return bytes(result)

    def _pread(self, position: int, size: int) -> bytes:
        data = pread_whole(self._layer.descriptor(self._ordinal), size, position)
        if len(data) < size:
            raise OSError(EIO, "archive is shorter than its index says")
        return data


def _entry(row: tuple[Any, ...], number_bits: int) -> LayerEntry:
    """Raises TypeError or struct.error for a damaged row."""
    flags, ino, mode, nlink, uid, gid, rdev, size, mtime, atime, ctime, sparse = row
    if flags & WHITEOUT:
        return _WHITEOUT
    stored = size if sparse is None else stored_bytes(sparse)
    attributes = _new(Attributes, (
        ino | number_bits, mode, nlink, uid, gid, rdev, size, stored + 511 >> 9,
        atime, mtime, ctime,
    ))  # fmt: skip
    mark = Mark.OPAQUE if flags & OPAQUE and ino != ROOT else Mark.NONE
    return _new(LayerEntry, (ino, attributes, mark, None, None, None))
