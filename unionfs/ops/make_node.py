"""Makes nodes of entries of the layers, with the inode numbers, owners and link counts that the union shows."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.journal_kinds import Kind
from unionfs.layer import LayerEntry, Ref, UpperLayer
from unionfs.merge import Found
from unionfs.model import Attributes, with_nlink
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.open_files import LazyCopies
from unionfs.ops.shown_attributes import ShownAttributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.journal import Journal


class NodeMaker:
    """`upper`: the layer that takes the writes, if there is one."""

    def __init__(
        self, upper: UpperLayer | None, lazy_copies: LazyCopies, shown: ShownAttributes
    ) -> None:
        self._upper = upper
        self._lazy_copies = lazy_copies
        self._shown = shown
        self.journal: Journal | None = None
        self.linked: dict[int, Node] = {}
        """Files that have, or had, several names, by `st_ino`."""
        self.index: dict[int, int | None] = {} if upper is None else upper.index()
        """How many names files of the lowers have left, by `st_ino`; None: the upper has a copy
        that stands for all of them."""

    def make_node(self, directory: Directory, name: bytes, found: Found) -> Node:
        """The node of an object that was found in the layers."""
        position, entry = found[0]
        attributes = entry.attributes
        if stat.S_ISDIR(attributes.mode):
            return self._make_directory_node(directory, name, found)
        if position == UPPER and entry.origin is not None:
            ino = entry.origin
        else:
            ino = attributes.ino
        if attributes.nlink > 1 or (ino in self.index and position == UPPER):
            return self._make_linked_node(directory, name, position, entry, ino)
        node = Node(directory, name, position, entry.ref, attributes)
        self._shown.set_with_ino(node, attributes, ino)
        if entry.lazy is not None:
            self.set_lazy_state(node, entry.lazy)
        return node

    def make_file_node(
        self, directory: Directory, name: bytes, ref: Ref, attributes: Attributes
    ) -> Node:
        """`make_node` for a regular file that has just been made in the upper."""
        node = Node(directory, name, UPPER, ref, attributes)
        if self._shown.view is not None:
            self._shown.set(node, attributes)
        node.has_capabilities = False
        return node

    def _make_directory_node(self, parent: Directory, name: bytes, found: Found) -> Directory:
        position, entry = found[0]
        node = Directory(parent, name, position, entry.ref, entry.attributes)
        node.lowers = tuple((number, lower.ref) for number, lower in found if number != UPPER)
        ino = entry.attributes.ino if entry.origin is None else entry.origin
        if position == UPPER:
            node.upper = entry.ref
            node.redirect = entry.redirect
            if len(found) > 1 and entry.origin is None:
                ino = found[1][1].attributes.ino
        self._shown.set_with_ino(node, entry.attributes, ino)
        node.stale = node.is_merged
        if self.journal is not None:
            self.journal.add(Kind.DIRECTORY, ino, parent.number, name)
        return node

    def _make_linked_node(
        self, directory: Directory, name: bytes, position: int, entry: LayerEntry, ino: int
    ) -> Node:
        node = self.linked.get(ino)
        if node is not None:
            node.add_name(directory, name, entry.ref)
            return node
        known = self.index.get(ino, entry.attributes.nlink)
        if position == UPPER and known is not None:
            # A copy that was made of the last name left in a lower counts for itself.
            known = entry.attributes.nlink
        if known is None:
            copy = self._indexed(ino)
            attributes = copy.attributes
            node = Node(directory, name, UPPER, copy.ref, attributes)
            node.indexed = True
            entry = copy
        else:
            attributes = with_nlink(entry.attributes, known)
            node = Node(directory, name, position, entry.ref, attributes)
        self._shown.set_with_ino(node, attributes, ino)
        if entry.lazy is not None:
            self.set_lazy_state(node, entry.lazy)
        self.linked[ino] = node
        return node

    def _indexed(self, ino: int) -> LayerEntry:
        if self._upper is None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self._upper.indexed(ino)

    def set_lazy_state(self, node: Node, mark: bytes) -> None:
        """The file is incomplete. (Opening an incomplete file of a lower raises EIO.)"""
        if node.layer != UPPER:
            return
        state = self._lazy_copies.of_mark(node.attributes.ino, mark, node.attributes.size)
        if state is not None and not state.is_complete:
            node.lazy = state
            show_lazy(node)


def show_lazy(node: Node) -> None:
    """Show an incomplete file of the upper with the blocks that it will have: GNU tar takes a file
    without blocks for one without data."""
    known = node.attributes
    node.attributes = known._replace(blocks=max(known.blocks, -(-known.size // 512)))
