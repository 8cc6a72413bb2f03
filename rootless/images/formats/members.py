"""The members of an image archive, by name, in any order; and the same over a directory.

Nothing is unpacked: a member is a range of the archive file. Names are taken beneath the archive,
whatever they say: `..` that leads out is refused, links (old `docker save` made layers links of one
another) are followed within the archive only.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from rootless.errors import InvalidDocumentError, NotFoundError
from rootless.oci.document import MAX_DOCUMENT_SIZE
from rootless.store.decompression import Read

MAX_MEMBERS = 100_000
_MAX_LINKS = 40  # the kernel's own bound (ELOOP)


class Members(Protocol):
    """Files by name. `label` names the archive in errors."""

    label: str

    def has(self, name: str) -> bool:
        """Whether there is a regular file (or a link to one) of this name."""

    def size(self, name: str) -> int:
        """Its size in bytes. Raises NotFoundError."""

    def reader(self, name: str) -> Read:
        """Its content from the beginning; readers are independent of each other. Raises
        NotFoundError."""


def read_small(members: Members, name: str) -> bytes:
    """A document of an archive. Raises NotFoundError, InvalidDocumentError if it is too large or
    cut off."""
    size = members.size(name)
    if size > MAX_DOCUMENT_SIZE:
        raise InvalidDocumentError(f"{name} in {members.label} is too large: {size} bytes")
    read = members.reader(name)
    data = b""
    while len(data) < size and (piece := read(size - len(data))):
        data += piece
    return data


class _Range(NamedTuple):
    offset: int
    size: int


class TarMembers:
    """The members of an uncompressed tar at an open, seekable file. The descriptor is the
    caller's."""

    def __init__(self, fd: int, label: str) -> None:
        self.label = label
        self._fd = fd
        self._files: dict[str, _Range] = {}
        self._links: dict[str, str] = {}
        try:
            self._scan()
        except tarfile.TarError as error:
            raise InvalidDocumentError(f"{label} is not a readable tar archive: {error}") from error

    def _scan(self) -> None:
        end = os.lseek(self._fd, 0, os.SEEK_END)
        os.lseek(self._fd, 0, os.SEEK_SET)
        with (
            open(os.dup(self._fd), "rb") as stream,
            tarfile.open(fileobj=stream, mode="r:") as archive,
        ):
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise InvalidDocumentError(
                        f"{self.label} has more than {MAX_MEMBERS} members: not an image archive"
                    )
                # tarfile keeps every header it has seen; they are not needed.
                archive.members.clear()  # type: ignore[attr-defined]
                name = self._normalised(member.name)
                self._files.pop(name, None)
                self._links.pop(name, None)
                if member.issym():
                    self._links[name] = posixpath.join(posixpath.dirname(name), member.linkname)
                elif member.islnk():
                    self._links[name] = member.linkname
                elif member.isreg() and not member.issparse():
                    if member.offset_data + member.size > end:
                        raise InvalidDocumentError(f"{self.label} is truncated within {name}")
                    self._files[name] = _Range(member.offset_data, member.size)

    def _normalised(self, name: str) -> str:
        clean = posixpath.normpath("/" + name).lstrip("/")
        depth = 0
        for part in name.split("/"):
            depth += 0 if part in ("", ".") else -1 if part == ".." else 1
            if depth < 0:
                raise InvalidDocumentError(
                    f"{self.label}: the name {name!r} points outside the archive"
                )
        return clean

    def _find(self, name: str) -> _Range | None:
        name = self._normalised(name)
        for _ in range(_MAX_LINKS):
            if name in self._files:
                return self._files[name]
            if name not in self._links:
                return None
            name = self._normalised(self._links[name])
        raise InvalidDocumentError(f"{self.label}: too many links at {name}")

    def _get(self, name: str) -> _Range:
        found = self._find(name)
        if found is None:
            raise NotFoundError(f"{self.label} has no {name}")
        return found

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def size(self, name: str) -> int:
        return self._get(name).size

    def reader(self, name: str) -> Read:
        offset, size = self._get(name)
        end = offset + size
        fd = self._fd

        def read(count: int) -> bytes:
            nonlocal offset
            piece = os.pread(fd, min(count, end - offset), offset)
            offset += len(piece)
            return piece

        return read


class _Reading:
    """A file from its beginning to the size that it has now; it is closed at its end, because of
    thousands of blobs not all can stay open."""

    __slots__ = ("_fd", "_left")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._left = size

    def __call__(self, count: int) -> bytes:
        piece = os.read(self._fd, min(count, self._left)) if self._fd >= 0 else b""
        self._left -= len(piece)
        if not piece or not self._left:
            self.close()
        return piece

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class DirectoryMembers:
    """The files of a directory tree, opened beneath it only. Use as a context manager."""

    def __init__(self, directory: Path, label: str) -> None:
        self.label = label
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: list[_Reading] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for reading in self._open:
            reading.close()
        os.close(self._root)

    def _descriptor(self, name: str) -> int:
        """Step by step without following links: a layout has none, and none may lead us out."""
        fd = os.dup(self._root)
        try:
            parts = [part for part in name.split("/") if part not in ("", ".")]
            for i, part in enumerate(parts):
                if part == "..":
                    raise InvalidDocumentError(
                        f"{self.label}: the name {name!r} points outside the directory"
                    )
                kind = os.O_DIRECTORY if i < len(parts) - 1 else os.O_NONBLOCK
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind
                following = os.open(part, flags, dir_fd=fd)
                os.close(fd)
                fd = following
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise NotFoundError(f"{self.label} has no {name}") from None
            raise
        except BaseException:
            os.close(fd)
            raise
        return fd

    def has(self, name: str) -> bool:
        try:
            self.size(name)
        except NotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        fd = self._descriptor(name)
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotFoundError(f"{self.label} has no {name}")
        return status.st_size

    def reader(self, name: str) -> Read:
        size = self.size(name)
        reading = _Reading(self._descriptor(name), size)
        self._open.append(reading)
        return reading
