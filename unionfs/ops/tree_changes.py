"""What of the upper has been changed since the mount, as paths."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from unionfs.layer import LayerEntry, Mark, Ref
from unionfs.model import ROOT_NODE
from unionfs.nodes import UPPER
from unionfs.ops.tree import Tree


def changed_paths(tree: Tree) -> Iterator[bytes]:
    """One pass over the upper; nothing of the lowers is read."""
    upper = tree.upper
    if upper is None or not tree.changed:
        return
    root = upper.root()
    if ROOT_NODE in tree.changed:
        yield b"/"
    below: list[tuple[bytes, Ref]] = [(b"", root.ref)]
    while below:
        path, ref = below.pop()
        for name, entry in upper.listing(ref):
            if entry.mark is Mark.WHITEOUT:
                continue
            at = path + b"/" + name
            if _number(tree, entry) in tree.changed:
                yield at
            if stat.S_ISDIR(entry.attributes.mode):
                below.append((at, entry.ref))


def _number(tree: Tree, entry: LayerEntry) -> int:
    return tree.number(UPPER, entry.attributes.ino) if entry.origin is None else entry.origin
