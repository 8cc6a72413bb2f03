"""Lists the changes in a snapshot of a container's files, each with a reader of its contents."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from rootless.changes.change import Aspect, Change, Kind, State, is_within
from unionfs.changes.snapshot import Snapshot
from unionfs.changes.upper import Lower, UpperChange, upper_changes
from unionfs.layer import Extent, OpenFile
from unionfs.nodes import Node
from unionfs.xattr_names import with_acl_in_step

_PIECE = 1 << 20
_BLOCK = 512


class Compared(NamedTuple):
    """A change, and the objects that it is made of."""

    change: Change
    node: Node | None
    lower: Lower | None


def compare(
    snapshot: Snapshot, mountpoints: Collection[bytes] = (), paths: Collection[bytes] = ()
) -> list[Compared]:
    """The changes of a snapshot's upper, a directory before its contents.

    Args:
        mountpoints: Absolute paths. What had to be made to mount there, and for that above it, is left out.
        paths: Paths, relative, that a change has to be at or in, or to come from; empty for all.

    Raises:
        OSError: a layer cannot be read.
    """
    found = upper_changes(snapshot)
    kept = _files_with_the_same_names(found)
    if paths:
        found = [each for each in found if _is_wanted(each, paths)]
    compared = [
        made for each in found if (made := _Comparison(snapshot, each, kept).made()) is not None
    ]
    compared = _without_mountpoints(snapshot, compared, mountpoints)
    return _with_links(compared, _first_names(found))


def _is_wanted(change: UpperChange, paths: Collection[bytes]) -> bool:
    source = change.lower.path if change.moved and change.lower is not None else change.path
    return any(is_within(change.path, path) or is_within(source, path) for path in paths)


class _Comparison:
    def __init__(self, snapshot: Snapshot, change: UpperChange, kept: Collection[int]) -> None:
        self._snapshot = snapshot
        self._change = change
        self._kept = kept
        """Numbers of files with the names that one file of the lowers has."""

    def made(self) -> Compared | None:
        """None for what is as it was."""
        path, node, lower, moved, gone_source = self._change
        before = None if lower is None else lower_state(self._snapshot, lower)
        if node is None:
            return Compared(Change(path, Kind.DELETED, before, None), None, lower)
        after = node_state(self._snapshot, node)
        if gone_source:
            return Compared(Change(path, Kind.MOVED, None, after, (), gone_source), node, None)
        if before is None or lower is None:
            return Compared(Change(path, Kind.CREATED, None, after), node, None)
        aspects = tuple(self._aspects(before, after, node, lower))
        if not moved and not aspects:
            return None
        kind = Kind.MOVED if moved else Kind.CHANGED
        source = lower.path if moved else None
        change = Change(path, kind, before, after, aspects, source)
        return Compared(change._replace(is_replaced=self._is_replaced()), node, lower)

    def _aspects(self, before: State, after: State, node: Node, lower: Lower) -> Iterator[Aspect]:
        if stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode):
            yield Aspect.TYPE
            yield Aspect.CONTENT
        elif not self._is_same_object(before, after, node, lower):
            yield Aspect.CONTENT
        if stat.S_IMODE(before.mode) != stat.S_IMODE(after.mode):
            yield Aspect.MODE
        if self._is_replaced() and (before.nlink > 1 or after.nlink > 1):
            yield Aspect.LINKS
        if (before.uid, before.gid) != (after.uid, after.gid):
            yield Aspect.OWNER
        if before.xattrs != after.xattrs:
            yield Aspect.XATTRS
        if before.mtime_ns != after.mtime_ns:
            yield Aspect.TIMES

    def _is_replaced(self) -> bool:
        _, node, lower, moved, _ = self._change
        if moved or node is None or lower is None or stat.S_ISDIR(node.attributes.mode):
            return False
        ino = node.attributes.ino
        return ino != lower.entry.attributes.ino and ino not in self._kept

    def _is_same_object(self, before: State, after: State, node: Node, lower: Lower) -> bool:
        if (before.target, before.rdev, before.size) != (after.target, after.rdev, after.size):
            return False
        return not after.is_file or self._is_same(node, lower)

    def _is_same(self, node: Node, lower: Lower) -> bool:
        """Whether two files of one size have the same bytes. Their times tell nothing: a program can set them."""
        if node.layer == lower.position and node.ref == lower.entry.ref:
            return True
        with (
            closing(open_node(self._snapshot, node)) as mine,
            closing(open_lower(self._snapshot, lower)) as theirs,
        ):
            return all(
                mine.read(offset, size) == theirs.read(offset, size)
                for offset, size in _pieces([*mine.extents(), *theirs.extents()])
            )


def _pieces(extents: Sequence[Extent]) -> Iterator[tuple[int, int]]:
    """What is data in one of two files, in pieces: offset and size. The rest is a hole in both."""
    at = 0
    for start, length in sorted(extents):
        at = max(at, start)
        while at < start + length:
            size = min(_PIECE, start + length - at)
            yield at, size
            at += size


def node_state(snapshot: Snapshot, node: Node) -> State:
    """The state that the union shows."""
    known = node.attributes
    target = snapshot.readlink(node) if stat.S_ISLNK(known.mode) else b""
    size = 0 if stat.S_ISDIR(known.mode) else known.size
    uid, gid = node.true_owner
    return State(
        known.mode, uid, gid, known.rdev, size, known.blocks * _BLOCK, known.mtime_ns, known.nlink,
        target, snapshot.xattrs(node),
    )  # fmt: skip


def lower_state(snapshot: Snapshot, lower: Lower) -> State:
    """The state in the lowers."""
    layer, (ref, known, *_) = snapshot.merged.layers.layer(lower.position), lower.entry
    target = layer.readlink(ref) if stat.S_ISLNK(known.mode) else b""
    size = 0 if stat.S_ISDIR(known.mode) else known.size
    xattrs = dict(with_acl_in_step(layer.xattrs(ref), known.mode))
    return State(
        known.mode, known.uid, known.gid, known.rdev, size, known.blocks * _BLOCK, known.mtime_ns,
        known.nlink, target, xattrs,
    )  # fmt: skip


def open_node(snapshot: Snapshot, node: Node) -> OpenFile:
    """A regular file as the union shows it."""
    return snapshot.open_file(node)


def open_lower(snapshot: Snapshot, lower: Lower) -> OpenFile:
    """A regular file as the lowers have it."""
    return snapshot.merged.layers.layer(lower.position).open(lower.entry.ref)


def _files_with_the_same_names(found: Sequence[UpperChange]) -> set[int]:
    """The numbers of files with several names of which one file of the lowers has exactly these."""
    names: dict[int, list[UpperChange]] = {}
    for each in found:
        node = each.node
        if (
            node is not None
            and node.attributes.nlink > 1
            and not stat.S_ISDIR(node.attributes.mode)
        ):
            names.setdefault(node.attributes.ino, []).append(each)
    return {
        number
        for number, group in names.items()
        if len(others := {_linked_lower(each) for each in group}) == 1
        and next(iter(others))[1] == len(group)
        and {each.node.attributes.nlink for each in group if each.node} == {len(group)}
    }


def _linked_lower(change: UpperChange) -> tuple[int, int]:
    """Number and names of the file of the lowers; 0 names if there is none, or it has another path."""
    if change.lower is None or change.moved:
        return 0, 0
    known = change.lower.entry.attributes
    return known.ino, known.nlink


def _first_names(found: Sequence[UpperChange]) -> dict[int, bytes]:
    """By the number of each file: the name of it that the lowers have too, else the first."""
    first: dict[int, bytes] = {}
    kept: set[int] = set()
    for path, node, lower, moved, _ in found:
        if node is None or stat.S_ISDIR(node.attributes.mode):
            continue
        number = node.attributes.ino
        is_kept = lower is not None and (moved or lower.entry.attributes.ino == number)
        if number not in first or (is_kept and number not in kept):
            first[number] = path
        if is_kept:
            kept.add(number)
    return first


def _with_links(found: Sequence[Compared], first: dict[int, bytes]) -> list[Compared]:
    """The changes, with the further names of a file as links to one."""
    made = []
    for each in found:
        change, node = each.change, each.node
        if node is not None and change.after is not None and not change.after.is_directory:
            known = first.get(node.attributes.ino, change.path)
            if known != change.path:
                each = each._replace(change=change._replace(link=known))  # noqa: PLW2901
        made.append(each)
    return made


def _without_mountpoints(
    snapshot: Snapshot, found: list[Compared], mountpoints: Collection[bytes]
) -> list[Compared]:
    """The changes without what was made to mount on it."""
    if not mountpoints or not found:
        return found
    made = {snapshot.resolve(path) for path in mountpoints}
    above = {path[:at] for path in made for at in range(len(path)) if path[at : at + 1] == b"/"}
    kept: list[Compared] = []
    needed: set[bytes] = set()
    """Directories that hold something that is kept."""
    for each in reversed(found):
        change = each.change
        is_empty = change.after is not None and (change.after.is_directory or not change.after.size)
        is_new = change.kind is Kind.CREATED and change.path in made | above
        if is_new and is_empty and change.path not in needed:
            continue
        kept.append(each)
        if not change.is_bare:
            directory = change.path.rpartition(b"/")[0]
            while directory not in needed:
                needed.add(directory)
                directory = directory.rpartition(b"/")[0]
    return kept[::-1]
