"""The upper of a union opened read-only, while its server runs or after its end.

It takes no lock on the work directory and removes nothing there: what the server has begun is not
seen, because it has no name in the tree yet.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from unionfs.directory.attribute_store import read_attributes
from unionfs.directory.dirfds import READ_DIRECTORY, PathNode
from unionfs.directory.link_index import DIRECTORY
from unionfs.directory.lower import READ_FILE, DirectoryLayer
from unionfs.directory.work import BASES, FIRST_SEEN, METADATA_LOG, read_log
from unionfs.layer import Layer, Ref
from unionfs.model import Attributes
from unionfs.ownership import Ownership


class ReadOnlyUpper(DirectoryLayer):
    """The half of an upper that reads. `work` is its work directory, for the index of files with
    several names below."""

    leaves_names = False  # nothing is removed
    defers_errors = False

    def __init__(
        self,
        path: bytes,
        work: bytes,
        *,
        ownership: Ownership,
        base_owner: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(path, ownership=ownership, base_owner=base_owner)
        self._has_bookkeeping = True
        self._work_path = work
        try:
            index_fd = os.open(work + b"/" + DIRECTORY, READ_DIRECTORY)
        except FileNotFoundError:
            return  # it was never mounted
        self._set_index(index_fd)
        work_fd = os.open(work, READ_DIRECTORY)
        try:
            self._use_store(read_attributes(work_fd))
        finally:
            os.close(work_fd)

    def refuse_overlap(self, lowers: Sequence[Layer]) -> None:
        """Nothing is written, so nothing can be written through."""

    def clean(self, kept: Collection[bytes] = ()) -> None:
        """Do nothing: the contents of the work directory may be another server's."""

    def metadata_log(self) -> bytes:
        """See `unionfs.layer.MetadataLog`."""
        return self._log(METADATA_LOG)

    def first_seen(self) -> bytes:
        """The log of what was seen of the lowers (`unionfs.logs.first_seen`); empty if there is none."""
        return self._log(FIRST_SEEN)

    def bases(self) -> bytes:
        """The log of the contents of small files before they were written over."""
        return self._log(BASES)

    def _log(self, name: bytes) -> bytes:
        try:
            fd = os.open(self._work_path, READ_DIRECTORY)
        except FileNotFoundError:
            return b""
        try:
            return read_log(fd, name)
        finally:
            os.close(fd)

    def place(self, ref: Ref) -> bytes:
        """Where an object lies on the disk: an absolute path."""
        names: list[bytes] = []
        at: PathNode = self._path_node(ref)
        while at.parent is not None:
            names.append(at.name)
            at = at.parent
        is_indexed = at is self._index and at is not self._root
        top = self._work_path + b"/" + DIRECTORY if is_indexed else self.path
        return b"/".join([top, *reversed(names)])

    def open_incomplete(self, ref: Ref) -> int:
        """A descriptor of what there is of a file, to be read together with what it was copied
        from; the caller's to close."""
        parent, name = self._parent(ref)
        return os.open(name, READ_FILE, dir_fd=parent)

    def is_bare_root(self) -> bool:
        """Whether the top directory still has the owner and mode it was made with."""
        return self.is_bare(self.root().attributes)

    def is_bare(self, root: Attributes) -> bool:
        """Whether a top directory with these attributes is as one that has just been made."""
        return (root.mode & 0o7777, root.uid, root.gid) == (0o755, *self._base_owner)
