"""What the kernel forgets, the union forgets."""

from __future__ import annotations

import gc
import os
import sys

from unionfs.directory import DirectoryLayer
from unionfs.model import ROOT_NODE
from unionfs.union import Union

DIRECTORIES, FILES = 40, 250


def test_walked_tree_is_gone_when_forgotten(tmp_path):
    for number in range(DIRECTORIES):
        (tmp_path / f"d{number}").mkdir()
        for name in range(FILES):
            (tmp_path / f"d{number}" / f"f{name}").touch()
    union = Union([DirectoryLayer(os.fsencode(tmp_path))], None)

    def walk() -> list[int]:
        told = []
        for _, _, directory in union.readdir(ROOT_NODE, 0):
            union.remember(directory)
            told.append(directory.nodeid)
            for _, _, file in union.readdir(directory.nodeid, 0):
                union.remember(file)
                told.append(file.nodeid)
        return told

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    try:
        for nodeid in walk():
            union.forget(nodeid, 1)
        before = blocks()
        told = walk()
        assert len(told) == DIRECTORIES * (FILES + 1)
        held = blocks() - before
        for nodeid in told:
            union.forget(nodeid, 1)
        del told
        # Names of the root's own listing may stay.
        assert blocks() - before < held / 50
    finally:
        union.destroy()
