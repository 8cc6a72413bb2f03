"""ADD of archives and URLs, and archives as build contexts."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
from pathlib import Path

from rootless.build.errors import BuildError
from rootless.build.files.sources import LayerSource, Source, SourceEntry
from rootless.errors import InvalidDocumentError
from rootless.store.decompression import MAGIC_SIZE, Limits, Read, compression_of
from rootless.store.layer_writing import LAYER_INDEX, LAYER_TAR, write_layer
from unionfs.light_types import NamedTuple

_HEADER = 512
_PIECE = 1 << 20


def looks_like_archive(head: bytes) -> bool:
    """Whether a file that begins with `head`, of 512 bytes or all it has, may be a tar archive, compressed or
    not."""
    if compression_of(head[:MAGIC_SIZE]) != "none":
        return True
    if len(head) < _HEADER:
        return False
    import tarfile

    try:
        tarfile.TarInfo.frombuf(head[:_HEADER], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def open_archive(read: Read, directory: Path, what: str, *, keeps_owners: bool) -> LayerSource:
    """The files of an archive in any compression that tar has. It is written once, uncompressed, to
    `directory`, which must not exist. Raises InvalidDocumentError for what is no archive."""
    blob = directory.with_name(f"{directory.name}-blob")
    write_layer(read, directory, blob, what, Limits())
    blob.unlink()
    return archive_source(directory, keeps_owners=keeps_owners)


def archive_source(directory: Path, *, keeps_owners: bool) -> LayerSource:
    """The files of an archive that `open_archive` has written."""
    from unionfs.changes.snapshot import Snapshot
    from unionfs.tar.layer import TarLayer

    layer = TarLayer(directory / LAYER_TAR, directory / LAYER_INDEX)
    return LayerSource(Snapshot([layer], None), keeps_owners=keeps_owners)


def unpacked(source: Source, entry: SourceEntry, directory: Path) -> Source | None:
    """The files of an archive in a source; None if the file is none. Raises BuildError for a damaged archive."""
    size = entry.attributes.size
    head = b"".join(source.open(entry.path, min(size, _HEADER)))
    if not looks_like_archive(head):
        return None
    pieces = iter(source.open(entry.path, size))
    waiting = b""

    def read(wanted: int) -> bytes:
        nonlocal waiting
        if not waiting:
            waiting = next(pieces, b"")
        piece, waiting = waiting[:wanted], waiting[wanted:]
        return piece

    try:
        return open_archive(read, directory, os.fsdecode(entry.path), keeps_owners=True)
    except InvalidDocumentError as error:
        if _has_member(b"".join(source.open(entry.path, min(size, _PIECE)))):
            raise BuildError(error.message) from error
        return None


def _has_member(data: bytes) -> bool:
    """Whether what may be the beginning of an archive has the header of a first member."""
    import tarfile

    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|*") as archive:
            return archive.next() is not None
    except (tarfile.TarError, OSError, EOFError):
        return False


class Fetched(NamedTuple):
    """A file behind a URL: its name here, and the hex digits of its SHA-256."""

    name: str
    digest: str


def fetch(url: str, directory: Path, checksum: str) -> Fetched:
    """Write what a URL has to a file in `directory`, with the mode 0600 and the time that the server gives.
    Raises BuildError, also if the content has not the `checksum` that is asked for."""
    import http.client
    import urllib.error
    import urllib.request
    from email.utils import parsedate_to_datetime
    from urllib.parse import unquote, urlsplit

    name = posixpath.basename(unquote(urlsplit(url).path)) or "download"
    hashed = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            with open(directory / name, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                while piece := response.read(_PIECE):
                    hashed.update(piece)
                    file.write(piece)
            stamp = response.headers.get("Last-Modified")
            try:
                modified = parsedate_to_datetime(stamp).timestamp() if stamp else 0.0
            except ValueError:
                modified = 0.0
    except urllib.error.HTTPError as error:
        with error:
            raise BuildError(
                f"failed to load cache key: invalid response status {error.code}"
            ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise BuildError(f"failed to load cache key: {url}: {reason}") from error
    os.utime(directory / name, (modified, modified))
    if checksum and checksum != f"sha256:{hashed.hexdigest()}":
        raise BuildError(f"digest mismatch sha256:{hashed.hexdigest()}: {checksum}")
    return Fetched(name, hashed.hexdigest())
