"""SIF images made by hand: header, descriptors, data (sylabs/sif, pkg/sif)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DEFINITION, LABELS, PARTITION = 0x4001, 0x4003, 0x4004
SQUASHFS, EXT3, ENCRYPTED = 1, 2, 5
SYSTEM, PRIMARY, DATA, OVERLAY = 1, 2, 3, 4
_DESCRIPTORS_AT = 4096
_DATA_AT = 32768
_ENTRIES = 48


class Part(NamedTuple):
    """One object of the file."""

    data: bytes
    kind: int = PARTITION
    file_system: int = SQUASHFS
    role: int = PRIMARY
    arch: bytes = b"02"


def write_sif(path: Path, parts: Sequence[Part], *, version: bytes = b"01") -> None:
    """Data begin at multiples of 4096, as apptainer has it."""
    table, body = b"", bytearray()
    for number, part in enumerate(parts, 1):
        body += bytes(-len(body) % 4096)
        extra = b""
        if part.kind == PARTITION:
            extra = struct.pack("<ii3s", part.file_system, part.role, part.arch)
        table += struct.pack(
            "<i?IIIqqqqqqq128s384s",
            *(part.kind, True, number, 0xF0000001, 0),
            *(_DATA_AT + len(body), len(part.data), len(part.data), 1, 1, 0, 0),
            *(f"part{number}".encode(), extra),
        )
        body += part.data
    table = table.ljust(585 * _ENTRIES, b"\0")
    header = struct.pack(
        "<32s10s3s3s16s8q",
        *(b"#!/usr/bin/env run-singularity\n", b"SIF_MAGIC", version, b"02", b"u" * 16),
        *(1, 1, _ENTRIES - len(parts), _ENTRIES, _DESCRIPTORS_AT, len(table), _DATA_AT, len(body)),
    )
    with path.open("wb") as file:
        file.write(
            header.ljust(_DESCRIPTORS_AT, b"\0") + table.ljust(_DATA_AT - _DESCRIPTORS_AT, b"\0")
        )
        file.write(body)
