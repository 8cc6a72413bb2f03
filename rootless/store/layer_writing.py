"""One layer, from a stream to disk in one pass: decompress, hash, index and write at the same time.

The two digests are computed by threads of their own (hashing releases the interpreter lock); the
tar index is built by the caller's thread, which is the slowest. Buffers and queues are few, so memory is
bounded whatever the layer is.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

from rootless.durable import fsync_directory, fsync_file, link_or_copy, write_all
from rootless.errors import InvalidDocumentError
from rootless.store.decompression import (
    MAGIC_SIZE,
    PIECE,
    Limits,
    Meter,
    Read,
    compression_of,
    decompressed,
)
from rootless.store.layer_file import LayerFile
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unionfs.tar.indexer import TarIndexer
    from unionfs.tar.writer import ArchiveMember

_QUEUE = 8
LAYER_TAR = "layer.tar"
LAYER_INDEX = "index.sqlite"


class WrittenLayer(NamedTuple):
    """The result: both digests, both sizes, and the paths of the files (not yet in the store)."""

    diff_id: str
    size: int
    digest: str
    blob_size: int
    compression: str
    directory: Path
    blob: Path


class _Sink:
    """A thread that hashes pieces and, where there is a path, writes them to a file, in order.
    `finish` returns the digest and size."""

    def __init__(self, path: Path | None) -> None:
        self._fd = -1
        if path is not None:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._hash = hashlib.sha256()
        self._size = 0
        self._failure: OSError | None = None
        import queue
        import threading

        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        """Raises the OSError that an earlier write met."""
        if self._failure is not None:
            raise self._failure
        self._queue.put(piece)

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            if self._failure is None:
                try:
                    if self._fd >= 0:
                        write_all(self._fd, piece)
                    self._hash.update(piece)
                    self._size += len(piece)
                except OSError as error:
                    self._failure = error

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def finish(self) -> tuple[str, int]:
        """Wait until everything is written and synced. Raises OSError."""
        self._stop()
        if self._failure is not None:
            raise self._failure
        if self._fd >= 0:
            os.fsync(self._fd)
        return "sha256:" + self._hash.hexdigest(), self._size

    def close(self) -> None:
        """Stop the thread and close the descriptor. Idempotent."""
        self._stop()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def write_layer(
    read: Read, directory: Path, blob: Path, what: str, limits: Limits, *, held: Path | None = None
) -> WrittenLayer:
    """Read a layer to its end; make `directory` with the tar and its index, and `blob` with what
    came.

    Nothing is written twice: of a layer that came uncompressed `blob` is a hard link of the tar, and
    of one that `read` reads from the file `held`, one of that. Raises InvalidDocumentError if it is
    damaged, cut off, a bomb, or no sound archive.
    """

    head = _read_exactly(read, MAGIC_SIZE)
    compression = compression_of(head)
    compressed = _Sink(blob if held is None else None) if compression != "none" else None
    source = _teed(_prefixed(head, read), compressed)
    try:
        meter = Meter(limits, directory, what)
        pieces = decompressed(source, compression, meter, what)
        diff_id, size = _write_archive(pieces, directory, meter, what)
        digest, blob_size = compressed.finish() if compressed is not None else (diff_id, size)
    finally:
        if compressed is not None:
            compressed.close()
    if compressed is None:
        link_or_copy(directory / LAYER_TAR, blob)
    elif held is not None:
        fsync_file(held)
        link_or_copy(held, blob)
    fsync_directory(directory)
    return WrittenLayer(diff_id, size, digest, blob_size, compression, directory, blob)


def write_made_layer(
    members: Iterable[ArchiveMember], directory: Path, blob: Path, what: str, limits: Limits
) -> WrittenLayer:
    """As `write_layer`, of members from which the archive is made here. Nothing is synced.

    Raises ValueError if the length of a member's data differs from the entry's size.
    """
    from unionfs.tar.indexer import TarIndexer

    directory.mkdir()
    meter = Meter(limits, directory, what)
    with _reported(what, directory), TarIndexer(directory / LAYER_INDEX) as indexer:
        tar = LayerFile(directory / LAYER_TAR, lambda part: meter.gave(len(part)))
        try:
            size = _write_members(members, tar, indexer)
            diff_id, _ = tar.finish(durable=False)
            indexer.finish(size=size, durable=False)
        finally:
            tar.close()
    link_or_copy(directory / LAYER_TAR, blob)
    return WrittenLayer(diff_id, size, diff_id, size, "none", directory, blob)


def _write_members(members: Iterable[ArchiveMember], tar: LayerFile, indexer: TarIndexer) -> int:
    """Write an archive and its index; the size of the archive."""
    from unionfs.tar.made_member import made_member
    from unionfs.tar.writer import BLOCK, END, FileContents, check_size, encode_member, padding

    at = 0
    for entry, data in members:
        header = encode_member(entry)
        tar.write(header)
        indexer.add(made_member(entry, at, at + len(header)))
        written = 0
        if isinstance(data, FileContents):
            descriptor = data.open()
            try:
                written = tar.read_from(descriptor, data.size)
            finally:
                os.close(descriptor)
        else:
            for piece in data:
                tar.write(piece)
                written += len(piece)
        check_size(entry, written)
        if written % BLOCK:
            tar.write(padding(written))
        at += len(header) + written + -written % BLOCK
    tar.write(END)
    return at + len(END)


def _write_archive(
    pieces: Iterable[bytes], directory: Path, meter: Meter, what: str
) -> tuple[str, int]:
    """Make `directory` with an archive and its index: the digest and the size of the archive."""
    from unionfs.tar.indexer import TarIndexer

    directory.mkdir()
    with _reported(what, directory), TarIndexer(directory / LAYER_INDEX) as indexer:

        def index(part: memoryview) -> None:
            indexer.feed(part)
            # A sparse file of terabytes is refused by its header, not when the disk is full.
            meter.expect(indexer.promised)

        tar = LayerFile(directory / LAYER_TAR, index)
        try:
            for piece in pieces:
                tar.write(piece)
            found = tar.finish(durable=True)
            indexer.finish()
        finally:
            tar.close()
    return found


@contextmanager
def _reported(what: str, directory: Path) -> Iterator[None]:
    """Raises InvalidDocumentError for an archive that is not sound, OSError for an index that cannot be written."""
    import sqlite3

    from unionfs.tar.format import TarError
    from unionfs.tar.index import as_os_error

    try:
        yield
    except TarError as error:
        raise InvalidDocumentError(f"{what} is not a valid layer: {error}") from error
    except sqlite3.OperationalError as error:
        raise as_os_error(error, directory) from error


def _read_exactly(read: Read, size: int) -> bytes:
    """`size` bytes, or what there is until the end."""
    data = b""
    while len(data) < size and (piece := read(size - len(data))):
        data += piece
    return data


def _prefixed(head: bytes, read: Read) -> Read:
    """`read` with `head` put back in front."""
    waiting = [head] if head else []

    def read_on(size: int) -> bytes:
        return waiting.pop() if waiting else read(size)

    return read_on


def _teed(read: Read, sink: _Sink | None) -> Read:
    """`read` that also gives what it returns to a sink."""
    if sink is None:
        return read

    def read_and_put(size: int) -> bytes:
        piece = read(max(size, PIECE))
        if piece:
            sink.put(piece)
        return piece

    return read_and_put
