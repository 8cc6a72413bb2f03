"""Decompresses a stream, in pieces of bounded size.

gzip through ISA-L where the package is there (twice zlib's rate), zstd, xz and bzip2; streams of
several members or frames, as pigz, estargz and zstd:chunked write them, are read to their end. What
stops early or is damaged is an error, never a short result.

Bombs. A few kilobytes can hold gigabytes of zeros, which is also what a sparse disk image or database
compresses to. So it is not the ratio that is bounded but what a bomb could exhaust: memory by the size
of the pieces, and the disk by `Limits.reserve`, which is looked at while the output is written.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rootless.errors import InvalidDocumentError, RootlessError
from unionfs.light_types import NamedTuple, Protocol
from unionfs.model import free_bytes

PIECE = 1 << 18
_SPACE_CHECK = 32 << 20

# zstd's worst case is a 128 KiB block out of 4 bytes, and its binding has no bound on what one call
# returns: so little goes in at a time.
_ZSTD_INPUT = 2048
_ZSTD_WINDOW = 128 << 20  # the largest that `zstd` itself decodes without --long
_XZ_MEMORY = 256 << 20  # xz -9 needs 65 MiB

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
)
MAGIC_SIZE = 6

Read = Callable[[int], bytes]
"""Returns some bytes, about that many; none only at the end."""


class Limits(NamedTuple):
    """Limits of a decompression."""

    reserve: int = 64 << 20
    """Bytes of the disk that stay free."""


def compression_of(head: bytes) -> str:
    """`none`, `gzip`, `zstd`, `xz` or `bzip2`, by the first bytes of a stream (a skippable zstd
    frame counts)."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"
    return "none"


class Meter:
    """Counts the output of a decompression and ends it where the disk is about to be full."""

    __slots__ = ("_checked", "_directory", "_limits", "_produced", "_what")

    def __init__(self, limits: Limits, directory: Path, what: str) -> None:
        self._limits = limits
        self._directory = directory
        self._what = what
        self._checked = 0
        self._produced = 0

    def gave(self, count: int) -> None:
        """Raises RootlessError if the disk is about to be full."""
        self._produced += count
        self.expect(self._produced)

    def expect(self, total: int) -> None:
        """Announce at least `total` bytes in all. Raises RootlessError if the disk has no room for
        them."""
        if total - self._checked >= _SPACE_CHECK:
            self._checked = total
            status = os.statvfs(self._directory)
            free = free_bytes(status.f_blocks, status.f_bavail, status.f_frsize)
            if free - (total - self._produced) < self._limits.reserve:
                raise RootlessError(
                    f"no space left for {self._what} in {self._directory}",
                    hint="remove images (rootless rmi) or set ROOTLESS_ROOT to a larger disk",
                )


class _Decoder(Protocol):
    """The common methods of zlib, ISA-L, lzma and bz2 objects."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def decompressed(read: Read, compression: str, meter: Meter, what: str) -> Iterator[bytes]:
    """The content of a stream. Raises InvalidDocumentError where it is damaged or truncated; `what`
    names it."""
    if compression == "none":
        while piece := read(PIECE):
            meter.gave(len(piece))
            yield piece
        return
    failures = _failures(compression)
    pieces = _zstd_pieces(read) if compression == "zstd" else _stream_pieces(read, compression)
    while True:
        try:
            piece = next(pieces)
        except StopIteration:
            return
        except EOFError:
            raise InvalidDocumentError(
                f"{what} is truncated: the {compression} data does not end"
            ) from None
        except failures as error:
            raise InvalidDocumentError(f"{what} is damaged: {compression}: {error}") from error
        meter.gave(len(piece))
        yield piece


def _failures(compression: str) -> tuple[type[Exception], ...]:
    if compression == "gzip":
        return (zlib.error, *_isal_errors())
    if compression == "zstd":
        import zstandard

        return (zstandard.ZstdError,)
    if compression == "xz":
        import lzma

        return (lzma.LZMAError,)
    return (OSError, ValueError)  # bz2 has no class of its own


def _isal_errors() -> list[type[Exception]]:
    try:
        from isal import isal_zlib
    except ImportError:
        return []
    return [isal_zlib.error]  # type: ignore[list-item]  # annotated as an instance, is a class


def _gzip_decoder() -> _Decoder:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    decoder: _Decoder = isal_zlib.decompressobj(zlib.MAX_WBITS | 16)
    return decoder


def _new_decoder(compression: str) -> _Decoder:
    if compression == "gzip":
        return _gzip_decoder()
    if compression == "xz":
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    import bz2

    return bz2.BZ2Decompressor()


def _stream_pieces(read: Read, compression: str) -> Iterator[bytes]:
    """gzip, xz and bzip2: each member by a decoder of its own, every call bounded by `PIECE`."""
    decoder: _Decoder | None = None
    pending = b""
    while True:
        if not pending and not _holds_input(decoder):
            pending = read(PIECE)
            if not pending:
                break
        if decoder is None:
            # Members may be padded with zeros (gzip for tapes, xz by specification).
            pending = pending.lstrip(b"\0")
            if not pending:
                continue
            decoder = _new_decoder(compression)
        if piece := decoder.decompress(pending, PIECE):
            yield piece
        if decoder.eof:
            pending = decoder.unused_data
            decoder = None
        else:
            # zlib hands back what a bounded call left, lzma and bz2 keep it.
            pending = getattr(decoder, "unconsumed_tail", b"")
    if decoder is not None:
        raise EOFError


def _holds_input(decoder: _Decoder | None) -> bool:
    return decoder is not None and not getattr(decoder, "needs_input", True)


def _zstd_pieces(read: Read) -> Iterator[bytes]:
    import zstandard

    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = None
    pending = b""
    while True:
        if not pending:
            block = read(PIECE)
            if not block:
                break
            pending = block
        for start in range(0, len(pending), _ZSTD_INPUT):
            if decoder is None:
                decoder = context.decompressobj()
            if piece := decoder.decompress(pending[start : start + _ZSTD_INPUT]):
                yield piece
            if decoder.eof:
                pending = decoder.unused_data + pending[start + _ZSTD_INPUT :]
                decoder = None
                break
        else:
            pending = b""
    if decoder is not None:
        raise EOFError
