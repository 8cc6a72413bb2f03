"""Writes files of the store into a tar archive or a directory, atomically.

What is written is hashed on the way, so that damage in the store or source is found when it is written and
not when it is read.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rootless.durable import (
    TEMPORARY_PREFIX,
    fsync_directory,
    remove_tree,
    replace_file,
    write_all,
)
from rootless.errors import ExistsError, IntegrityError
from rootless.oci.digest import sha256_digest
from rootless.store.counting import Moved
from rootless.store.decompression import Read

_PIECE = 1 << 20
_AGAIN = "remove the image and load or pull it again"


class File(NamedTuple):
    """One file: bytes at hand, a path, or what opens a reader of it, whose content has `digest`."""

    name: str
    size: int
    content: bytes | Path | Callable[[], Read]
    digest: str


def file_of(name: str, content: bytes) -> File:
    """A file of bytes at hand."""
    return File(name, len(content), content, sha256_digest(content))


def pieces(file: File) -> Iterator[bytes]:
    """The content. Raises IntegrityError if it does not match its digest; by then it has been
    given out."""
    if isinstance(file.content, bytes):
        yield file.content
    elif isinstance(file.content, Path):
        try:
            stream = file.content.open("rb", buffering=0)
        except OSError as error:
            raise IntegrityError(
                f"cannot read {file.content}: {error.strerror}", hint=_AGAIN
            ) from None
        with stream:
            yield from _checked(stream.read, file, str(file.content))
    else:
        yield from _checked(file.content(), file, file.name)


def _checked(read: Read, file: File, where: str) -> Iterator[bytes]:
    import hashlib

    digest, left = hashlib.sha256(), file.size
    while left and (piece := read(min(_PIECE, left))):
        digest.update(piece)
        left -= len(piece)
        yield piece
    if left or f"sha256:{digest.hexdigest()}" != file.digest or read(1):
        raise IntegrityError(
            f"{where} is damaged: it is not {file.digest} of {file.size} bytes",
            hint=_AGAIN,
        )


def write_tar(files: Sequence[File], fd: int, moved: Moved | None = None) -> None:
    """A ustar archive; nothing in it depends on when or by whom it was written. `moved` is called with
    the size of each piece of a file."""
    made: set[str] = set()
    for file in files:
        for directory in _parents(file.name):
            # containers/image gives directories that it has to invent to root, which fails for
            # others.
            if directory not in made:
                made.add(directory)
                parent = tarfile.TarInfo(directory)
                parent.type, parent.mode = tarfile.DIRTYPE, 0o755
                write_all(fd, parent.tobuf(tarfile.GNU_FORMAT))
        header = tarfile.TarInfo(file.name)
        header.size, header.mode = file.size, 0o644
        write_all(fd, header.tobuf(tarfile.GNU_FORMAT))
        for piece in pieces(file):
            write_all(fd, piece)
            if moved is not None:
                moved(len(piece))
        write_all(fd, bytes(-file.size % tarfile.BLOCKSIZE))
    write_all(fd, bytes(2 * tarfile.BLOCKSIZE))


def _parents(name: str) -> list[str]:
    """`a`, `a/b` for `a/b/c`."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def put(file: File, directory: Path) -> None:
    """Write a file beneath a directory; it appears whole. One that is there already stays: files here
    are named by their content. A copy, never a link: a user who writes to their file must not write to
    the store."""
    target = directory / file.name
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)

    def write(fd: int) -> None:
        for piece in pieces(file):
            write_all(fd, piece)

    replace_file(target, write)


def require_only(directory: Path, known: Callable[[str], bool], what: str) -> None:
    """Raise ExistsError unless all that a directory holds is of names that `known` accepts, or
    temporary: what a killed writer of `what` leaves."""
    for path in directory.iterdir():
        if not (known(path.name) or path.name.startswith(TEMPORARY_PREFIX)):
            raise ExistsError(f"{directory} exists already and is not {what}")


def new_file(path: Path, write: Callable[[int], None], mode: int = 0o600) -> None:
    """Replace a regular file as a whole; anything else (a pipe, /dev/stdout) is written to as it
    is. The mode is what docker gives its archives: an image may hold secrets."""
    if path.exists() and not path.is_file():
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write(fd)
        finally:
            os.close(fd)
        return
    replace_file(path, write, mode)


def new_directory(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a directory that appears whole. Raises ExistsError."""
    if path.exists():
        raise ExistsError(f"{path} exists already", hint="name a directory that does not exist")
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.urandom(6).hex()}"
    temporary.mkdir()
    try:
        fill(temporary)
        fsync_directory(temporary)
        os.rename(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise
    fsync_directory(path.parent)
