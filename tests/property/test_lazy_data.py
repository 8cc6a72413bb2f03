"""Random data operations on lazily copied files of a union, beside the same ones on a plain file."""

from __future__ import annotations

import errno
import os
import random

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.layer import Extent
from unionfs.memory import MemoryLayer, MemoryNode, directory
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from unionfs.union import Union, UnionOptions

SIZE = 300_000
MOST = 500_000
ROOT = Caller(0, 0)
ZERO_RANGE = 16


def sparse(seed: int) -> tuple[bytes, list[Extent]]:
    """Contents with holes, at offsets that are no multiple of a block."""
    chosen = random.Random(seed)
    content, extents = bytearray(SIZE), []
    at = chosen.randrange(3000)
    while at < SIZE:
        length = min(chosen.randrange(1, 60_000), SIZE - at)
        content[at : at + length] = chosen.randbytes(length)
        extents.append(Extent(at, length))
        at += length + chosen.randrange(1, 60_000)
    return bytes(content), extents


class Pair:
    """One file, in the union and on the disk."""

    def __init__(self, top: bytes, kind: str, seed: int) -> None:
        self.top, self.kind = top, kind
        self.content, self.extents = sparse(seed)
        if kind == "directory":
            os.makedirs(top + b"/lower")
            for name in (b"f", b"g", b"h"):
                self.fill(os.open(top + b"/lower/" + name, os.O_RDWR | os.O_CREAT))
        self.model = os.open(top + b"/model", os.O_RDWR | os.O_CREAT)
        os.write(self.model, self.content)
        self.mount()

    def fill(self, fd: int) -> None:
        os.ftruncate(fd, SIZE)
        for at, length in self.extents:
            os.pwrite(fd, self.content[at : at + length], at)
        os.close(fd)

    def mount(self) -> None:
        if self.kind == "directory":
            layer = DirectoryLayer(self.top + b"/lower", ownership=Ownership.DATA)
        else:
            files = {
                name: MemoryNode(0o100644, self.content, extents=self.extents)
                for name in (b"f", b"g", b"h")
            }
            layer = MemoryLayer(directory(files))
        upper = DirectoryUpper(self.top + b"/upper", self.top + b"/work", ownership=Ownership.DATA)
        self.union = Union(
            [layer], upper, UnionOptions(descriptors=2, lazy_min_size=4096, volatile=True)
        )
        self.node = self.union.lookup(ROOT_NODE, b"f").nodeid
        self.other = self.union.lookup(ROOT_NODE, b"g").nodeid
        self.third = self.union.lookup(ROOT_NODE, b"h").nodeid

    def write(self, offset: int, data: bytes) -> None:
        assert self.union.write(self.node, offset, data) == len(data)
        os.pwrite(self.model, data, offset)

    def truncate(self, size: int) -> None:
        self.union.setattr(self.node, SetAttributes(size=size))
        os.ftruncate(self.model, size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        self.union.fallocate(self.node, mode, offset, length)
        fallocate(self.model, mode, offset, length)

    def copy_within(self, source: int, target: int, length: int) -> None:
        data = os.pread(self.model, length, source)
        done = self.union.copy_file_range(self.node, source, self.node, target, len(data))
        os.pwrite(self.model, data[:done], target)

    def copy_from_other(self, source: int, target: int, length: int) -> None:
        data = self.union.read(self.other, source, length)
        done = 0
        while done < len(data):
            done += self.union.copy_file_range(
                self.other, source + done, self.node, target + done, len(data) - done
            )
        os.pwrite(self.model, data, target)

    def remount(self) -> None:
        self.union.destroy()
        self.mount()

    def finish(self) -> None:
        self.union.complete_copies()
        assert self.union.pending() == 0

    def touch_other(self) -> None:
        """Pushes the file's descriptor out."""
        for node in (self.other, self.third):
            self.union.read(node, 0, 1)

    def check(self) -> None:
        theirs = os.pread(self.model, MOST * 2, 0)
        size = len(theirs)
        known = self.union.getattr(self.node)
        assert known.size == size
        assert known.blocks > 0 or not any(theirs)
        ours = self.union.read(self.node, 0, MOST * 2)
        assert ours == theirs, f"differ from {first_difference(ours, theirs)} on"

    def data_from(self, at: int, otherwise: int) -> int:
        try:
            return self.union.lseek(self.node, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return otherwise

    def check_map(self) -> None:
        """What is no data is zeros, and the map has an end."""
        content = os.pread(self.model, MOST * 2, 0)
        at = 0
        while at < len(content):
            start = self.data_from(at, len(content))
            assert not any(content[at:start])
            if start == len(content):
                return
            at = self.union.lseek(self.node, start, os.SEEK_HOLE)
            assert at > start
        assert at == len(content)


def first_difference(ours: bytes, theirs: bytes) -> int:
    return next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), -1)


def step(pair: Pair, chosen: random.Random) -> None:
    offset = chosen.choice((chosen.randrange(MOST), chosen.randrange(MOST // 4096) * 4096))
    length = chosen.choice((1, 100, 4096, chosen.randrange(1, 20_000), chosen.randrange(1, 90_000)))
    what = chosen.randrange(100)
    if what < 40:
        pair.write(offset, chosen.randbytes(length))
    elif what < 50:
        pair.truncate(offset)
    elif what < 60:
        pair.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)
    elif what < 66:
        pair.allocate(chosen.choice((0, FALLOC_FL_KEEP_SIZE)), offset, length)
    elif what < 70:
        pair.allocate(ZERO_RANGE | chosen.choice((0, FALLOC_FL_KEEP_SIZE)), offset, length)
    elif what < 76:
        pair.copy_from_other(offset // 2, chosen.randrange(MOST), length)
    elif what < 80:
        source = chosen.randrange(MOST // 2)
        pair.copy_within(source, source + length + chosen.randrange(100_000), length)
    elif what < 90:
        pair.touch_other()
    elif what < 97:
        pair.remount()
    elif what < 98:
        pair.finish()
    else:
        pair.check_map()
    pair.check()


@pytest.mark.parametrize("kind", ["directory", "memory"])
@pytest.mark.parametrize("seed", range(12))
def test_random_operations_leave_what_they_leave_in_a_plain_file(tmp_path, kind, seed) -> None:
    pair = Pair(os.fsencode(tmp_path), kind, seed)
    chosen = random.Random(seed)
    try:
        for _ in range(60):
            step(pair, chosen)
        pair.check_map()
        pair.finish()
        pair.check()
        with open(os.fsencode(tmp_path) + b"/upper/f", "rb") as file:
            assert file.read() == os.pread(pair.model, MOST * 2, 0)
    finally:
        os.close(pair.model)
        pair.union.destroy()
