"""Tar layers out of literals: members in order, their archive, its index, the layer over both."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterable
from pathlib import Path

from unionfs.layer import LayerEntry, Mark
from unionfs.tar.indexer import IN_MEMORY, TarIndexer, TarSummary
from unionfs.tar.layer import IndexedLayer, TarLayer

_numbers = itertools.count()


def member(
    name: str,
    data: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    target: str = "",
    pax: dict[str, str] | None = None,
    **more: object,
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.size = kind, mode, target, len(data)
    info.pax_headers = pax or {}
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, mode: int = 0o755, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.SYMTYPE, target=target, mode=0o777)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.LNKTYPE, target=target)


def archive_of(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], dialect: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=dialect, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_index(
    archive: bytes, path: Path, chunk: int = 65536, in_memory: int = IN_MEMORY
) -> TarSummary:
    with TarIndexer(path, in_memory=in_memory) as indexer:
        for start in range(0, len(archive), chunk):
            indexer.feed(archive[start : start + chunk])
        return indexer.finish()


def layer_files(
    directory: Path,
    content: bytes | Iterable[tuple[tarfile.TarInfo, bytes]],
    chunk: int = 65536,
    in_memory: int = IN_MEMORY,
) -> tuple[Path, Path]:
    """The archive and its index, as files."""
    archive = content if isinstance(content, bytes) else archive_of(content)
    number = next(_numbers)
    tar, index = directory / f"{number}.tar", directory / f"{number}.sqlite"
    tar.write_bytes(archive)
    write_index(archive, index, chunk, in_memory)
    return tar, index


def layer_of(
    directory: Path,
    content: bytes | Iterable[tuple[tarfile.TarInfo, bytes]],
    chunk: int = 65536,
    in_memory: int = IN_MEMORY,
) -> TarLayer:
    return TarLayer(*layer_files(directory, content, chunk, in_memory))


def find(layer: IndexedLayer, path: str) -> LayerEntry:
    entry: LayerEntry | None = layer.root()
    for part in path.encode("utf-8", "surrogateescape").split(b"/"):
        assert entry is not None, path
        entry = layer.lookup(entry.ref, part)
    assert entry is not None, path
    return entry


def read(layer: IndexedLayer, path: str) -> bytes:
    entry = find(layer, path)
    return layer.open(entry.ref).read(0, entry.attributes.size)


def walk(layer: IndexedLayer) -> dict[bytes, LayerEntry]:
    """Every entry below the root by its path."""
    found: dict[bytes, LayerEntry] = {}
    pending = [(b"", layer.root())]
    while pending:
        above, entry = pending.pop()
        for name, child in layer.listing(entry.ref):
            path = above + b"/" + name if above else name
            found[path] = child
            if child.mark is not Mark.WHITEOUT and child.attributes.mode & 0o170000 == 0o040000:
                pending.append((path, child))
    return found
