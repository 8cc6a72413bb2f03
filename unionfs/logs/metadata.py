"""The format of the metadata log of an upper: changes of mode, owner and times of files that only a lower has.

A record is what one such file is shown with, by its path in the union. A later record of a path replaces an earlier one;
one of a path where the union does not show a file of a lower means nothing. Pure: no I/O.
"""

from __future__ import annotations

from struct import Struct

from unionfs.light_types import NamedTuple
from unionfs.logs.framing import OVERHEAD, framed, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS = Struct("=IIIqqq")
"""Mode, owner, group, and three times in nanoseconds; the path follows."""

_MAXIMUM = _FIELDS.size + (1 << 20)
"""No path of a union is as long: a longer record is damage."""


class MetadataRecord(NamedTuple):
    """`mode` with the type of file, `uid` and `gid` as the upper stores them, `path` absolute."""

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    path: bytes


def pack_record(record: MetadataRecord) -> bytes:
    """A record as it is appended to a log."""
    return framed(_FIELDS.pack(*record[:6]) + record.path)


def record_size(record: MetadataRecord) -> int:
    """Bytes of a record in a log."""
    return OVERHEAD + _FIELDS.size + len(record.path)


def unpack_records(log: bytes) -> Iterator[MetadataRecord]:
    """The records of a log, in its order, up to the first that is cut short or damaged: what a server
    that was killed had not finished."""
    for data in frames(log, _FIELDS.size, _MAXIMUM):
        mode, uid, gid, atime, mtime, ctime = _FIELDS.unpack_from(data)
        yield MetadataRecord(mode, uid, gid, atime, mtime, ctime, data[_FIELDS.size :])


def without_records(log: bytes, known: bytes) -> bytes:
    """A log without the records that another one has too."""
    others = set(unpack_records(known))
    return b"".join(pack_record(each) for each in unpack_records(log) if each not in others)
