"""The framing of append-only logs: each record with its length and a checksum, so that what a killed process had not
finished is recognized. Pure."""

from __future__ import annotations

from binascii import crc32
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = Struct("=II")
"""Length of what follows, and its CRC-32."""

OVERHEAD = _HEADER.size
"""Bytes that a record takes besides its data."""


def framed(data: bytes) -> bytes:
    """A record as it is appended to a log."""
    return _HEADER.pack(len(data), crc32(data)) + data


def frames(log: bytes, least: int, most: int) -> Iterator[bytes]:
    """The data of the records of a log, up to the first that is cut short or damaged, or not from `least` to `most`
    bytes long."""
    at, end = 0, len(log)
    while at + _HEADER.size <= end:
        length, checksum = _HEADER.unpack_from(log, at)
        at += _HEADER.size
        data = log[at : at + length]
        if not least <= length <= most or len(data) < length or crc32(data) != checksum:
            return
        at += length
        yield data
