"""The framing of append-only logs: each record with its length and a checksum, so that a record that a killed process
left incomplete is recognized. Pure.
"""

from __future__ import annotations

from binascii import crc32
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = Struct("<II")
"""Length of what follows, and its CRC-32; in some logs the other way round."""

OVERHEAD = _HEADER.size
"""Bytes that a record takes besides its data."""


def framed(data: bytes, *, checksum_first: bool = False) -> bytes:
    """A record as it is appended to a log."""
    if checksum_first:
        return _HEADER.pack(crc32(data), len(data)) + data
    return _HEADER.pack(len(data), crc32(data)) + data


def frames(
    log: bytes, least: int, most: int, *, start: int = 0, checksum_first: bool = False
) -> Iterator[bytes]:
    """The data of the records of a log from `start` on, up to the first that is cut short or damaged, or not from
    `least` to `most` bytes long."""
    at, end = start, len(log)
    while at + _HEADER.size <= end:
        length, checksum = _HEADER.unpack_from(log, at)
        if checksum_first:
            length, checksum = checksum, length
        at += _HEADER.size
        data = log[at : at + length]
        if not least <= length <= most or len(data) < length or crc32(data) != checksum:
            return
        at += length
        yield data


def is_cut_short(rest: bytes, *, checksum_first: bool = False) -> bool:
    """Whether what follows the last sound record is one record that a killed process or a full disk has left, and
    zeros; otherwise the log is damaged."""
    if len(rest) < _HEADER.size:
        return True
    length = _HEADER.unpack_from(rest)[1 if checksum_first else 0]
    return _HEADER.size + length >= len(rest) or not rest.strip(b"\0")
