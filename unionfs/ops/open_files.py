"""The open files of a union: how many are kept, and which of them must be."""

from __future__ import annotations

import os

from unionfs.bases import OrderedDict
from unionfs.nodes import Backing, Node

_SLACK = 8
"""More files than are to be kept open may be until `close_excess`."""


class OpenFiles:
    """The backings of all nodes. `bound`: how many are kept open, those not counted that are the
    only way to their file."""

    def __init__(self, bound: int) -> None:
        # copy_file_range needs two at a time.
        self.bound = max(bound, 2)
        self.kept: OrderedDict[Node, Backing] = OrderedDict()
        """The files that can be opened again, the longest unused first."""
        self.used = self.kept.move_to_end
        """To be told of each use of one that is not pinned."""
        self.pinned = 0
        """How many files are kept open because nothing else leads to them."""

    def keep(self, node: Node, backing: Backing) -> None:
        """Make `backing` the node's open file; the one longest unused is closed if there are too
        many."""
        if node.backing is not None:
            self.close(node)
        node.backing = backing
        if backing.pinned:
            return
        self.kept[node] = backing
        if len(self.kept) > self.bound + _SLACK:
            self.close_excess()

    def close_excess(self) -> None:
        while len(self.kept) > self.bound:
            self.close(next(iter(self.kept)))

    def pin(self, node: Node) -> None:
        """Keep the node's open file open whatever comes."""
        if node.backing is not None and not node.backing.pinned:
            node.backing.pinned = True
            self.pinned += 1
            self.kept.pop(node, None)

    def close(self, node: Node) -> None:
        """Close the node's open file, if it has one."""
        backing = node.backing
        if backing is None:
            return
        node.backing = None
        self.pinned -= backing.pinned
        self.kept.pop(node, None)
        if backing.file is not None:
            backing.file.close()
        else:
            os.close(backing.fd)
