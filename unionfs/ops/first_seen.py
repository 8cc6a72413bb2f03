"""Keeps what was seen of objects of a lower that can change (`unionfs.first_seen`), when the union is about to take
them over or to hide them."""

from __future__ import annotations

from unionfs.first_seen import SeenRecord, pack_seen
from unionfs.layer import UpperLayer
from unionfs.nodes import UPPER, Directory, Node


class FirstSeen:
    """The log of one mount, in the work directory of `upper`. What cannot be written there, on a full disk, is left
    out: it counts as unknown."""

    def __init__(self, upper: UpperLayer) -> None:
        self._upper = upper
        self._noted: set[bytes] = set()

    def note(self, node: Node) -> None:
        """An object is about to change or to lose a name. Nothing is noted of one that the upper has."""
        if isinstance(node, Directory):
            if node.upper is not None or not node.lowers:
                return
            path = node.lower_path().strip(b"/")
        elif node.layer == UPPER or node.parent is None:
            return
        else:
            path = (node.parent.lower_path() + b"/" + node.name).strip(b"/")
        if path in self._noted:
            return
        self._noted.add(path)
        known = node.attributes
        record = SeenRecord(
            known.mode,
            *node.true_owner,
            known.size,
            known.ino,
            known.mtime_ns,
            known.ctime_ns,
            path,
        )
        try:
            self._upper.append_first_seen(pack_seen(record))
        except OSError:
            return
