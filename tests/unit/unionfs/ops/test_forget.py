"""What the kernel forgets, the union forgets."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from unionfs.directory import DirectoryLayer
from unionfs.model import ROOT_NODE
from unionfs.union import Union

DIRECTORIES, FILES = 40, 250


def walk(union: Union) -> list[int]:
    """Tell the kernel of directories and what is in them; the nodes, in that order."""
    told = []
    for _, _, directory in union.readdir(ROOT_NODE, 0):
        union.remember(directory)
        told.append(directory.nodeid)
        for _, _, file in union.readdir(directory.nodeid, 0):
            union.remember(file)
            told.append(file.nodeid)
    return told


def test_walked_tree_is_gone_when_forgotten(tmp_path):
    for number in range(DIRECTORIES):
        (tmp_path / f"d{number}").mkdir()
        for name in range(FILES):
            (tmp_path / f"d{number}" / f"f{name}").touch()
    union = Union([DirectoryLayer(os.fsencode(tmp_path))], None)

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    try:
        for nodeid in walk(union):
            union.forget(nodeid, 1)
        before = blocks()
        told = walk(union)
        assert len(told) == DIRECTORIES * (FILES + 1)
        held = blocks() - before
        for nodeid in told:
            union.forget(nodeid, 1)
        del told
        # Names of the root's own listing may stay.
        assert blocks() - before < held / 50
    finally:
        union.destroy()


def descriptors_below(directory):
    """How many descriptors of this process are open there; those of other tests do not count."""
    count = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{each}").startswith(str(directory))
    return count


def test_descriptors_and_listings_go_with_the_last_of_many(tmp_path):
    """One object that stays keeps a megabyte of the interpreter's memory from going back."""
    for number in range(20):
        (tmp_path / f"d{number}").mkdir()
        for name in range(60):
            (tmp_path / f"d{number}" / f"f{name}").touch()
    union = Union([DirectoryLayer(os.fsencode(tmp_path))], None)
    try:
        before = descriptors_below(tmp_path)
        told = walk(union)
        assert descriptors_below(tmp_path) > before
        for nodeid in reversed(told):
            union.forget(nodeid, 1)
        assert descriptors_below(tmp_path) == before
        assert len(list(union.readdir(ROOT_NODE, 0))) == 20
    finally:
        union.destroy()
