"""The two packed columns of a layer index: sparse maps and extended attributes. Pure.

Sparse map: pairs of little-endian 64-bit offset and length, ascending, without empty runs.
Extended attributes: per attribute, sorted by name, a little-endian 16-bit length of the name and
32-bit length of the value, then both.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RUN = struct.Struct("<qq")
_LENGTHS = struct.Struct("<HI")


def encode_extents(runs: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_RUN.pack(offset, length) for offset, length in runs)


def decode_extents(packed: bytes) -> list[tuple[int, int]]:
    return list(_RUN.iter_unpack(packed))


def stored_bytes(packed: bytes) -> int:
    """Bytes of a sparse file that are in the archive."""
    return sum(length for _, length in _RUN.iter_unpack(packed))


def encode_xattrs(attributes: Mapping[bytes, bytes]) -> bytes | None:
    """The packed column; None for no attributes."""
    packed = b"".join(
        _LENGTHS.pack(len(name), len(value)) + name + value
        for name, value in sorted(attributes.items())
    )
    return packed or None


def decode_xattrs(packed: bytes | None) -> dict[bytes, bytes]:
    attributes: dict[bytes, bytes] = {}
    at = 0
    while packed and at < len(packed):
        name_length, value_length = _LENGTHS.unpack_from(packed, at)
        at += _LENGTHS.size
        name = packed[at : at + name_length]
        at += name_length
        attributes[name] = packed[at : at + value_length]
        at += value_length
    return attributes
