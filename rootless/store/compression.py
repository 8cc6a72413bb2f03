"""Compresses the tar archive of a layer.

The same layer gives the same bytes each time, without a name or a time in them, so a registry that has the blob is not
sent it again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from unionfs.light_types import Protocol

_GZIP_LEVEL = 2
_PIECE = 1 << 20


class _Compressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


def compress(
    source: Iterable[bytes], target: Path, compression: str, level: int | None = None
) -> tuple[str, int]:
    """Write an archive to a new file as `gzip`, `zstd` or `none`; returns digest and size in bytes. `level` is one of
    the format's; None: a quick one. Raises OSError, ValueError for a level that the format does not have."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        for piece in _compressed(source, compression, level):
            digest.update(piece)
            size += out.write(piece)
    return f"sha256:{digest.hexdigest()}", size


def file_pieces(path: Path) -> Iterator[bytes]:
    """The content of a file."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece


def _compressed(source: Iterable[bytes], compression: str, level: int | None) -> Iterator[bytes]:
    if compression == "none":
        yield from source
        return
    compressor = _zstd(level) if compression == "zstd" else _gzip(level)
    for piece in source:
        if out := compressor.compress(piece):
            yield out
    yield compressor.flush()


def _gzip(level: int | None) -> _Compressor:
    if level is None:
        try:
            from isal import isal_zlib
        except ImportError:
            pass
        else:
            quick: _Compressor = isal_zlib.compressobj(_GZIP_LEVEL, wbits=31)
            return quick
    return zlib.compressobj(_GZIP_LEVEL if level is None else level, wbits=31)


def _zstd(level: int | None) -> _Compressor:
    import zstandard

    return zstandard.ZstdCompressor(level=3 if level is None else level).compressobj()
