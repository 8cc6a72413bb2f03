"""Adoption: what the layers hold becomes nodes, with the numbers, owners and link counts that the
union shows."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import LayerEntry, UpperLayer
from unionfs.merge import INO_BITS, Found, compose_ino
from unionfs.model import Attributes, with_owner
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
        lowers: how many layers are below it.
        lazies: the files of the upper that are not all there.
        view: which ids exist inside; None if all do.
        own_numbers: whether the layers' inode numbers are shown as they are.
        static_nlink: whether directories are shown with one link.
    """

    def __init__(
        self,
        upper: UpperLayer | None,
        lowers: int,
        lazies: LazyFiles,
        *,
        view: IdView | None,
        own_numbers: bool,
        static_nlink: bool,
    ) -> None:
        self._upper = upper
        self._lowers = lowers
        self._lazies = lazies
        self._view = view
        self._own_numbers = own_numbers
        self._static_nlink = static_nlink
        self._shown_owners: dict[tuple[int, int], tuple[int, int]] = {}
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
            ino = self.number(position, attributes.ino)
        if attributes.nlink > 1 or (ino in self.index and position == UPPER):
            return self._adopt_linked(directory, name, position, entry, ino)
        node = Node(directory, name, position, entry.ref, attributes)
        self.show(node, attributes, ino)
        if entry.lazy is not None:
            self._find_lazy(node, entry.lazy)
        return node

    def adopt_plain(
        self, directory: Directory, name: bytes, position: int, entry: LayerEntry
    ) -> Node | None:
        """`adopt` for what most of a listing is: a file of a lower with one name, whose owner is
        shown as it is. None for anything else."""
        attributes = entry.attributes
        number = attributes[0]
        if (
            position == UPPER
            or attributes[2] != 1
            or attributes[1] & _S_IFMT == _S_IFDIR
            or number >> INO_BITS
        ):
            return None
        if self._view is not None:
            owner = attributes[3:5]
            if owner != (self._shown_owners.get(owner) or self._shown_owner(self._view, owner)):
                return None
        if not self._own_numbers:
            number |= (self._lowers - position + 1) << INO_BITS
            attributes = tuple.__new__(Attributes, (number, *attributes[1:]))
        return Node(directory, name, position, entry.ref, attributes)

    def _adopt_directory(self, parent: Directory, name: bytes, found: Found) -> Directory:
        position, entry = found[0]
        node = Directory(parent, name, position, entry.ref, entry.attributes)
        node.lowers = tuple((number, lower.ref) for number, lower in found if number != UPPER)
        source, number = position, entry.attributes.ino
        if position == UPPER:
            node.upper = entry.ref
            node.redirect = entry.redirect
            if len(found) > 1 and entry.origin is None:
                source, number = found[1][0], found[1][1].attributes.ino
        ino = (
            entry.origin
            if position == UPPER and entry.origin is not None
            else self.number(source, number)
        )
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
            attributes = entry.attributes._replace(nlink=known)
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

    def number(self, position: int, ino: int) -> int:
        """`st_ino` in the union of what a layer calls `ino`."""
        if self._own_numbers:
            return ino
        return compose_ino(ino, 0 if position == UPPER else self._lowers - position + 1)

    def show(self, node: Node, attributes: Attributes, ino: int) -> None:
        if attributes.ino != ino:
            attributes = tuple.__new__(Attributes, (ino, *attributes[1:]))
        self.set_attributes(node, attributes)

    def set_attributes(self, node: Node, attributes: Attributes) -> None:
        """Attributes with the true owner: shown as far as the ids exist inside."""
        node.owner = None
        if self._static_nlink and attributes.nlink and stat.S_ISDIR(attributes.mode):
            attributes = attributes._replace(nlink=1)
        if self._view is not None:
            owner = attributes[3:5]
            shown = self._shown_owners.get(owner) or self._shown_owner(self._view, owner)
            if shown != owner:
                node.owner = owner
                attributes = with_owner(attributes, attributes.mode, *shown)
        node.attributes = attributes

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
