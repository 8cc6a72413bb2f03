"""SIF, Apptainer's image file: where in it the root file system lies. Pure but for reading.

A global header of 128 bytes, an array of descriptors of 585, then the data of each (sylabs/sif,
apptainer/sif: pkg/sif/sif.go, descriptor.go). All numbers are little-endian, and signed as there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rootless.errors import InvalidDocumentError

_HEADER = struct.Struct("<32x10s3s3s16x8q")
_DESCRIPTOR = struct.Struct("<i?12x7q128x384s")
_PARTITION = struct.Struct("<ii3s")
HEADER_SIZE = _HEADER.size
_MAGIC = b"SIF_MAGIC\0"
_MAX_DESCRIPTORS = 4096  # 48 are made room for
_DATA_PARTITION = 0x4004
_PRIMARY_SYSTEM, _OVERLAY = 2, 4
_SQUASHFS, _EXT3 = 1, 2
_FILE_SYSTEMS = {1: "squashfs", 2: "ext3", 3: "an archive", 4: "raw data", 5: "encrypted squashfs"}
_ARCHITECTURES = {
    b"01": "386",
    b"02": "amd64",
    b"03": "arm",
    b"04": "arm64",
    b"05": "ppc64",
    b"06": "ppc64le",
    b"07": "mips",
    b"08": "mipsle",
    b"09": "mips64",
    b"10": "mips64le",
    b"11": "s390x",
    b"12": "riscv64",
}

DATA_OFFSET = 32768
"""Where the data of the first object begin: behind the descriptors, at a multiple of a page."""
_DESCRIPTORS_OFFSET = 4096
_DESCRIPTORS = 48
_LAUNCH = b"#!/usr/bin/env run-singularity\n"
_GROUP = 0xF0000001
_NEW_HEADER = struct.Struct("<32s10s3s3s16s8q")
_NEW_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")


class SystemPartition(NamedTuple):
    """The squashfs with the root file system: bytes from the beginning of the file. `architecture`
    is GOARCH's word, empty if the image does not say. `overlays`: where the ext3 images begin that lie over it, bottom
    first."""

    offset: int
    size: int
    architecture: str
    overlays: tuple[int, ...] = ()


def is_sif(head: bytes) -> bool:
    """By the first bytes of a file."""
    return head[32 : 32 + len(_MAGIC)] == _MAGIC


def system_partition(read: Callable[[int, int], bytes], size: int, what: str) -> SystemPartition:
    """`read(size, offset)` gives bytes of the file, which has `size`. Raises InvalidDocumentError."""
    head = read(HEADER_SIZE, 0)
    if len(head) < HEADER_SIZE or not is_sif(head):
        raise InvalidDocumentError(f"{what} is not a SIF image")
    _, version, _, *numbers = _HEADER.unpack(head)
    if version != b"01\0":
        raise InvalidDocumentError(f"{what} is a SIF image of an unknown version: {version!r}")
    _, _, _, total, start, *_ = numbers
    end = start + total * _DESCRIPTOR.size
    if not 0 <= total <= _MAX_DESCRIPTORS or start < HEADER_SIZE or end > size:
        raise InvalidDocumentError(
            f"{what} is a damaged SIF image: its descriptors exceed the file"
        )
    table = read(end - start, start)
    if len(table) < end - start:
        raise InvalidDocumentError(f"{what} is truncated")
    found, overlays = None, []
    for role, file_system, architecture, offset, length in _partitions(table):
        part = "root file system" if role == _PRIMARY_SYSTEM else "overlay"
        wanted, name = (_SQUASHFS, "squashfs") if role == _PRIMARY_SYSTEM else (_EXT3, "ext3")
        if file_system != wanted:
            kind_of = _FILE_SYSTEMS.get(file_system, f"of type {file_system}")
            raise InvalidDocumentError(
                f"the {part} of {what} is {kind_of}, not {name}",
                hint="build it anew with apptainer, without encryption",
            )
        if offset < end or length <= 0 or offset + length > size:
            raise InvalidDocumentError(
                f"{what} is truncated or damaged: its {part} is outside the file"
            )
        if role == _OVERLAY:
            overlays.append(offset)
        elif found is None:
            known = _ARCHITECTURES.get(architecture.rstrip(b"\0"), "")
            found = SystemPartition(offset, length, known)
    if found is None:
        raise InvalidDocumentError(f"{what} is a SIF image without a root file system")
    return found._replace(overlays=tuple(overlays))


def _partitions(table: bytes) -> Iterator[tuple[int, int, bytes, int, int]]:
    """Role, file system, architecture, offset and size of the root file system and of each overlay."""
    for kind, used, offset, length, *_, extra in _DESCRIPTOR.iter_unpack(table):
        if used and kind == _DATA_PARTITION:
            file_system, role, architecture = _PARTITION.unpack_from(extra)
            if role in (_PRIMARY_SYSTEM, _OVERLAY):
                yield role, file_system, architecture, offset, length


def sif_head(size: int, architecture: str, identity: bytes, time: int, name: str) -> bytes:
    """The first DATA_OFFSET bytes of a SIF file with one object, a squashfs of `size` bytes.

    Args:
        architecture: GOARCH's word.
        identity: 16 bytes, the file's UUID.
        time: Seconds since the epoch: when it was made.
        name: Of the object, for `apptainer sif list`.
    """
    code = next((code for code, known in _ARCHITECTURES.items() if known == architecture), b"00")
    extra = _PARTITION.pack(_SQUASHFS, _PRIMARY_SYSTEM, code + b"\0")
    padded = -(-size // 4096) * 4096
    descriptor = _NEW_DESCRIPTOR.pack(
        *(_DATA_PARTITION, True, 1, _GROUP, 0),
        *(DATA_OFFSET, size, padded, time, time, 0, 0),
        name.encode()[:127],
        extra,
    )
    table = descriptor.ljust(_DESCRIPTORS * _NEW_DESCRIPTOR.size, b"\0")
    header = _NEW_HEADER.pack(
        *(_LAUNCH, _MAGIC, b"01", code, identity),
        *(time, time, _DESCRIPTORS - 1, _DESCRIPTORS),
        *(_DESCRIPTORS_OFFSET, len(table), DATA_OFFSET, padded),
    )
    return header.ljust(_DESCRIPTORS_OFFSET, b"\0") + table.ljust(
        DATA_OFFSET - _DESCRIPTORS_OFFSET, b"\0"
    )
