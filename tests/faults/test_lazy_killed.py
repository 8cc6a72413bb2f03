"""Lazy copies, a server killed at any step, and power lost: what was synced is there, what was
not is old or new, block by block, and nothing that was cut off comes back."""

from __future__ import annotations

import errno
import os
import random
import shutil

import pytest

from tests.support.killed import work_until_killed
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

ROOT = Caller(0, 0)
BLOCK = 4096
SIZE = 40 * BLOCK + 100
OLD = bytes(random.Random(5).randbytes(SIZE))


def fill_lower(disk: bytes) -> None:
    os.makedirs(disk + b"/lower/d")
    with open(disk + b"/lower/d/f", "wb") as file:
        file.write(OLD)


def mount(disk: bytes, lower: bytes = b"/lower") -> Union:
    upper = DirectoryUpper(disk + b"/upper", disk + b"/work", ownership=Ownership.DATA)
    below = DirectoryLayer(disk + lower, ownership=Ownership.DATA)
    try:
        return Union([below], upper, UnionOptions(lazy_min_size=BLOCK, volatile=True))
    except OSError:
        upper.close()
        raise


def node(union: Union) -> int:
    return union.lookup(union.lookup(ROOT_NODE, b"d").nodeid, b"f").nodeid


def content(union: Union) -> bytes:
    at = node(union)
    assert union.getattr(at).size == len(union.read(at, 0, 1 << 20))
    return union.read(at, 0, 1 << 20)


def operations():
    """Each with what the file holds afterwards."""
    now = bytearray(OLD)
    chosen = random.Random(7)

    def write(at: int, data: bytes):
        now.extend(bytes(max(at - len(now), 0)))
        now[at : at + len(data)] = data
        return lambda u: u.write(node(u), at, data)

    def truncate(size: int):
        now.extend(bytes(max(size - len(now), 0)))
        del now[size:]
        return lambda u: u.setattr(node(u), SetAttributes(size=size))

    def punch(at: int, length: int):
        length = min(length, len(now) - at)
        now[at : at + length] = bytes(length)
        return lambda u: u.fallocate(node(u), 3, at, length)

    yield lambda u: u.setattr(node(u), SetAttributes(mode=0o640)), bytes(now)
    for _ in range(6):
        # No more than a page: what one request writes is not torn.
        yield write(chosen.randrange(SIZE // BLOCK) * BLOCK, chosen.randbytes(3000)), bytes(now)
    yield truncate(20 * BLOCK + 5), bytes(now)
    yield write(25 * BLOCK, b"beyond"), bytes(now)
    yield truncate(10 * BLOCK + 7), bytes(now)
    yield truncate(30 * BLOCK), bytes(now)
    yield punch(2 * BLOCK + 9, 500), bytes(now)
    yield lambda u: u.finish(), bytes(now)
    yield write(3 * BLOCK, b"after"), bytes(now)


@pytest.mark.parametrize("stop", range(14))
def test_kill_during_a_lazy_operation_shows_the_file_before_or_after_it(tmp_path, stop) -> None:
    disk = os.fsencode(tmp_path)
    fill_lower(disk)
    states = [OLD, *(after for _, after in operations())]
    done = work_until_killed(lambda: mount(disk), [one for one, _ in operations()], stop)
    for _ in range(2):
        union = mount(disk)
        seen = content(union)
        assert seen in states[done : done + 2], f"killed after {done} operations"
        union.complete_copies()
        assert content(union) == seen
        union.destroy()
    with open(disk + b"/lower/d/f", "rb") as lower:
        assert lower.read() == OLD


def lose_power(disk: bytes, lost: set[int]) -> None:
    """The upper as it would be if these blocks of the file had not been written."""
    path = disk + b"/upper/d/f"
    copy = disk + b"/work/copy"
    with open(path, "rb") as file, open(copy, "wb") as kept:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            at -= at % BLOCK
            if at // BLOCK not in lost:
                os.pwrite(kept.fileno(), os.pread(file.fileno(), BLOCK, at), at)
            at += BLOCK
        os.ftruncate(kept.fileno(), size)
    for name in os.listxattr(path):
        os.setxattr(copy, name, os.getxattr(path, name))
    os.rename(copy, path)


@pytest.mark.parametrize("seed", range(8))
def test_lost_blocks_show_what_the_lower_has(tmp_path, seed) -> None:
    disk = os.fsencode(tmp_path)
    fill_lower(disk)
    chosen = random.Random(seed)
    union = mount(disk)
    for _ in range(12):
        union.write(node(union), chosen.randrange(SIZE), chosen.randbytes(chosen.randrange(9000)))
    written = content(union)
    union.destroy()
    lost = {number for number in range(SIZE // BLOCK + 3) if chosen.random() < 0.5}
    lose_power(disk, lost)
    seen = content(mount(disk))
    assert len(seen) == len(written)
    for at in range(0, len(seen), BLOCK):
        old = (OLD[at : at + BLOCK] + bytes(BLOCK))[: len(seen[at : at + BLOCK])]
        expected = old if at // BLOCK in lost else written[at : at + BLOCK]
        assert seen[at : at + BLOCK] == expected, at // BLOCK


def test_what_was_cut_off_does_not_come_back_after_a_kill(tmp_path) -> None:
    disk = os.fsencode(tmp_path)
    fill_lower(disk)
    union = mount(disk)
    union.write(node(union), 0, b"x")
    union.destroy()
    # As after a kill between the truncation and the new mark.
    os.truncate(disk + b"/upper/d/f", 5 * BLOCK + 1)
    union = mount(disk)
    union.setattr(node(union), SetAttributes(size=SIZE))
    expected = b"x" + OLD[1 : 5 * BLOCK + 1] + bytes(SIZE - 5 * BLOCK - 1)
    assert content(union) == expected
    union.destroy()
    assert content(mount(disk)) == expected


def test_changed_lower_is_an_error_and_never_other_data(tmp_path) -> None:
    disk = os.fsencode(tmp_path)
    fill_lower(disk)
    union = mount(disk)
    union.write(node(union), 7 * BLOCK, b"x" * BLOCK)
    union.destroy()
    with open(disk + b"/lower/d/f", "r+b") as file:
        file.write(b"changed")
    union = mount(disk)
    at = node(union)
    with pytest.raises(OSError, match="has changed"):
        union.read(at, 0, 10)
    with pytest.raises(OSError, match="has changed"):
        union.complete_copies()
    assert union.getattr(at).size == SIZE
    union.unlink(union.lookup(ROOT_NODE, b"d").nodeid, b"f")
    assert union.complete_copies() == 0


def test_unfinished_upper_refuses_other_lowers_and_other_readers(tmp_path) -> None:
    disk = os.fsencode(tmp_path)
    fill_lower(disk)
    shutil.copytree(disk + b"/lower", disk + b"/other")
    union = mount(disk)
    union.write(node(union), 0, b"x")
    union.destroy()
    with pytest.raises(OSError, match="finish it with those first"):
        mount(disk, b"/other")
    layer = DirectoryLayer(disk + b"/upper", ownership=Ownership.DATA)
    entry = layer.lookup(layer.lookup(layer.root().ref, b"d").ref, b"f")
    with pytest.raises(OSError, match="not all of the file has been copied up"):
        layer.open(entry.ref)
    layer.close()
    union = mount(disk)
    assert union.pending() >= SIZE - 2 * BLOCK
    union.complete_copies()
    union.destroy()
    union = mount(disk, b"/other")
    assert content(union) == b"x" + OLD[1:]
