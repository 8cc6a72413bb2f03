"""Reads the cache of ldconfig(8), /etc/ld.so.cache: finds the file of a library. Pure.

The format is that of glibc's sysdeps/generic/dl-cache.h: a header, entries of a fixed size, and the strings that they
refer to by offsets from the header. A cache in the old format has one in the new format behind it.
"""

from __future__ import annotations

import struct

from rootless.errors import InvalidDocumentError

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sII5I")  # magic, entries, bytes of strings, flags, extensions, unused
_ENTRY = struct.Struct("=iIIIQ")  # flags, name, path, version of the kernel, capabilities
_OLD_MAGIC = b"ld.so-1.7.0\0"
_OLD_HEADER = struct.Struct("=12sI")
_OLD_ENTRY_SIZE = 12

_FLAGS = {
    "x86_64": 0x0303,
    "aarch64": 0x0A03,
    "ppc64le": 0x0503,
    "s390x": 0x0403,
    "riscv64": 0x1003,
}
"""Of a library of glibc, by the machine of uname(2)."""


def parse_ld_cache(data: bytes, machine: str) -> dict[str, str]:
    """The path of each library for a machine, by its name; the first one of a name is the one that is loaded.

    Raises InvalidDocumentError.
    """
    start = 0
    try:
        if data.startswith(_OLD_MAGIC):
            _, count = _OLD_HEADER.unpack_from(data)
            start = _OLD_HEADER.size + count * _OLD_ENTRY_SIZE
            start += -start % 8
        magic, count, *_ = _HEADER.unpack_from(data, start)
        if magic != _MAGIC:
            raise InvalidDocumentError("not a cache of ldconfig")
        result: dict[str, str] = {}
        for number in range(count):
            at = start + _HEADER.size + number * _ENTRY.size
            flags, name, path, _, _ = _ENTRY.unpack_from(data, at)
            if flags == _FLAGS.get(machine, flags):
                result.setdefault(_string(data, start + name), _string(data, start + path))
    except (struct.error, ValueError) as error:
        raise InvalidDocumentError(f"a damaged cache of ldconfig: {error}") from error
    return result


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode(errors="surrogateescape")
