"""Logs the attributes of objects of a changeable lower (`unionfs.logs.first_seen`) before the union copies them up or
hides them.
"""

from __future__ import annotations

import stat

from unionfs.layer import Layer, UpperLayer
from unionfs.logs.first_seen import LARGEST_BASE, SeenRecord, pack_base, pack_seen
from unionfs.nodes import UPPER, Directory, Node


class FirstSeen:
    """The log of one mount, in the work directory of `upper`. What cannot be written there, on a full disk, is left
    out: it counts as unknown. `frozen_at`: the position of the former uppers, of which nothing is noted either."""

    def __init__(self, upper: UpperLayer, frozen_at: int) -> None:
        self._upper = upper
        self._frozen_at = frozen_at
        self._noted: set[bytes] = set()

    def note(self, node: Node, layer: Layer | None = None) -> None:
        """An object is about to change or to lose a name. Nothing is noted of one that the upper has. `layer`: the one
        that has a file which is about to be written over, for its content.
        """
        if isinstance(node, Directory):
            if node.upper is not None or not node.lowers or node.lowers[0][0] == self._frozen_at:
                return
            path = node.lower_path().strip(b"/")
        elif node.layer in (UPPER, self._frozen_at) or node.parent is None:
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
            if layer is not None and known.size and known.size <= LARGEST_BASE:
                self._keep_content(node, layer, path)
        except OSError:
            return

    def _keep_content(self, node: Node, layer: Layer, path: bytes) -> None:
        if not stat.S_ISREG(node.attributes.mode) or node.ref is None:
            return
        file = layer.open(node.ref)
        try:
            content = file.read(0, node.attributes.size)
        finally:
            file.close()
        self._upper.append_base(pack_base(path, content))
