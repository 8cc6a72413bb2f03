"""The journal of a server: the state that a new server of the mount needs if this one is killed, in memory that the
monitor keeps.

The kernel goes on naming objects by the numbers that the killed server gave. A number is nearly always the
`st_ino` of its object, which is found again by listing the directories that the kernel knows. So only
those directories are written down, and the objects that no listing finds: a request for a file
costs nothing here.

A record is complete when its last byte, the kind, is there: a server that is killed while it writes
leaves none.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct

from unionfs.journal_kinds import Kind
from unionfs.light_types import NamedTuple
from unionfs.model import Attributes
from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

PAGE = mmap.PAGESIZE
"""The first page belongs to the session (`session.continuation`)."""

_START = Struct("=Q")
_SELECTOR_AT = PAGE
_STARTS_AT = PAGE + 8
_LOG_AT = 2 * PAGE
_RECORD = Struct("=QQIB")
"""Node, directory, length of what follows, kind; the kind is written last."""
_RECORD_SIZE, _pack_record = _RECORD.size, _RECORD.pack_into
_WINDOW = 1 << 20
_GONE = Struct("=QIIII")


_KINDS = {kind.value: kind for kind in Kind}


class Record(NamedTuple):
    kind: Kind
    nodeid: int
    parent: int
    name: bytes


class Journal:
    """The records in a memfd. `live`, when the memory has to be tidied up, gives those that still hold.

    `fd` stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.live: Callable[[], Iterable[Record]] = tuple
        if os.fstat(fd).st_size < _LOG_AT + _WINDOW:
            os.ftruncate(fd, _LOG_AT + _WINDOW)
        self._head = mmap.mmap(fd, PAGE, offset=PAGE)
        (start,) = _START.unpack_from(self._head, 8 + 8 * self._head[0])
        self._start = start or _LOG_AT
        self._map = mmap.mmap(fd, os.fstat(fd).st_size - self._start, offset=self._start)
        self._limit = len(self._map) - _RECORD.size
        self._at = 0
        for _ in self.records():
            pass

    def records(self) -> Iterator[Record]:
        """All of them, oldest first. `add` goes on behind the last."""
        at, memory = 0, self._map
        while at < self._limit:
            nodeid, parent, length, kind = _RECORD.unpack_from(memory, at)
            if not kind:
                break
            at += _RECORD.size
            yield Record(_KINDS[kind], nodeid, parent, bytes(memory[at : at + length]))
            at += length
        self._at = at

    def add(self, kind: Kind, nodeid: int, parent: int = 0, name: bytes = b"") -> None:
        """Write a record. Raises OSError if there is no memory."""
        length = len(name)
        at = self._at
        end = at + _RECORD_SIZE + length
        if end > self._limit:
            self._tidy(length)
            at = self._at
            end = at + _RECORD_SIZE + length
        if length:
            self._map[at + _RECORD_SIZE : end] = name
        _pack_record(self._map, at, nodeid, parent, length, kind)
        self._at = end

    def add_gone(self, nodeid: int, attributes: Attributes) -> None:
        """Write down that an object without data has lost its last name."""
        self.add(Kind.GONE, nodeid, 0, pack_gone(attributes))

    def _tidy(self, extra: int) -> None:
        """Begin a new log behind this one, with the records that still hold, and give the memory of the
        old one back."""
        records = list(self.live())
        size = sum(_RECORD.size + len(record.name) for record in records)
        start = -(-(self._start + len(self._map)) // PAGE) * PAGE
        window = -(-max(_WINDOW, 2 * size + extra + PAGE) // PAGE) * PAGE
        os.ftruncate(self._fd, start + window)
        old, old_start = self._map, self._start
        self._map = mmap.mmap(self._fd, window, offset=start)
        self._start, self._at, self._limit = start, 0, window - _RECORD.size
        for record in records:
            self.add(*record)
        other = 1 - self._head[0]
        _START.pack_into(self._head, 8 + 8 * other, start)
        self._head[0] = other
        old.close()
        fallocate(
            self._fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, old_start, start - old_start
        )

    def close(self) -> None:
        self._map.close()
        self._head.close()


def pack_gone(attributes: Attributes) -> bytes:
    """The record of an object that has no name and no data."""
    ino, mode, _, uid, gid, rdev, *_ = attributes
    return _GONE.pack(ino, mode, uid, gid, rdev & 0xFFFFFFFF)


def unpack_gone(data: bytes) -> Attributes:
    ino, mode, uid, gid, rdev = _GONE.unpack(data)
    return Attributes(ino, mode, 0, uid, gid, rdev, 0, 0, 0, 0, 0)


def pack_lower(attributes: Attributes, path: bytes) -> bytes:
    """Where the lowers have an object without a name, and the mode and owner that it is shown with."""
    return pack_gone(attributes) + path


def unpack_lower(data: bytes) -> tuple[Attributes, bytes]:
    return unpack_gone(data[: _GONE.size]), data[_GONE.size :]


def pack_names(names: Sequence[tuple[int, bytes]]) -> bytes:
    """Names with their cookies, which fit into 32 bits and ascend."""
    return b"".join(b"%d/%b/" % pair for pair in names)


def unpack_names(data: bytes) -> list[tuple[int, bytes]]:
    parts = data.split(b"/")
    return [(int(at), name) for at, name in zip(parts[::2], parts[1::2], strict=False)]
