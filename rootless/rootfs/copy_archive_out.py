"""A file or directory of a container as a tar archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rootless.durable import write_all
from rootless.rootfs.copy_object import xattrs_of
from unionfs.directory.lower import attributes_of
from unionfs.tar.writer import TarEntry, archive

if TYPE_CHECKING:
    from rootless.rootfs.copy_places import Source

_PIECE = 1 << 20
_OUTPUT = 1 << 16
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write_archive(source: Source, output: int) -> int:
    """Write a file, or a directory with what is in it, as a tar archive to a descriptor; returns its bytes.
    Raises OSError."""
    return _write(archive(_members(source)), output)


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


def _members(source: Source) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    """The members of the archive: the name of the source, and what is below it."""
    name = b"" if source.is_contents else os.fsencode(source.name)
    found = os.fstat(source.place)
    if stat.S_ISDIR(found.st_mode):
        place = os.open(".", _LIST, dir_fd=source.place)
    elif stat.S_ISREG(found.st_mode):
        place = os.open(f"/proc/self/fd/{source.place}", os.O_RDONLY | os.O_CLOEXEC)
    else:
        target = os.readlink("", dir_fd=source.place) if stat.S_ISLNK(found.st_mode) else ""
        yield TarEntry(name, attributes_of(found), os.fsencode(target)), iter(())
        return
    yield from _opened(place, name, {})


def _opened(
    place: int, path: bytes, links: dict[tuple[int, int], bytes]
) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    """The members of a file or directory that is open. Closes it."""
    try:
        found = os.fstat(place)
        xattrs = {os.fsencode(name): value for name, value in xattrs_of(place).items()}
        entry = TarEntry(path, attributes_of(found), xattrs=xattrs)
        if stat.S_ISREG(found.st_mode):
            yield entry, _contents(place, found.st_size)
        elif stat.S_ISDIR(found.st_mode):
            yield entry, iter(())
            prefix = path + b"/" if path else b""
            for name in sorted(os.listdir(place)):
                yield from _child(place, name, prefix + os.fsencode(name), links)
    finally:
        os.close(place)


def _child(
    directory: int, name: str, path: bytes, links: dict[tuple[int, int], bytes]
) -> Iterator[tuple[TarEntry, Iterator[bytes]]]:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind != stat.S_IFDIR and found.st_nlink > 1:
            first = links.setdefault((found.st_dev, found.st_ino), path)
            if first != path:
                yield TarEntry(path, attributes_of(found), hard_link=first), iter(())
                return
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            place = os.open(name, _LIST if kind == stat.S_IFDIR else _READ, dir_fd=directory)
        elif kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(name, dir_fd=directory))
            yield TarEntry(path, attributes_of(found), target), iter(())
            return
        elif kind == stat.S_IFSOCK:
            return
        else:
            yield TarEntry(path, attributes_of(found)), iter(())
            return
    except FileNotFoundError:
        return  # it was removed meanwhile
    yield from _opened(place, path, links)


def _contents(file: int, size: int) -> Iterator[bytes]:
    """As many bytes as the header says, also of a file that changes meanwhile."""
    left = size
    while left:
        data = os.read(file, min(_PIECE, left)) or bytes(min(_PIECE, left))
        left -= len(data)
        yield data
