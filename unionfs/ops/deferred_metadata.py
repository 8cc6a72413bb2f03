"""Changes mode, owner and times of files that only a lower has, without copying the files up.

Such a change is written to the log of the upper (`unionfs.logs.metadata`), and the node shows it. The file is copied
up, with what it shows, when something needs it in the upper: a write, a further name, a rename, an extended attribute.
Making an inode is what takes the time of a copy of a small file; chmod -R and chown -R of a tree would make one for each.

A node with such a change is held, as if the kernel referred to it. What an earlier server has logged waits,
by directory, until the names of the directory are read.
"""

from __future__ import annotations

import stat
from time import time_ns

from unionfs.logs.metadata import MetadataRecord, pack_record, record_size, unpack_records
from unionfs.model import Attributes, with_owner
from unionfs.nodes import UPPER, Directory, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from unionfs.layer import UpperLayer
    from unionfs.ops.tree import Tree

_MAX_NODES = 32768
"""Files with a deferred change. Each holds a node; a further file is copied up at once."""

_MAX_LOG = 16 << 20
"""Bytes after which the log is written anew, with the last record of each file."""

_new = tuple.__new__


def begin_deferring(tree: Tree, log: bytes = b"") -> DeferredMetadata:
    """Have a tree defer changes of metadata, and show those that are in the log of its upper."""
    deferred = DeferredMetadata(tree, tree.layers.writable(), log)
    tree.deferred = deferred
    tree.listings.after_load = deferred.show_waiting
    return deferred


class DeferredMetadata:
    """Of one union. `upper` stores the log. `log`: what it holds."""

    def __init__(self, tree: Tree, upper: UpperLayer, log: bytes = b"") -> None:
        self._tree = tree
        self._upper = upper
        self.nodes: dict[Node, None] = {}
        """Files that show other metadata than their lower has."""
        self._waiting: dict[bytes, dict[bytes, MetadataRecord]] = {}
        """Records that no node shows yet, by directory and name."""
        self._waiting_count = 0
        self._size = 0
        for record in unpack_records(log):
            self._size += record_size(record)
            directory, _, name = record.path.rpartition(b"/")
            self._waiting.setdefault(directory or b"/", {})[name] = record
        self._waiting_count = sum(map(len, self._waiting.values()))
        self._has_remains = self._size < len(log)
        """Behind the records is what a killed server had not finished."""

    def can_take(self, node: Node) -> bool:
        """Whether a change to this file of a lower can be deferred: it has one name, no extended
        attributes, and there is room."""
        if node in self.nodes:
            return True
        tree = self._tree
        known = node.attributes
        if (
            node.parent is None
            or node.ref is None
            or known[2] != 1
            or node.layer == UPPER
            or not stat.S_ISREG(known[1])
            or known[0] in tree.node_maker.index
            or len(self.nodes) + self._waiting_count >= _MAX_NODES
        ):
            return False
        return not tree.layers.layer(node.layer).xattrs(node.ref)

    def change(self, node: Node, attributes: Attributes) -> None:
        """Show and log these attributes, with the true owner, of a file that `can_take` accepts. The
        time of change becomes the time now. Raises OSError (ENOSPC), and then nothing has changed.
        """
        changed = _new(Attributes, (*attributes[:10], time_ns()))
        if self._has_remains or self._size > _MAX_LOG:
            self._rewrite()
        data = pack_record(_record(node.path(), changed))
        self._upper.append_metadata_log(data)
        self._size += len(data)
        self._show(node, changed)
        self._tree.changed.add(changed[0])

    def _show(self, node: Node, changed: Attributes) -> None:
        self._tree.shown.set(node, changed)
        if node not in self.nodes:
            self.nodes[node] = None
            self._tree.table.remember(node)

    def note_copied(self, node: Node) -> None:
        """The upper has the file now, with what it shows, or its last name has gone."""
        del self.nodes[node]
        if not self.nodes and not self._waiting:
            self.empty_log()
        # A server that goes on after another does not know how often the kernel refers to a node.
        if node.lookups > 1 or self._tree.recovery is None:
            self._tree.forget(node.nodeid, 1)

    def kept(self, nodeid: int, count: int) -> int:
        """How many of `count` references that the kernel gives back can be taken off a node."""
        node = self._tree.nodes.get(nodeid)
        if node is None or node not in self.nodes:
            return count
        return min(count, node.lookups - 1)

    def show_waiting(self, directory: Directory) -> None:
        """Show what the log has of the files of a directory. To be called when names of it are read."""
        if not self._waiting:
            return
        records = self._waiting.pop(directory.path(), None)
        if records is None:
            return
        self._waiting_count -= len(records)
        for name, record in records.items():
            node = self._tree.child(directory, name)
            if node is None or node in self.nodes or not self._means(node, record):
                continue
            ino, _, nlink, _, _, rdev, size, blocks, _, _, _ = node.attributes
            mode, uid, gid, *times = record[:6]
            self._show(
                node, _new(Attributes, (ino, mode, nlink, uid, gid, rdev, size, blocks, *times))
            )

    @staticmethod
    def _means(node: Node, record: MetadataRecord) -> bool:
        mode = node.attributes.mode
        return node.layer != UPPER and stat.S_ISREG(mode) and stat.S_ISREG(record.mode)

    def show_all(self) -> None:
        """Show everything that the log has."""
        while self._waiting:
            path = next(iter(self._waiting))
            node: Node | None = self._tree.root
            for name in path.split(b"/"):
                if name and isinstance(node, Directory):
                    node = self._tree.child(node, name)
            if isinstance(node, Directory):
                self.show_waiting(node)
            records = self._waiting.pop(path, None)
            if records is not None:
                self._waiting_count -= len(records)

    def _records(self) -> Iterator[MetadataRecord]:
        for records in self._waiting.values():
            yield from records.values()
        for node in self.nodes:
            known = node.attributes
            if node.owner is not None:
                known = with_owner(known, known.mode, *node.owner)
            yield _record(node.path(), known)

    def _rewrite(self) -> None:
        log = b"".join(map(pack_record, self._records()))
        self._upper.replace_metadata_log(log)
        self._size = len(log)
        self._has_remains = False

    def empty_log(self) -> None:
        """No file shows a deferred change any more."""
        if self._size or self._has_remains:
            self._upper.replace_metadata_log(b"")
            self._size = 0
            self._has_remains = False


def _record(path: bytes, known: Attributes) -> MetadataRecord:
    _, mode, _, uid, gid, _, _, _, atime, mtime, ctime = known
    return _new(MetadataRecord, (mode, uid, gid, atime, mtime, ctime, path))
