"""One change of a container's files, as a value. Pure.

Paths are relative to the container's root, bytes, without slashes at the ends; the root itself is empty.
"""

from __future__ import annotations

import marshal
import stat
from collections.abc import Iterable, Iterator
from enum import Enum
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple

_PIECE = 4096
"""Changes that are packed at once."""


class Kind(Enum):
    """The kind of a change."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    """A directory stands for everything in it."""
    MOVED = "moved"
    """From `Change.source`. A directory stands for everything in it; what was changed in it besides has changes
    of its own."""


class Aspect(Enum):
    """In what an object differs from what it was."""

    TYPE = "type"
    CONTENT = "content"
    """Of a regular file the bytes, of a symbolic link the target, of a device its number."""
    MODE = "mode"
    OWNER = "owner"
    XATTRS = "xattrs"
    LINKS = "links"
    """It is another file, and one of the two has or had further names."""
    TIMES = "times"
    """The time of modification."""


class State(NamedTuple):
    """The state of an object. `size` and `allocated` are bytes: a sparse file has less allocated than its size.
    `target` is that of a symbolic link.
    """

    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    allocated: int
    mtime_ns: int
    nlink: int
    target: bytes
    xattrs: dict[bytes, bytes]

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def file_type(self) -> str:
        """`file`, `directory`, `symlink`, `fifo`, `socket`, `char` or `block`."""
        return _TYPES.get(stat.S_IFMT(self.mode), "file")


class Change(NamedTuple):
    """One path.

    `before` is what the image or the root file system has there, or at `source`; None for what was created.
    `after` is None for what was deleted. `link`: another path of the same file among the changes, the first in
    their order, which has the contents. `is_replaced`: a file that is not the one that was there, such as one that
    was renamed over it.
    """

    path: bytes
    kind: Kind
    before: State | None
    after: State | None
    aspects: tuple[Aspect, ...] = ()
    source: bytes | None = None
    link: bytes | None = None
    is_replaced: bool = False

    @property
    def is_bare(self) -> bool:
        """A directory with nothing changed but its times, because names in it came or went."""
        return (
            self.kind is Kind.CHANGED
            and self.aspects in ((), (Aspect.TIMES,))
            and (self.after is not None and self.after.is_directory)
        )


_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def _plain(change: Change) -> tuple[object, ...]:
    """For marshal; `_from_plain` is the other half."""
    return (
        change.path,
        change.kind.value,
        None if change.before is None else tuple(change.before),
        None if change.after is None else tuple(change.after),
        tuple(each.value for each in change.aspects),
        change.source,
        change.link,
        change.is_replaced,
    )


def _from_plain(data: Any) -> Change:  # noqa: ANN401 - what marshal gives
    """The inverse of `_plain`."""
    path, kind, before, after, aspects, source, link, is_replaced = data
    return Change(
        path,
        Kind(kind),
        before and State._make(before),
        after and State._make(after),
        tuple(map(Aspect, aspects)),
        source,
        link,
        is_replaced,
    )


def packed(changes: Iterable[Change]) -> Iterator[bytes]:
    """Changes for another process, in pieces, so that they are not all there twice."""
    left = iter(changes)
    while piece := list(islice(left, _PIECE)):
        yield marshal.dumps([_plain(each) for each in piece])


def unpacked(data: BytesIO) -> list[Change]:
    """The inverse of `packed`, of the pieces from where `data` is."""
    found: list[Change] = []
    while data.tell() < data.getbuffer().nbytes:
        found += map(_from_plain, marshal.load(data))
    return found


def is_within(path: bytes, directory: bytes) -> bool:
    """Whether a path is a directory's or in it."""
    return not directory or path == directory or path.startswith(directory + b"/")
