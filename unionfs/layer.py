"""The seam everything is tested through: what the union asks of a layer.

A layer is a tree that never changes under us (a lower) or that only we change (the upper). It answers in terms of the
container: owner, mode and device number have been read from wherever the layer keeps them, whiteouts and opaque
directories are marks, not names, and bookkeeping attributes are gone. A `Ref` is a layer's own name for one of its
objects: opaque to the union, hashable, valid until the layer is closed.

Every call is synchronous and raises OSError with the errno a file system would give; nothing else.
A lower may be read from several threads at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from unionfs.model import Attributes

Ref = Hashable


class Mark(Enum):
    """How an entry of a layer bears on the layers below it."""

    NONE = 0
    WHITEOUT = 1
    """The name is gone: nothing of this name below is visible. Such an entry has no attributes worth reading."""
    OPAQUE = 2
    """A directory whose counterpart below is hidden whole."""


class LayerEntry(NamedTuple):
    """What one layer says about one name.

    `attributes.ino` is the layer's own number, stable as long as the layer exists; the union makes it unique.
    """

    ref: Ref
    attributes: Attributes
    mark: Mark = Mark.NONE


class Extent(NamedTuple):
    """A run of data in a file: bytes from `offset` on, `length` long; what lies between runs is a hole."""

    offset: int
    length: int


class OpenFile(Protocol):
    """An open regular file of a layer. Positions are explicit; there is no file offset."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`; fewer only at the end of the file. Raises EIO if the layer is shorter
        than its index says."""

    def extents(self) -> Sequence[Extent]:
        """Where there is data, in ascending order; the rest are holes (lseek(2) SEEK_DATA)."""

    def backing(self) -> tuple[int, int] | None:
        """(file descriptor, position of byte 0 in it) if the whole content lies in one run of a real file, so that
        copy_file_range(2) or FICLONERANGE can copy it; None otherwise. The descriptor belongs to this object."""

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""


class Layer(Protocol):
    """A read-only tree. Implementations: directory, tar, merged chain index, memory."""

    def root(self) -> LayerEntry:
        """The top directory. An opaque mark on it is meaningless and ignored."""

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        """The entry of this name, whiteouts included; None if the layer says nothing about it."""

    def listing(self, directory: Ref) -> Iterator[tuple[bytes, LayerEntry]]:
        """Every entry with its attributes, whiteouts included, without `.` and `..`, in no particular order.

        This is the cold-walk path: one pass, no per-entry probing of other names."""

    def readlink(self, ref: Ref) -> bytes:
        """The target of a symbolic link, as stored."""

    def xattrs(self, ref: Ref) -> dict[bytes, bytes]:
        """All extended attributes that the container may see."""

    def open(self, ref: Ref) -> OpenFile:
        """Open a regular file for reading."""

    def close(self) -> None:
        """Release descriptors and maps. Idempotent."""
