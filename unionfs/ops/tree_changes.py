"""The paths of the upper that have changed since the mount."""

from __future__ import annotations

import stat

from unionfs.layer import Mark, Ref
from unionfs.model import ROOT_NODE
from unionfs.ops.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


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
            number = entry.attributes.ino if entry.origin is None else entry.origin
            if number in tree.changed:
                yield at
            if stat.S_ISDIR(entry.attributes.mode):
                below.append((at, entry.ref))
