"""The source of an image: a file, a directory or a pipe, compressed or not, opened as members by
name.

Archives are read in any order, so what cannot be seeked in, or is compressed as a whole, is written
once to a temporary file in the store first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rootless.durable import write_all
from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.images.formats.members import DirectoryMembers, Members, TarMembers
from rootless.store.decompression import (
    MAGIC_SIZE,
    Limits,
    Meter,
    Read,
    compression_of,
    decompressed,
)


@contextmanager
def open_source(path: Path | int, spool: Path, limits: Limits) -> Iterator[Members]:
    """The members at a path, or at a descriptor (a pipe; it stays open). `spool` is a directory for
    a temporary file.

    Raises NotFoundError, InvalidDocumentError.
    """
    label = str(path) if isinstance(path, Path) else "the archive on standard input"
    if isinstance(path, Path) and path.is_dir():
        with DirectoryMembers(path, label) as directory:
            yield directory
        return
    fd = _open_file(path, label)
    try:
        # pread(2) fails on a pipe, which is the question.
        seekable = stat.S_ISREG(os.fstat(fd).st_mode)
        head = os.pread(fd, MAGIC_SIZE, 0) if seekable else b""
        if seekable and isinstance(path, Path) and compression_of(head) == "none":
            yield TarMembers(fd, label)
            return
        spooled = _spool(fd, spool, label, limits)
    finally:
        if isinstance(path, Path):
            os.close(fd)
    try:
        yield TarMembers(spooled, label)
    finally:
        os.close(spooled)


def _open_file(path: Path | int, label: str) -> int:
    if isinstance(path, int):
        if os.isatty(path):
            raise UsageError(
                "no archive: standard input is a terminal",
                hint="use -i FILE or redirect from a file",
            )
        return path
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"open {label}: no such file or directory") from None
    except OSError as error:
        raise InvalidDocumentError(f"cannot read {label}: {error.strerror}") from error


def _spool(fd: int, directory: Path, label: str, limits: Limits) -> int:
    """The decompressed stream in a nameless file."""
    target = directory / "spool"
    spooled = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(target)
    try:
        for piece in plain_stream(lambda size: os.read(fd, size), directory, label, limits):
            write_all(spooled, piece)
    except BaseException:
        os.close(spooled)
        raise
    return spooled


def plain_stream(
    read: Read, directory: Path, label: str, limits: Limits, *, or_nothing: bool = False
) -> Iterator[bytes]:
    """A stream without its compression, whichever it has. Raises InvalidDocumentError, also for one of no
    bytes unless `or_nothing`, for which that is the archive of no file.
    """
    head = b""
    while len(head) < MAGIC_SIZE and (piece := read(MAGIC_SIZE - len(head))):
        head += piece
    if not head:
        if or_nothing:
            yield bytes(1024)
            return
        raise InvalidDocumentError(f"{label} is empty")
    waiting = [head]

    def read_on(size: int) -> bytes:
        return waiting.pop() if waiting else read(size)

    meter = Meter(limits, directory, label)
    yield from decompressed(read_on, compression_of(head), meter, label)
