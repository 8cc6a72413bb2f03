"""Finds the objects of node numbers that a killed server gave: see `unionfs.journal`.

The kernel refers to every object whose name it changes. So an object that a request removes or
replaces counts as referred to even if this server has not been asked for it yet. When the kernel
forgets an object it names all its references at once: that a recovered node counts one is enough.
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs.journal import Record, pack_gone, pack_names, unpack_gone, unpack_lower, unpack_names
from unionfs.journal_kinds import Kind
from unionfs.model import LOOKED_UP_ROOT, ROOT_NODE, with_nlink, with_owner
from unionfs.nodes import SPARE_NODES, UPPER, Directory, Node, Stream
from unionfs.ops.journal_records import JournalRecords, lower_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from unionfs.layer import LayerEntry
    from unionfs.ops.tree import Tree


class Recovery:
    """Of a union whose journal has `records`. `restore_nameless` comes first."""

    def __init__(self, tree: Tree, records: JournalRecords) -> None:
        self._tree = tree
        self.records = records
        self._unread = [*records.directories, ROOT_NODE]
        """Directories whose names are not in `_places`; the latest last, which is looked at first."""
        self._places: dict[int, tuple[int, bytes]] = {}
        """Directory and name of each `st_ino`."""

    def restore_nameless(self) -> None:
        """Take over the objects that no listing finds."""
        records, tree = self.records, self._tree
        for nodeid, name in records.stashed.items():
            self._restore_stash(nodeid, name)
        for nodeid, data in records.lower.items():
            shown, path = unpack_lower(data)
            found = tree.layers.find_below(path)
            if found is not None:
                position, entry = found
                known = with_owner(entry.attributes, shown.mode, shown.uid, shown.gid)
                node = Node(None, b"", position, entry.ref, known)
                node.kept_path = path
                self._adopt_nameless(nodeid, node)
        for nodeid, data in records.gone.items():
            attributes = unpack_gone(data)
            kind = Directory if stat.S_ISDIR(attributes.mode) else Node
            node = kind(None, b"", UPPER, None, attributes)
            if isinstance(node, Directory):
                node.complete = True
            node.ref = None
            self._adopt_nameless(nodeid, node)
        spare = {at: place for at, place in records.directories.items() if at > SPARE_NODES}
        for nodeid, (parent, name) in {**spare, **records.named}.items():
            found_node = self._child(parent, name)
            if found_node is not None and not tree.is_referred_to(found_node):
                tree.table.adopt(found_node, nodeid)

    def _restore_stash(self, nodeid: int, name: bytes) -> None:
        tree = self._tree
        entry: LayerEntry | None = tree.layers.writable().stashed(name)
        if entry is None:
            return  # killed before it was moved: it still has its name
        ino = entry.attributes.ino if entry.origin is None else entry.origin
        attributes = entry.attributes._replace(ino=ino)
        node = Node(None, b"", UPPER, entry.ref, attributes)
        node.stash = entry.ref
        if entry.lazy is not None:
            tree.node_maker.set_lazy_state(node, entry.lazy)
        self._adopt_nameless(nodeid, node)

    def _adopt_nameless(self, nodeid: int, node: Node) -> None:
        self._tree.shown.set(node, with_nlink(node.attributes, 0))
        self._tree.table.adopt(node, nodeid)

    def restore(self, nodeid: int) -> Node:
        """The node of a number that this server has not given. Raises ESTALE if there is none."""
        node: Node | None = self._known_directory(nodeid)
        if node is None:
            node = self._search(nodeid)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        table = self._tree.table
        if node.attributes.ino != nodeid:
            table.adopt(node, nodeid)
        else:
            table.remember(node)
        return node

    def _known_directory(self, nodeid: int) -> Directory | None:
        """A directory by its record, and by those of the directories above it."""
        way: list[int] = []
        at = nodeid
        tree = self._tree
        while at not in tree.nodes:
            place = self.records.directories.get(at)
            if place is None or len(way) > len(self.records.directories):
                return None
            way.append(at)
            at = place[0]
        above = tree.nodes[at]
        for number in reversed(way):
            if not isinstance(above, Directory):
                return None
            try:
                found = tree.child(above, self.records.directories[number][1])
            except OSError:
                return None
            if found is None or (found.attributes.ino != number and number <= SPARE_NODES):
                return None  # the record is of one that had the number before
            above = found
        return above if isinstance(above, Directory) else None

    def _child(self, parent: int, name: bytes) -> Node | None:
        directory = self._known_directory(parent)
        try:
            return None if directory is None else self._tree.child(directory, name)
        except OSError:
            return None

    def _search(self, nodeid: int) -> Node | None:
        """The object with this `st_ino`: in the directories that the killed server knew, read until it is
        found; once more in all, for it may have been moved since."""
        for attempt in range(2):
            while True:
                place = self._places.pop(nodeid, None)
                if place is not None:
                    node = self._child(*place)
                    if node is not None and node.attributes.ino == nodeid:
                        return node
                if not self._unread:
                    break
                self._read(self._unread.pop())
            if attempt == 0:
                self._places.clear()
                self._unread = [ROOT_NODE, *self._directories()]
        return None

    def _read(self, number: int) -> None:
        tree = self._tree
        directory = self._known_directory(number)
        if directory is None:
            return
        try:
            tree.listings.load(directory)
        except OSError:
            return
        recorded = self.records.directories
        moved = []
        for name, attributes in directory.unmaterialized.items():
            ino = attributes.ino
            self._places[ino] = number, name
            if (
                ino in recorded
                and recorded[ino] != (number, name)
                and stat.S_ISDIR(attributes.mode)
            ):
                moved.append((ino, name))
        for name, node in directory.children.items():
            if not isinstance(node, Directory):
                self._places[node.attributes.ino] = number, name
            elif recorded.get(node.number, (number, name)) != (number, name):
                moved.append((node.number, name))
        for nodeid, name in moved:
            # The server was killed between the rename(2) and the record of it.
            if self._known_directory(nodeid) is None:
                recorded[nodeid] = self._places[nodeid] = number, name
        tree.drop_excess_listings()

    def _directories(self) -> list[int]:
        """Every directory that is known by record or in memory; what is not in memory is
        found by record alone."""
        for record in directory_records(self._tree.root):
            self.records.directories.setdefault(record.nodeid, (record.parent, record.name))
        return list(self.records.directories)

    def stream(self, directory: Directory) -> Stream | None:
        """The order of names in which the kernel is reading a directory."""
        data = self.records.streams.pop(directory.nodeid, None)
        if data is None:
            return None
        return Stream.restored(unpack_names(data))


def directory_records(root: Directory) -> Iterator[Record]:
    """Of all directories below that are in memory."""
    below = [root]
    while below:
        directory = below.pop()
        parent = directory.number
        for name, node in directory.children.items():
            if isinstance(node, Directory):
                below.append(node)
                yield Record(Kind.DIRECTORY, node.number, parent, name)


def live_records(tree: Tree) -> Iterator[Record]:
    """All that holds: for a journal that begins anew."""
    if isinstance(tree.recovery, Recovery):
        yield from tree.recovery.records
    yield from directory_records(tree.root)
    for nodeid, node in tree.nodes.items():
        if nodeid == LOOKED_UP_ROOT:
            continue
        if node.parent is not None:
            if nodeid not in {node.attributes.ino, ROOT_NODE}:
                kind = Kind.DIRECTORY if isinstance(node, Directory) else Kind.NAMED
                yield Record(kind, nodeid, node.parent.number, node.name)
        elif node is not tree.root:
            yield nameless_record(tree, node)
        if isinstance(node, Directory) and node.stream is not None and node.stream.is_recorded:
            yield stream_record(node, node.stream)


def nameless_record(tree: Tree, node: Node) -> Record:
    """Of an object that has lost its names."""
    if node.stash is not None:
        return Record(Kind.STASHED, node.nodeid, 0, tree.layers.writable().stash_name(node.stash))
    if node.kept_path is not None:
        return Record(Kind.LOWER, node.nodeid, 0, lower_record(node, node.kept_path))
    return Record(Kind.GONE, node.nodeid, 0, pack_gone(node.attributes))


def stream_record(directory: Directory, stream: Stream) -> Record:
    return Record(Kind.STREAM, directory.nodeid, 0, pack_names(list(stream.after(0))))
