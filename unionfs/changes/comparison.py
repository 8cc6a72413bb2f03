"""Compares two trees: the changes that make one of them the other. Times are not compared."""

from __future__ import annotations

import os
import stat

from unionfs.layer import Layer, LayerEntry, OpenFile

_PIECE = 1 << 20


def compare(old: Layer, new: Layer) -> list[tuple[str, bytes]]:
    """(A, C or D, relative path) in the order of names; a directory in which something differs is
    listed as changed, as by docker diff. What a deleted directory held is not listed.

    Files that lie at the same place in the same archive are equal without being read.
    """
    found: dict[bytes, str] = {}
    pending = [(b"", old.root(), new.root())]
    while pending:
        path, mine, theirs = pending.pop()
        before, after = dict(old.listing(mine.ref)), dict(new.listing(theirs.ref))
        prefix = path + b"/" if path else b""
        for name in before.keys() - after.keys():
            found[prefix + name] = "D"
        for name in after.keys() - before.keys():
            _add_all(new, prefix + name, after[name], found)
        for name in before.keys() & after.keys():
            here, one, other = prefix + name, before[name], after[name]
            if _differ(old, one, new, other):
                found[here] = "C"
            if _is_directory(one) and _is_directory(other):
                pending.append((here, one, other))
            elif _is_directory(other):
                _add_all(new, here, other, found)
                found[here] = "C"
    for path in list(found):
        # One that is there already has, or gets, what is above it by itself.
        while (path := path.rpartition(b"/")[0]) and path not in found:
            found[path] = "C"
    return [(found[path], path) for path in sorted(found, key=lambda path: path.split(b"/"))]


def _add_all(layer: Layer, path: bytes, entry: LayerEntry, found: dict[bytes, str]) -> None:
    pending = [(path, entry)]
    while pending:
        here, each = pending.pop()
        found[here] = "A"
        if _is_directory(each):
            pending.extend((here + b"/" + name, inner) for name, inner in layer.listing(each.ref))


def _is_directory(entry: LayerEntry) -> bool:
    return stat.S_ISDIR(entry.attributes.mode)


def _differ(old: Layer, one: LayerEntry, new: Layer, other: LayerEntry) -> bool:
    a, b = one.attributes, other.attributes
    if (a.mode, a.uid, a.gid, a.rdev) != (b.mode, b.uid, b.gid, b.rdev):
        return True
    if old.xattrs(one.ref) != new.xattrs(other.ref):
        return True
    if stat.S_ISLNK(a.mode):
        return old.readlink(one.ref) != new.readlink(other.ref)
    if not stat.S_ISREG(a.mode):
        return False
    return a.size != b.size or _contents_differ(old.open(one.ref), new.open(other.ref), a.size)


def _contents_differ(first: OpenFile, second: OpenFile, size: int) -> bool:
    try:
        if _location(first) is not None and _location(first) == _location(second):
            return False
        offset = 0
        while offset < size:
            mine, theirs = first.read(offset, _PIECE), second.read(offset, _PIECE)
            if mine != theirs:
                return True
            if not mine:
                return False
            offset += len(mine)
        return False
    finally:
        first.close()
        second.close()


def _location(file: OpenFile) -> tuple[int, int, int] | None:
    """Device, inode and position of the contents in a real file."""
    backing = file.backing()
    if backing is None:
        return None
    status = os.fstat(backing[0])
    return status.st_dev, status.st_ino, backing[1]
