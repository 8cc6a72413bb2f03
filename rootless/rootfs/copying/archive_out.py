"""Writes a file or directory of a container as a tar archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rootless.durable import write_all
from rootless.rootfs.copying.object import xattrs_of
from rootless.rootfs.copying.records import recorded_owner
from rootless.rootfs.copying.source import SourceDirectory, opened_file
from unionfs.model import attributes_of, with_owner
from unionfs.tar.writer import TarEntry, archive

if TYPE_CHECKING:
    from typing import TypeAlias

    from rootless.rootfs.copying.places import Source
    from rootless.rootfs.copying.source import SourceFile
    from rootless.rootfs.copying.upper_files import UpperFiles
    from unionfs.model import Attributes

    Member: TypeAlias = tuple[TarEntry, Iterator[bytes]]

_PIECE = 1 << 20
_OUTPUT = 1 << 16
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def write_archive(
    source: Source,
    output: int,
    files: UpperFiles | None = None,
    *,
    with_records: bool = False,
) -> int:
    """Write a file, or a directory with what is in it, as a tar archive to a descriptor; returns its bytes.
    Raises OSError.

    Args:
        files: where files of a directory are read if they can be.
        with_records: write the owners that are stored where the file system shows one id only
            (`unionfs.xattr_names.OWNER`).
    """
    return _write(archive(_Members(files, with_records=with_records).of(source)), output)


def _write(pieces: Iterator[bytes], output: int) -> int:
    """Small pieces are gathered: a member is several."""
    size, gathered = 0, bytearray()
    for piece in pieces:
        size += len(piece)
        gathered += piece
        if len(gathered) >= _OUTPUT:
            write_all(output, bytes(gathered))
            gathered.clear()
    write_all(output, bytes(gathered))
    return size


class _Members:
    """Makes the members of one archive."""

    def __init__(self, files: UpperFiles | None, *, with_records: bool) -> None:
        self._files = files
        self._with_records = with_records
        self._links: dict[tuple[int, int], bytes] = {}
        """The first name of each object that may have others, by device and inode."""

    def of(self, source: Source) -> Iterator[Member]:
        """The source, and what is below it."""
        name = b"" if source.is_contents else os.fsencode(source.name)
        found = os.fstat(source.place)
        if stat.S_ISDIR(found.st_mode):
            yield from self._directory(SourceDirectory.reopen(source.place, self._files), name)
        elif stat.S_ISREG(found.st_mode):
            place = os.open(f"/proc/self/fd/{source.place}", os.O_RDONLY | os.O_CLOEXEC)
            yield from self._file(opened_file(place), name)
        else:
            yield self._special(source.place, name, found)

    def _directory(self, directory: SourceDirectory, path: bytes) -> Iterator[Member]:
        """A directory and what is below it. Closes it."""
        place = directory.descriptor
        try:
            attributes = self._attributes(place, os.fstat(place))
            yield TarEntry(path, attributes, xattrs=_encoded(xattrs_of(place))), iter(())
            prefix = path + b"/" if path else b""
            for name in sorted(directory.names()):
                yield from self._child(directory, name, prefix + os.fsencode(name))
        finally:
            directory.close()

    def _file(self, file: SourceFile, path: bytes) -> Iterator[Member]:
        """A regular file. Closes it."""
        try:
            if stat.S_ISREG(file.found.st_mode):  # nothing else has taken its place
                attributes = self._attributes(file.descriptor, file.found)
                entry = TarEntry(path, attributes, xattrs=_encoded(file.xattrs))
                yield entry, _contents(file.descriptor, file.found.st_size)
        finally:
            os.close(file.descriptor)

    def _child(self, directory: SourceDirectory, name: str, path: bytes) -> Iterator[Member]:
        try:
            found = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
            kind = stat.S_IFMT(found.st_mode)
            if kind != stat.S_IFDIR and found.st_nlink > 1:
                first = self._links.setdefault((found.st_dev, found.st_ino), path)
                if first != path:
                    yield self._hard_link(directory, name, path, found, first)
                    return
            if kind == stat.S_IFREG:
                members = self._file(directory.open_file(name, found), path)
            elif kind == stat.S_IFDIR:
                members = self._directory(directory.enter(name), path)
            elif kind == stat.S_IFSOCK:
                return
            else:
                members = iter([self._special_named(directory, name, path)])
        except FileNotFoundError:
            return  # it was removed meanwhile
        yield from members

    def _special(self, place: int, path: bytes, found: os.stat_result) -> Member:
        """A symbolic link, a device or a FIFO, by an O_PATH descriptor."""
        target = os.readlink("", dir_fd=place) if stat.S_ISLNK(found.st_mode) else ""
        return TarEntry(path, self._attributes(place, found), os.fsencode(target)), iter(())

    def _special_named(self, directory: SourceDirectory, name: str, path: bytes) -> Member:
        place = os.open(name, _PLACE, dir_fd=directory.descriptor)
        try:
            return self._special(place, path, os.fstat(place))
        finally:
            os.close(place)

    def _hard_link(
        self,
        directory: SourceDirectory,
        name: str,
        path: bytes,
        found: os.stat_result,
        first: bytes,
    ) -> Member:
        attributes = attributes_of(found)
        if self._with_records:
            place = os.open(name, _PLACE, dir_fd=directory.descriptor)
            try:
                attributes = self._attributes(place, found)
            finally:
                os.close(place)
        return TarEntry(path, attributes, hard_link=first), iter(())

    def _attributes(self, place: int, found: os.stat_result) -> Attributes:
        attributes = attributes_of(found)
        owner = recorded_owner(place) if self._with_records else None
        return attributes if owner is None else with_owner(attributes, attributes.mode, *owner)


def _encoded(xattrs: dict[str, bytes]) -> dict[bytes, bytes]:
    return {os.fsencode(name): value for name, value in xattrs.items()}


def _contents(file: int, size: int) -> Iterator[bytes]:
    """As many bytes as the header says, also of a file that changes meanwhile."""
    left = size
    while left:
        data = os.read(file, min(_PIECE, left)) or bytes(min(_PIECE, left))
        left -= len(data)
        yield data
