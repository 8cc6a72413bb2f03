"""The owners and link counts that the union shows for an object, given those that a layer stores."""

from __future__ import annotations

import stat

from unionfs.model import Attributes, with_ino, with_nlink, with_owner
from unionfs.nodes import Node
from unionfs.ownership import IdView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT_OWNERS = 1024
"""Owners whose shown ids are cached."""


class ShownAttributes:
    """`view`: which ids exist inside the mount; None if all do. `static_nlink`: whether directories
    are shown with one link."""

    def __init__(self, view: IdView | None, *, static_nlink: bool) -> None:
        self.view = view
        self.static_nlink = static_nlink
        self._owners: dict[tuple[int, int], tuple[int, int]] = {}

    def set(self, node: Node, attributes: Attributes) -> None:
        """Give a node attributes with the true owner: what is shown of it are ids that exist inside."""
        if self.static_nlink and attributes.nlink and stat.S_ISDIR(attributes.mode):
            attributes = with_nlink(attributes, 1)
        view, owner = self.view, attributes[3:5]
        shown = owner
        if view is not None:
            shown = self._owners.get(owner) or self._shown_owner(view, owner)
        if shown is not owner and shown != owner:
            node.owner = owner
            attributes = with_owner(attributes, attributes[1], *shown)
        elif node.owner is not None:
            node.owner = None
        node.attributes = attributes

    def set_with_ino(self, node: Node, attributes: Attributes, ino: int) -> None:
        """As `set`, with another inode number."""
        self.set(node, attributes if attributes.ino == ino else with_ino(attributes, ino))

    def hidden_owners(self, owners: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of these owners that are shown as another one."""
        view = self.view
        if view is None:
            return []
        return [
            owner
            for owner in owners
            if (self._owners.get(owner) or self._shown_owner(view, owner)) != owner
        ]

    def _shown_owner(self, view: IdView, owner: tuple[int, int]) -> tuple[int, int]:
        if len(self._owners) >= _KEPT_OWNERS:
            self._owners.clear()
        shown = self._owners[owner] = view.uid(owner[0]), view.gid(owner[1])
        return shown

    def stored_ids(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids that the upper stores for ids inside."""
        view = self.view
        return (uid, gid) if view is None else (view.stored_uid(uid), view.stored_gid(gid))
