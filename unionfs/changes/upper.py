"""The changes of an upper, one value for each path, with the object of the lowers: for lists with sizes, differences
of contents, and moves.

In contrast to `Snapshot.changes`, which lists what a layer archive needs, a directory that has moved is one
value and not all that is visible in it, and what is in it is compared with what the lowers have at the place
that it came from. The cost follows what the upper holds; of a directory that was removed and made again, also
the names that it had.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple

from unionfs.changes.snapshot import Snapshot
from unionfs.layer import LayerEntry, Mark, Ref
from unionfs.nodes import Directory, Node


class Lower(NamedTuple):
    """An object of the lowers: the position of the topmost layer, its entry, and its path in the lowers, relative."""

    position: int
    entry: LayerEntry
    path: bytes


class UpperChange(NamedTuple):
    """One path, relative, in the union.

    `node` is what the union shows there, None for what was removed. `lower` is what the lowers have in its place;
    in a directory that has moved, in the directory that it was. `moved`: the object was at the path `lower.path`.
    """

    path: bytes
    node: Node | None
    lower: Lower | None
    moved: bool = False
    gone_source: bytes = b""
    """Of a directory that has moved and is not in the lowers any more: where it was."""


class _Level(NamedTuple):
    """A directory of the walk. `lowers` and `lower_path`: what its names are compared with."""

    path: bytes
    directory: Directory
    lowers: tuple[tuple[int, Ref], ...]
    lower_path: bytes
    is_opaque: bool = False


def upper_changes(snapshot: Snapshot) -> list[UpperChange]:
    """Everything that the upper of a snapshot holds, a directory before what is in it, what was removed before
    what is there in its place. Directories that had to be copied up are among them.

    Of a file with several names in a directory of the host, those names are found that lie in directories with
    changes: a directory has no index of them."""
    if snapshot.upper is None:
        return []
    walk = _Walk(snapshot)
    found = _with_moved_files(list(walk.run()))
    found += walk.other_names(found)
    return sorted(found, key=lambda each: (each.path.split(b"/"), each.node is not None))


class _Walk:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._tree = snapshot.merged
        self._layers = snapshot.merged.layers
        self._pending: list[_Level] = []
        self._levels: list[_Level] = []
        self._listings: dict[bytes, list[tuple[bytes, LayerEntry]]] = {}
        self._sources: set[bytes] = set()
        """The paths, in the lowers, that directories have moved from."""

    def run(self) -> Iterator[UpperChange]:
        deferred = self._tree.deferred
        if deferred is not None:
            deferred.show_all()
            yield from self._deferred(list(deferred.nodes))
        self._list_upper()
        root = self._tree.root
        position, entry = self._layers.roots()[1]
        yield UpperChange(b"", root, Lower(position, entry, b""))
        self._pending.append(_Level(b"", root, tuple(root.lowers), b""))
        while self._pending:
            level = self._pending.pop()
            self._levels.append(level)
            yield from self._level(level)

    def _list_upper(self) -> None:
        """Read all directories of the upper, which tells what has moved."""
        pending: list[tuple[bytes, Directory]] = [(b"", self._tree.root)]
        while pending:
            path, directory = pending.pop()
            listing = list(self._layers.writable().listing(directory.upper))
            self._listings[path] = listing
            for name, entry in listing:
                if entry.mark is Mark.WHITEOUT:
                    continue
                if not _is_directory(entry):
                    # It hides what is below it. The tree would read the directory once more to find it.
                    self._tree.add_from_upper(directory, name, entry)
                    continue
                node = self._tree.existing(directory, name)
                if isinstance(node, Directory):
                    if entry.redirect is not None and node.lowers:
                        self._sources.add(entry.redirect.strip(b"/"))
                    pending.append((_join(path, name), node))

    def _deferred(self, nodes: list[Node]) -> Iterator[UpperChange]:
        """Files that only a lower has, with metadata that were changed."""
        for node in nodes:
            if node.parent is None:
                continue
            path = node.parent.lower_path() + b"/" + node.name
            found = self._layers.find_below(path)
            if found is not None:
                yield UpperChange(node.path()[1:], node, Lower(*found, path.strip(b"/")))

    def _level(self, level: _Level) -> Iterator[UpperChange]:
        names = set()
        for name, entry in self._listings.pop(level.path):
            names.add(name)
            here, lower_path = _join(level.path, name), _join(level.lower_path, name)
            found = self._layers.find_in(level.lowers, name)
            is_moved = entry.redirect is not None and entry.redirect.strip(b"/") != lower_path
            if lower_path in self._sources and (is_moved or entry.redirect is None):
                # It is elsewhere now.
                found = []
            lower = Lower(*found[0], lower_path) if found else None
            if entry.mark is Mark.WHITEOUT:
                if lower is not None:
                    yield UpperChange(here, None, lower)
                continue
            node = self._tree.existing(level.directory, name)
            if not isinstance(node, Directory):
                yield UpperChange(here, node, lower)
                continue
            source = (entry.redirect or b"").strip(b"/")
            if is_moved and node.lowers:
                yield from self._moved(here, node, lower, source)
                continue
            gone = source if is_moved and lower is None else b""
            yield UpperChange(here, node, lower, bool(gone), gone)
            lowers = tuple((position, each.ref) for position, each in found)
            is_directory = lower is not None and _is_directory(lower.entry)
            is_opaque = is_directory and entry.mark is Mark.OPAQUE
            self._pending.append(
                _Level(here, node, lowers if is_directory else (), lower_path, is_opaque)
            )
        if level.is_opaque:
            yield from self._hidden(level, names)

    def _moved(
        self, path: bytes, node: Directory, replaced: Lower | None, source: bytes
    ) -> Iterator[UpperChange]:
        found = self._layers.find_below(b"/" + source)
        if found is None:
            return
        if replaced is not None:
            yield UpperChange(path, None, replaced)
        yield UpperChange(path, node, Lower(*found, source), moved=True)
        self._pending.append(_Level(path, node, tuple(node.lowers), source))

    def _hidden(self, level: _Level, names: set[bytes]) -> Iterator[UpperChange]:
        """What the lowers have in a directory that was made anew, and the upper has not."""
        for name in self._names_below(level):
            lower_path = _join(level.lower_path, name)
            if name in names or lower_path in self._sources:
                continue
            found = self._layers.find_in(level.lowers, name)
            if found:
                yield UpperChange(_join(level.path, name), None, Lower(*found[0], lower_path))

    def _names_below(self, level: _Level) -> set[bytes]:
        return {
            name
            for position, ref in level.lowers
            for name, _ in self._layers.layer(position).listing(ref)
        }

    def other_names(self, known: list[UpperChange]) -> list[UpperChange]:
        """The names, in directories with changes, of changed files that have several in a lower."""
        paths = {each.path for each in known}
        numbers = {
            each.lower.entry.attributes.ino
            for each in known
            if each.node is not None and each.lower is not None and _has_links(each.lower.entry)
        }
        made: list[UpperChange] = []
        for level in self._levels if numbers else ():
            for position, ref in level.lowers:
                for name, entry in self._layers.layer(position).listing(ref):
                    path = _join(level.path, name)
                    if entry.attributes.ino not in numbers or path in paths:
                        continue
                    node = self._snapshot.find(path)
                    if node is not None and node.attributes.ino == entry.attributes.ino:
                        paths.add(path)
                        lower = Lower(position, entry, _join(level.lower_path, name))
                        made.append(UpperChange(path, node, lower))
        return made


def _has_links(entry: LayerEntry) -> bool:
    return entry.attributes.nlink > 1 and not _is_directory(entry)


def _with_moved_files(found: list[UpperChange]) -> list[UpperChange]:
    """The changes, with the new names of files of a lower, or of a former upper, that lost one as moves. A copy keeps the
    number of what it is a copy of."""
    lost = _lost_names(found)
    sources: dict[int, Lower] = {}
    """By the position in `found` of a new name: what it was."""
    taken: set[int] = set()
    """Positions in `found` of names that were moved away from."""
    for index, each in enumerate(found):
        node, lower = each.node, each.lower
        if node is None or isinstance(node, Directory):
            continue
        number = node.attributes.ino
        is_new = lower is None or lower.entry.attributes.ino != number
        if not is_new or number not in lost:
            continue
        at = lost.pop(number)
        source = found[at].lower
        if source is not None:
            sources[index] = source
            taken.add(at)
    made: list[UpperChange] = []
    for index, each in enumerate(found):
        replaced = None if index in taken else each.lower
        source = sources.get(index)
        if source is not None:
            if replaced is not None:
                made.append(UpperChange(each.path, None, replaced))
            made.append(UpperChange(each.path, each.node, source, moved=True))
        elif each.node is not None or replaced is not None:
            made.append(each._replace(lower=replaced))
    return made


def _lost_names(found: list[UpperChange]) -> dict[int, int]:
    """The positions in `found` of names that files of a lower have lost, by the number of the file."""
    lost: dict[int, int] = {}
    for index, each in enumerate(found):
        if each.lower is None or _is_directory(each.lower.entry):
            continue
        number = each.lower.entry.attributes.ino
        if each.node is None or each.node.attributes.ino != number:
            lost.setdefault(number, index)
    return lost


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _is_directory(entry: LayerEntry) -> bool:
    return stat.S_ISDIR(entry.attributes.mode)
