"""The format of the log of attributes of a changeable lower, as the union saw them before it changed, moved or
removed a name of it. A later comparison tells by it whether the lower has changed since.

A record is the result of stat(2) by the path in the lowers. The first record of a path counts. Pure: no I/O.
"""

from __future__ import annotations

from struct import Struct

from unionfs.light_types import NamedTuple
from unionfs.logs.framing import framed, frames

_FIELDS = Struct("=IIIQQqq")
"""Mode, owner, group, size, number, and two times in nanoseconds; the path follows."""

_MOST = _FIELDS.size + (1 << 20)


class SeenRecord(NamedTuple):
    """`mode` with the type of file; `ino` is unique in the union; `path` is relative."""

    mode: int
    uid: int
    gid: int
    size: int
    ino: int
    mtime_ns: int
    ctime_ns: int
    path: bytes


def pack_seen(record: SeenRecord) -> bytes:
    """A record as it is appended to a log."""
    return framed(_FIELDS.pack(*record[:7]) + record.path)


LARGEST_BASE = 1 << 16
"""Bytes of a file of which the content is kept too."""


def pack_base(path: bytes, content: bytes) -> bytes:
    """The content of a file before it was written over, as it is appended to a log of its own."""
    return framed(path + b"\0" + content)


def unpack_bases(log: bytes) -> dict[bytes, bytes]:
    """The first content of each path."""
    found: dict[bytes, bytes] = {}
    for data in frames(log, 1, _MOST + LARGEST_BASE):
        path, _, content = data.partition(b"\0")
        found.setdefault(path, content)
    return found


def unpack_seen(log: bytes) -> dict[bytes, SeenRecord]:
    """The first record of each path, up to the first that is cut short or damaged."""
    found: dict[bytes, SeenRecord] = {}
    for data in frames(log, _FIELDS.size, _MOST):
        path = data[_FIELDS.size :]
        if path not in found:
            found[path] = SeenRecord._make((*_FIELDS.unpack_from(data), path))
    return found
