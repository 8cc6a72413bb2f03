"""Fields of tar headers and pax records: bytes to numbers, times, attributes, sparse maps. Pure.

All functions raise ValueError for malformed input; `tar.format` adds the position.
"""

from __future__ import annotations

import struct
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias, TypeVar
from zlib import adler32

from unionfs.tar.records import encode_extents, encode_xattrs

MAX_XATTR_NAME = 255
MAX_XATTR_VALUE = 1 << 16
MAX_SIZE = (1 << 63) - 1

_T = TypeVar("_T")
Records: TypeAlias = dict[bytes, bytes]


@lru_cache(maxsize=8192)
def number(field: bytes) -> int:
    """A numeric field: octal digits among spaces and NULs, or GNU base-256. Raises ValueError.

    Cached: the same owners, modes and times occur in most members.
    """
    first = field[0]
    if first & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if first & 0x40:
            value -= 1 << bits
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(field)
        return value
    text = field.strip(b" \0").partition(b"\0")[0].rstrip(b" ")
    if not text:
        return 0
    # int() would accept signs and underscores as well.
    if not text.isdigit():
        raise ValueError(field)
    return int(text, 8)


def decimal(text: bytes) -> int:
    """A whole number of a pax record. Raises ValueError."""
    # 2**63 has 19 digits. The time of int() grows with the square of the length.
    if not text.isdigit() or len(text) > 19:
        raise ValueError(text)
    return int(text)


def time_ns(text: bytes) -> int:
    """A pax time, seconds with any number of decimals, truncated to nanoseconds. Raises
    ValueError."""
    negative = text.startswith(b"-")
    whole, dot, fraction = text[negative:].partition(b".")
    if (dot and fraction and not fraction.isdigit()) or not whole:
        raise ValueError(text)
    value = decimal(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0") or b"0")
    return clamp_time(-value if negative else value)


def clamp_time(value: int) -> int:
    """Nanoseconds limited to 64 bits (the years 1677 to 2262), as file systems limit times that they
    cannot store."""
    return max(-MAX_SIZE, min(MAX_SIZE, value))


def check_sum(block: bytes) -> bool:
    """Whether the header's checksum is right: the sum of unsigned bytes, or of signed ones as some
    old programs wrote it."""
    stored = number(block[148:156])
    # The low half of Adler-32 is one more than the sum of the bytes modulo 65521, and 256 bytes add
    # up to at most 65280.
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    if stored == total - sum(block[148:156]) + 256:
        return True
    signed: int = sum(struct.unpack("148b8x356b", block))
    return stored == signed + 256


def parse_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records of a pax extended header, "LENGTH KEY=VALUE\\n" each, in order. Raises
    ValueError."""
    records = []
    start = 0
    while start < len(data):
        space = data.index(b" ", start, start + 20)
        end = start + decimal(data[start:space])
        if end <= space + 1 or end > len(data) or data[end - 1] != 0x0A:
            raise ValueError(data[start : start + 40])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise ValueError(key)
        records.append((key, value))
        start = end
    return records


def parse_xattrs(records: Records) -> bytes | None:
    """The extended attributes in pax records, packed; None if there are none. Raises ValueError."""
    attributes: dict[bytes, bytes] = {}
    for key, value in records.items():
        if key.startswith(b"SCHILY.xattr."):
            # GNU tar escapes the two characters as %3D and %25.
            name = key[13:].replace(b"%3D", b"=").replace(b"%25", b"%")
            attributes[name] = value
        elif key.startswith(b"LIBARCHIVE.xattr."):
            name = _unquote(key[17:])
            try:
                decoded = a2b_base64(value + b"=" * (-len(value) % 4))
            except Base64Error as error:
                raise ValueError(key) from error
            attributes.setdefault(name, decoded)
    for name, value in attributes.items():
        if not name or b"\0" in name or len(name) > MAX_XATTR_NAME or len(value) > MAX_XATTR_VALUE:
            raise ValueError(name)
    return encode_xattrs(attributes)


def _unquote(text: bytes) -> bytes:
    first, *rest = text.split(b"%")
    return first + b"".join(bytes.fromhex(part[:2].decode("ascii")) + part[2:] for part in rest)


def parse_extents(numbers: list[int], size: int, stored: int) -> bytes:
    """A sparse map as offset, length, offset, length … for a file of `size` bytes of which `stored`
    are in the archive.

    Raises ValueError unless runs ascend, do not overlap, lie within the file and add up.
    """
    if len(numbers) % 2:
        raise ValueError("odd")
    runs = []
    end = total = 0
    for index in range(0, len(numbers), 2):
        offset, length = numbers[index], numbers[index + 1]
        if offset < end or length < 0 or offset + length > size:
            raise ValueError(offset)
        end = offset + length
        total += length
        # GNU tar ends the map with a run of length zero at the end of the file.
        if length:
            runs.append((offset, length))
    if total != stored:
        raise ValueError(total)
    return encode_extents(runs)


def device_number(major: int, minor: int) -> int:
    # dev_t in the kernel: 12 bits of major, 20 of minor
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise ValueError(major, minor)
    # makedev(3), without `os`: this module makes no system call, and the import contracts check that.
    return (minor & 0xFF) | (major << 8) | ((minor & 0xFFF00) << 12)


def record_value(records: Records, key: bytes, parse: Callable[[bytes], _T], otherwise: _T) -> _T:
    # An empty value deletes the record, also that of a global header (pax(1)).
    value = records.get(key)
    return parse(value) if value else otherwise


def name_and_times(block: bytes) -> tuple[bytes, int | None, int | None]:
    """The name, access and change time. The last 155 bytes of a header hold the prefix of the name
    (ustar) or these times (GNU, star)."""
    path = block[:100].partition(b"\0")[0]
    magic = block[257:265]
    if not block[345] or not magic.startswith(b"ustar"):
        return path, None, None
    if magic == b"ustar  \0":
        try:
            return (
                path,
                clamp_time(number(block[345:357]) * 1_000_000_000),
                clamp_time(number(block[357:369]) * 1_000_000_000),
            )
        except ValueError:
            # Go before 1.8 wrote prefixes under GNU's magic, and layers with them are about.
            pass
    star = block[508:512] == b"tar\0"
    prefix = block[345 : 476 if star else 500].partition(b"\0")[0]
    return prefix + b"/" + path, None, None
