"""Compares the files of a layer with those of an earlier one, for `--explain`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from unionfs.changes.snapshot import Snapshot
from unionfs.nodes import Directory, Node

_PIECE = 1 << 20
_MOST = 5
"""Paths that are named."""


def changed_files(before: Snapshot, after: Snapshot) -> str:
    """The paths at which two trees differ, in words; empty if they are the same. Raises OSError."""
    shown = []
    for number, text in enumerate(_differences(before, after)):
        if number == _MOST:
            shown.append("and others")
            break
        shown.append(text)
    return ", ".join(shown)


def _differences(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Times do not count, nor do owner and mode of directories that lead to the files."""
    old, new = ({each.path: each.node for each in tree.tree()} for tree in (before, after))
    for path in sorted(old.keys() | new.keys()):
        mine, theirs = new.get(path), old.get(path)
        name = f"/{os.fsdecode(path)}"
        if mine is None:
            yield f"{name} (gone)"
        elif theirs is None:
            yield f"{name} (new)"
        elif _state(mine, after) != _state(theirs, before) or not _is_same(
            mine, after, theirs, before
        ):
            yield name


def _state(node: Node, tree: Snapshot) -> tuple[object, ...]:
    attributes = node.attributes
    if isinstance(node, Directory):
        return (stat.S_IFDIR,)
    target = tree.readlink(node) if stat.S_ISLNK(attributes.mode) else b""
    return attributes.mode, attributes.uid, attributes.gid, attributes.size, target


def _is_same(mine: Node, after: Snapshot, theirs: Node, before: Snapshot) -> bool:
    """Whether two objects of one state have the same data."""
    if not stat.S_ISREG(mine.attributes.mode):
        return True
    first, second = after.open_file(mine), before.open_file(theirs)
    try:
        return all(
            first.read(offset, _PIECE) == second.read(offset, _PIECE)
            for offset in range(0, mine.attributes.size, _PIECE)
        )
    finally:
        first.close()
        second.close()
