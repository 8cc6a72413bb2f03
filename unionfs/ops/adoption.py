"""Adoption: what the layers hold becomes nodes, with the numbers, owners and link counts that the
union shows."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import LayerEntry, Ref, UpperLayer
from unionfs.merge import Found
from unionfs.model import Attributes, with_ino, with_nlink, with_owner
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.open_files import LazyFiles
from unionfs.ownership import IdView

_KEPT_OWNERS = 1024

_S_IFMT = 0o170000
_S_IFDIR = 0o040000


class Adoption:
    """How objects of the layers appear in the union.

    Args:
        upper: the layer that takes the writes, if there is one.
        lazies: the files of the upper that are not all there.
        view: which ids exist inside; None if all do.
        static_nlink: whether directories are shown with one link.
    """

    def __init__(
        self,
        upper: UpperLayer | None,
        lazies: LazyFiles,
        *,
        view: IdView | None,
        static_nlink: bool,
    ) -> None:
        self._upper = upper
        self._lazies = lazies
        self._view = view
        self._static_nlink = static_nlink
        self._shown_owners: dict[tuple[int, int], tuple[int, int]] = {}
        self.shows_owner = None if view is None else self._shows_owner
        """Whether an owner is shown as it is; None if all are."""
        self.linked: dict[int, Node] = {}
        """Files that have, or had, several names, by `st_ino`."""
        self.index: dict[int, int | None] = {} if upper is None else upper.index()
        """How many names files of the lowers have left, by `st_ino`; None: the upper has a copy
        that stands for all of them."""

    def adopt(self, directory: Directory, name: bytes, found: Found) -> Node:
        """The node of an object that has been found in the layers."""
        position, entry = found[0]
        attributes = entry.attributes
        if stat.S_ISDIR(attributes.mode):
            return self._adopt_directory(directory, name, found)
        if position == UPPER and entry.origin is not None:
            ino = entry.origin
        else:
            ino = attributes.ino
        if attributes.nlink > 1 or (ino in self.index and position == UPPER):
            return self._adopt_linked(directory, name, position, entry, ino)
        node = Node(directory, name, position, entry.ref, attributes)
        self.show(node, attributes, ino)
        if entry.lazy is not None:
            self._find_lazy(node, entry.lazy)
        return node

    def adopt_new(
        self, directory: Directory, name: bytes, ref: Ref, attributes: Attributes
    ) -> Node:
        """`adopt` for a regular file that has just been made in the upper."""
        node = Node(directory, name, UPPER, ref, attributes)
        if self._view is not None:
            self.set_attributes(node, attributes)
        node.has_capabilities = False
        return node

    def _adopt_directory(self, parent: Directory, name: bytes, found: Found) -> Directory:
        position, entry = found[0]
        node = Directory(parent, name, position, entry.ref, entry.attributes)
        node.lowers = tuple((number, lower.ref) for number, lower in found if number != UPPER)
        ino = entry.attributes.ino if entry.origin is None else entry.origin
        if position == UPPER:
            node.upper = entry.ref
            node.redirect = entry.redirect
            if len(found) > 1 and entry.origin is None:
                ino = found[1][1].attributes.ino
        self.show(node, entry.attributes, ino)
        node.stale = node.is_merged
        return node

    def _adopt_linked(
        self, directory: Directory, name: bytes, position: int, entry: LayerEntry, ino: int
    ) -> Node:
        node = self.linked.get(ino)
        if node is not None:
            node.add_name(directory, name, entry.ref)
            return node
        known = self.index.get(ino, entry.attributes.nlink)
        if known is None:
            copy = self._indexed(ino)
            attributes = copy.attributes
            node = Node(directory, name, UPPER, copy.ref, attributes)
            node.indexed = True
            entry = copy
        else:
            attributes = with_nlink(entry.attributes, known)
            node = Node(directory, name, position, entry.ref, attributes)
        self.show(node, attributes, ino)
        if entry.lazy is not None:
            self._find_lazy(node, entry.lazy)
        self.linked[ino] = node
        return node

    def _indexed(self, ino: int) -> LayerEntry:
        if self._upper is None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self._upper.indexed(ino)

    def _find_lazy(self, node: Node, mark: bytes) -> None:
        """A file of the upper has been found that is not all there. (One of a lower raises EIO
        when it is opened.)"""
        if node.layer != UPPER:
            return
        state = self._lazies.of_mark(node.attributes.ino, mark, node.attributes.size)
        if state is not None and not state.is_complete:
            node.lazy = state
            show_lazy(node)

    def show(self, node: Node, attributes: Attributes, ino: int) -> None:
        if attributes.ino != ino:
            attributes = with_ino(attributes, ino)
        self.set_attributes(node, attributes)

    def set_attributes(self, node: Node, attributes: Attributes) -> None:
        """Attributes with the true owner: shown as far as the ids exist inside."""
        if self._static_nlink and attributes.nlink and stat.S_ISDIR(attributes.mode):
            attributes = with_nlink(attributes, 1)
        view, owner = self._view, attributes[3:5]
        shown = owner
        if view is not None:
            shown = self._shown_owners.get(owner) or self._shown_owner(view, owner)
        if shown is not owner and shown != owner:
            node.owner = owner
            attributes = with_owner(attributes, attributes[1], *shown)
        elif node.owner is not None:
            node.owner = None
        node.attributes = attributes

    def _shows_owner(self, owner: tuple[int, int]) -> bool:
        shown = self._shown_owners.get(owner)
        if shown is None and self._view is not None:
            shown = self._shown_owner(self._view, owner)
        return shown == owner

    def _shown_owner(self, view: IdView, owner: tuple[int, int]) -> tuple[int, int]:
        if len(self._shown_owners) >= _KEPT_OWNERS:
            self._shown_owners.clear()
        shown = self._shown_owners[owner] = view.uid(owner[0]), view.gid(owner[1])
        return shown

    def stored_ids(self, uid: int, gid: int) -> tuple[int, int]:
        """What the upper keeps for ids as they are inside."""
        view = self._view
        return (uid, gid) if view is None else (view.stored_uid(uid), view.stored_gid(gid))


def show_lazy(node: Node) -> None:
    """Show a file of the upper that is not all there with the blocks that it will have: GNU tar
    takes a file without blocks for one without data."""
    known = node.attributes
    node.attributes = known._replace(blocks=max(known.blocks, -(-known.size // 512)))
