"""A file or directory of a container as a tar archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rootless.durable import write_all
from rootless.rootfs.copy_object import xattrs_of
from rootless.rootfs.copy_source import SourceDirectory, opened_file
from unionfs.directory.lower import attributes_of
from unionfs.tar.writer import TarEntry, archive

if TYPE_CHECKING:
    from rootless.rootfs.copy_places import Source
    from rootless.rootfs.copy_source import SourceFile
    from rootless.rootfs.upper_files import UpperFiles

_PIECE = 1 << 20
_OUTPUT = 1 << 16


def write_archive(source: Source, output: int, files: UpperFiles | None = None) -> int:
    """Write a file, or a directory with what is in it, as a tar archive to a descriptor; returns its bytes.
    Files of a directory are read in `files` where they can be. Raises OSError."""
    return _write(archive(_members(source, files)), output)


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


def _members(
    source: Source, files: UpperFiles | None
) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    """The members of the archive: the name of the source, and what is below it."""
    name = b"" if source.is_contents else os.fsencode(source.name)
    found = os.fstat(source.place)
    if stat.S_ISDIR(found.st_mode):
        yield from _directory(SourceDirectory.reopen(source.place, files), name, {})
    elif stat.S_ISREG(found.st_mode):
        place = os.open(f"/proc/self/fd/{source.place}", os.O_RDONLY | os.O_CLOEXEC)
        yield from _file(opened_file(place), name)
    else:
        target = os.readlink("", dir_fd=source.place) if stat.S_ISLNK(found.st_mode) else ""
        yield TarEntry(name, attributes_of(found), os.fsencode(target)), iter(())


def _directory(
    directory: SourceDirectory, path: bytes, links: dict[tuple[int, int], bytes]
) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    """A directory and what is below it. Closes it."""
    place = directory.descriptor
    try:
        xattrs = _encoded(xattrs_of(place))
        yield TarEntry(path, attributes_of(os.fstat(place)), xattrs=xattrs), iter(())
        prefix = path + b"/" if path else b""
        for name in sorted(os.listdir(place)):
            yield from _child(directory, name, prefix + os.fsencode(name), links)
    finally:
        directory.close()


def _file(file: SourceFile, path: bytes) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    """A regular file. Closes it."""
    try:
        if stat.S_ISREG(file.found.st_mode):  # nothing else has taken its place
            entry = TarEntry(path, attributes_of(file.found), xattrs=_encoded(file.xattrs))
            yield entry, _contents(file.descriptor, file.found.st_size)
    finally:
        os.close(file.descriptor)


def _child(
    directory: SourceDirectory, name: str, path: bytes, links: dict[tuple[int, int], bytes]
) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    place = directory.descriptor
    try:
        found = os.stat(name, dir_fd=place, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind != stat.S_IFDIR and found.st_nlink > 1:
            first = links.setdefault((found.st_dev, found.st_ino), path)
            if first != path:
                yield TarEntry(path, attributes_of(found), hard_link=first), iter(())
                return
        if kind == stat.S_IFREG:
            members = _file(directory.open_file(name, found), path)
        elif kind == stat.S_IFDIR:
            members = _directory(directory.enter(name), path, links)
        elif kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(name, dir_fd=place))
            yield TarEntry(path, attributes_of(found), target), iter(())
            return
        elif kind == stat.S_IFSOCK:
            return
        else:
            yield TarEntry(path, attributes_of(found)), iter(())
            return
    except FileNotFoundError:
        return  # it was removed meanwhile
    yield from members


def _encoded(xattrs: dict[str, bytes]) -> dict[bytes, bytes]:
    return {os.fsencode(name): value for name, value in xattrs.items()}


def _contents(file: int, size: int) -> Iterator[bytes]:
    """As many bytes as the header says, also of a file that changes meanwhile."""
    left = size
    while left:
        data = os.read(file, min(_PIECE, left)) or bytes(min(_PIECE, left))
        left -= len(data)
        yield data
