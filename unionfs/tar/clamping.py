"""Archives of `tar.writer` with late times replaced, for reproducible images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from unionfs.tar.fields import decimal, number, parse_records, time_ns
from unionfs.tar.writer import BLOCK, padding, pax_record, sealed

_PIECE: Final = 1 << 20
_TIMES: Final = frozenset((b"mtime", b"atime", b"ctime"))
_NANOSECONDS: Final = 1_000_000_000
_BLANK_CHECKSUM: Final = b" " * 8


def clamped_archive(file: BinaryIO, newest: int) -> Iterator[bytes]:
    """The archive in `file`, in pieces; times later than `newest`, in seconds, become that. All else stays.

    Raises ValueError for a malformed archive.
    """
    is_late, data_size = False, 0
    while len(block := file.read(BLOCK)) == BLOCK and block.count(0) < BLOCK:
        size = number(block[124:136])
        if block[156:157] == b"x":
            data = file.read(size + -size % BLOCK)[:size]
            records = parse_records(data)
            kept = [each for each in records if not _is_late_time(each, newest)]
            is_late = len(kept) < len(records)
            data_size = next((decimal(value) for key, value in kept if key == b"size"), 0)
            if is_late:
                data = b"".join(pax_record(key, value) for key, value in kept)
                block = _replaced(block, 124, len(data))
            if data:
                yield block + data + padding(len(data))
            continue
        if is_late or number(block[136:148]) > newest:
            block = _replaced(block, 136, newest)
        yield block
        size = data_size or size
        yield from _pieces(file, size + -size % BLOCK)
        is_late, data_size = False, 0
    yield block
    while piece := file.read(_PIECE):
        yield piece


def _is_late_time(record: tuple[bytes, bytes], newest: int) -> bool:
    key, value = record
    return key in _TIMES and time_ns(value) > newest * _NANOSECONDS


def _replaced(header: bytes, start: int, value: int) -> bytes:
    """A header with another number in its field of twelve bytes at `start`."""
    header = header[:start] + b"%011o\0" % value + header[start + 12 :]
    return sealed(header[:148] + _BLANK_CHECKSUM + header[156:])


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece
