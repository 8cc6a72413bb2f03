"""Reproducible tar archives, for commit, save and export: the same tree gives the same bytes.

Headers are ustar; a pax extended header precedes a member only for what ustar cannot express: long
names, times with fractions or before 1970, large numbers, extended attributes. Headers hold no user
names, process ids or current times, and `layer_archive` writes names in order.

Names are written as bytes, unchanged. `hdrcharset=BINARY` precedes a pax record whose bytes are not
UTF-8 (POSIX.1-2017 pax(1)).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import major, minor

from unionfs.layer import Layer, LayerEntry, Mark, OpenFile
from unionfs.light_types import NamedTuple
from unionfs.model import Attributes
from unionfs.xattr_names import with_acl_in_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_CHUNK = 1 << 20
_NANOSECONDS = 1_000_000_000
_NO_XATTRS: Mapping[bytes, bytes] = {}
_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_MARK = Attributes(0, stat.S_IFREG, 1, 0, 0, 0, 0, 0, 0, 0, 0)


class TarEntry(NamedTuple):
    """One member. `path` is relative, without a trailing slash; b"" is the root.

    `hard_link` is the path of the member, written before, whose inode this name shares; such a
    member has no data.
    """

    path: bytes
    attributes: Attributes
    target: bytes = b""
    hard_link: bytes | None = None
    xattrs: Mapping[bytes, bytes] = _NO_XATTRS


class FileContents:
    """The first `size` bytes of the file of a descriptor, or fewer if it is shorter: in pieces, or read by another object
    straight into its own memory. `open` is called when the first is asked for; the descriptor is the caller's to close."""

    __slots__ = ("open", "size")

    def __init__(self, open_file: Callable[[], int], size: int) -> None:
        self.open = open_file
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        descriptor = self.open()
        try:
            left = self.size
            while left > 0 and (piece := os.read(descriptor, min(left, _CHUNK))):
                left -= len(piece)
                yield piece
        finally:
            os.close(descriptor)


ArchiveMember: TypeAlias = tuple[TarEntry, Iterable[bytes]]
"""A member with its data, which is empty except for regular files."""


def whiteout(path: bytes) -> TarEntry:
    """The OCI whiteout of `path`."""
    directory, slash, name = path.rpartition(b"/")
    return TarEntry(directory + slash + b".wh." + name, _MARK)


def opaque(path: bytes) -> TarEntry:
    """The OCI opaque whiteout of the directory `path`."""
    return TarEntry(path + b"/.wh..wh..opq" if path else b".wh..wh..opq", _MARK)


def encode_member(entry: TarEntry) -> bytes:
    """The header blocks of a member; its data follows, and `padding`. Raises ValueError for a file
    type that tar does not have."""
    attributes = entry.attributes
    kind = _TYPES.get(stat.S_IFMT(attributes.mode))
    if kind is None:
        raise ValueError(f"no tar member for mode {attributes.mode:#o}")
    path = member_path(entry)
    target = entry.target if kind == b"2" else b""
    if entry.hard_link is not None:
        kind, target = b"1", entry.hard_link
    size = attributes.size if kind == b"0" else 0
    records: dict[bytes, bytes] = {}
    prefix, name = _split(path)
    if not name:
        records[b"path"] = path
        prefix, name = b"", path[:100].rstrip(b"/")
    if len(target) > 100:
        records[b"linkpath"] = target
    seconds, fraction = divmod(attributes.mtime_ns, _NANOSECONDS)
    if fraction or not 0 <= seconds < 1 << 33:
        records[b"mtime"] = _time(attributes.mtime_ns)
        seconds = min(max(seconds, 0), (1 << 33) - 1)
    numbers = {b"uid": attributes.uid, b"gid": attributes.gid, b"size": size}
    for key, value in numbers.items():
        if value >= 1 << (33 if key == b"size" else 21):
            records[key] = b"%d" % value
            numbers[key] = 0
    for key, value_bytes in entry.xattrs.items():
        # As GNU tar escapes these two characters.
        records[b"SCHILY.xattr." + key.replace(b"%", b"%25").replace(b"=", b"%3D")] = value_bytes
    device = attributes.rdev if kind in b"34" else 0
    header = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (attributes.mode & 0o7777, numbers[b"uid"], numbers[b"gid"]),
            b"%011o\0%011o\0" % (numbers[b"size"], seconds),
            b" " * 8,
            kind,
            target[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % (major(device), minor(device)),
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return _extension(name, records) + sealed(header)


def member_path(entry: TarEntry) -> bytes:
    """The name of a member in the archive: that of a directory ends with a slash."""
    if stat.S_ISDIR(entry.attributes.mode) and entry.path:
        return entry.path + b"/"
    return entry.path or b"./"


def padding(size: int) -> bytes:
    """The bytes that fill the last block after `size` bytes of data."""
    return bytes(-size % BLOCK)


def archive(members: Iterable[ArchiveMember]) -> Iterator[bytes]:
    """An archive, in pieces.

    Raises ValueError if the length of the data differs from the entry's size.
    """
    for entry, data in members:
        yield encode_member(entry)
        written = 0
        for piece in data:
            written += len(piece)
            yield piece
        check_size(entry, written)
        yield padding(written)
    yield END


def check_size(entry: TarEntry, written: int) -> None:
    """Raises ValueError if the data of a member had another size than the entry says."""
    is_regular = stat.S_ISREG(entry.attributes.mode) and entry.hard_link is None
    expected = entry.attributes.size if is_regular else 0
    if written != expected:
        raise ValueError(f"{entry.path!r} has {written} bytes of data instead of {expected}")


def layer_archive(layer: Layer) -> Iterator[bytes]:
    """A layer as an archive: names in order, hard links by node number, whiteouts in their OCI forms.
    Sockets are left out, as by tar(1)."""
    return archive(_members(layer))


def _members(layer: Layer) -> Iterator[ArchiveMember]:
    first_names: dict[int, bytes] = {}
    pending: list[tuple[bytes, LayerEntry]] = [(b"", layer.root())]
    while pending:
        path, found = pending.pop()
        if found.mark is Mark.WHITEOUT:
            yield whiteout(path), ()
            continue
        attributes = found.attributes
        kind = stat.S_IFMT(attributes.mode)
        if kind == stat.S_IFSOCK:
            continue
        if kind != stat.S_IFDIR and attributes.nlink > 1:
            first = first_names.setdefault(attributes.ino, path)
            if first != path:
                yield TarEntry(path, attributes, hard_link=first), ()
                continue
        target = layer.readlink(found.ref) if kind == stat.S_IFLNK else b""
        data = (
            contents(partial(layer.open, found.ref), attributes.size)
            if kind == stat.S_IFREG
            else ()
        )
        yield (
            TarEntry(
                path,
                attributes,
                target,
                None,
                with_acl_in_step(layer.xattrs(found.ref), attributes.mode),
            ),
            data,
        )
        if kind == stat.S_IFDIR:
            if found.mark is Mark.OPAQUE:
                yield opaque(path), ()
            below = path + b"/" if path else b""
            children = [(below + name, entry) for name, entry in layer.listing(found.ref)]
            # `pending` is a stack.
            pending.extend(sorted(children, key=lambda child: child[0], reverse=True))


def contents(open_file: Callable[[], OpenFile], size: int) -> Iterator[bytes]:
    """The first `size` bytes of a regular file, or fewer if it is shorter, in pieces. The file is opened
    when the first is asked for."""
    file = open_file()
    try:
        offset = 0
        while offset < size:
            piece = file.read(offset, min(_CHUNK, size - offset))
            if not piece:
                return
            offset += len(piece)
            yield piece
    finally:
        file.close()


def _split(path: bytes) -> tuple[bytes, bytes]:
    """A path as ustar's prefix and name; an empty name if it does not fit."""
    if len(path) <= 100:
        return b"", path
    slash = path.find(b"/", len(path) - 101, len(path) - 1)
    return (path[:slash], path[slash + 1 :]) if 0 < slash <= 155 else (b"", b"")


def _time(nanoseconds: int) -> bytes:
    whole, fraction = divmod(abs(nanoseconds), _NANOSECONDS)
    text = b"%s%d.%09d" % (b"-" if nanoseconds < 0 else b"", whole, fraction)
    return text.rstrip(b"0").rstrip(b".")


def _extension(name: bytes, records: dict[bytes, bytes]) -> bytes:
    """The extended header with `records`, or nothing."""
    if not records:
        return b""
    texts = [pax_record(key, value) for key, value in sorted(records.items())]
    try:
        for key in (b"path", b"linkpath"):
            records.get(key, b"").decode()
    except UnicodeDecodeError:
        texts.insert(0, pax_record(b"hdrcharset", b"BINARY"))
    data = b"".join(texts)
    header = b"".join(
        (
            (b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2])[:100].ljust(100, b"\0"),
            b"0000644\x000000000\x000000000\0",
            b"%011o\0%011o\0" % (len(data), 0),
            b" " * 8,
            b"x",
            bytes(100),
            b"ustar\x0000",
            bytes(64),
            b"0000000\x000000000\0",
            bytes(167),
        )
    )
    return sealed(header) + data + padding(len(data))


def pax_record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def sealed(header: bytes) -> bytes:
    """A header, whose checksum is blanks, with its checksum: six digits, NUL, space."""
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]
