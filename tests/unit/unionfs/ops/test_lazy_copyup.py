"""Lazy copy-up: what it costs, what it keeps, and how it ends."""

from __future__ import annotations

import os
import stat
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.tar_layers import layer_files
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.tar.chain import build_chain
from unionfs.tar.layer import ChainLayer, TarLayer
from unionfs.union import Union, UnionOptions

ROOT = Caller(0, 0)
SIZE = 8 << 20
CONTENT = os.urandom(1 << 20) * 8


@pytest.fixture
def disk(tmp_path):
    return os.fsencode(tmp_path)


def lower() -> MemoryLayer:
    big = regular(CONTENT)
    return MemoryLayer(
        directory(
            {
                b"big": regular(CONTENT),
                b"one": big,
                b"two": big,
                b"d": directory({b"f": regular(CONTENT)}),
                b"small": regular(b"small"),
            }
        )
    )


def mount(disk: bytes, *layers, lazy: int | None = 1 << 20, **options) -> Union:
    upper = DirectoryUpper(disk + b"/upper", disk + b"/work", ownership=Ownership.DATA)
    return Union(
        list(layers) or [lower()], upper, UnionOptions(lazy_min_size=lazy, volatile=True, **options)
    )


def find(union: Union, path: bytes) -> int:
    at = ROOT_NODE
    for name in path.split(b"/"):
        at = union.lookup(at, name).nodeid
    return at


def used(path: bytes) -> int:
    return os.stat(path).st_blocks * 512


def test_write_copies_the_blocks_it_touches(disk) -> None:
    union = mount(disk)
    node = find(union, b"big")
    union.write(node, 5000, b"changed")
    assert used(disk + b"/upper/big") <= 64 << 10
    assert union.pending() >= SIZE - (64 << 10)
    assert union.read(node, 0, SIZE) == CONTENT[:5000] + b"changed" + CONTENT[5007:]
    (record,) = union.copy_up_stats
    assert (record.path, record.copied, record.changed, record.size) == (b"/big", 0, 7, SIZE)
    assert union.copy_up_stats.size == SIZE


@pytest.mark.parametrize(
    "change",
    [
        lambda u, n: u.setattr(n, SetAttributes(mode=0o600)),
        lambda u, n: u.setattr(n, SetAttributes(uid=7, gid=8)),
        lambda u, n: u.setattr(n, SetAttributes(atime_ns=1, mtime_ns=2)),
        lambda u, n: u.setxattr(n, b"user.x", b"y", 0),
        lambda u, n: u.link(n, ROOT_NODE, b"another"),
        lambda u, n: u.rename(ROOT_NODE, b"big", ROOT_NODE, b"moved", 0),
        lambda u, n: u.setattr(n, SetAttributes(size=SIZE - 100)),
    ],
    ids=["chmod", "chown", "utimes", "setxattr", "link", "rename", "truncate"],
)
def test_change_of_attributes_or_names_copies_no_data(disk, change) -> None:
    union = mount(disk)
    node = find(union, b"big")
    change(union, node)
    assert union.copy_up_stats.copied == 0
    size = union.getattr(node).size
    assert union.getattr(node).blocks * 512 >= size
    assert union.read(node, 0, SIZE) == CONTENT[:size]
    union.destroy()
    union = mount(disk)
    union.complete_copies()
    found = [item.entry for item in union.readdir(ROOT_NODE, 0) if item.name != b"small"]
    for entry in found:
        union.remember(entry)
        if stat.S_ISREG(entry.attributes.mode):
            assert union.read(entry.nodeid, 0, SIZE) == CONTENT[: entry.attributes.size]


def test_small_files_and_those_without_a_name_are_copied_whole(disk) -> None:
    union = mount(disk)
    small, big = find(union, b"small"), find(union, b"big")
    union.write(small, 0, b"S")
    union.unlink(ROOT_NODE, b"big")
    union.write(big, 0, b"B")
    assert union.pending() == 0
    assert union.read(big, 0, 10) == b"B" + CONTENT[1:10]


def test_hard_links_stay_one_file(disk) -> None:
    union = mount(disk)
    union.write(find(union, b"one"), 3, b"xyz")
    union.destroy()
    union = mount(disk)
    expected = CONTENT[:3] + b"xyz" + CONTENT[6:]
    assert union.read(find(union, b"two"), 0, SIZE) == expected
    assert union.complete_copies() > SIZE - (64 << 10)
    assert union.read(find(union, b"two"), 0, SIZE) == expected
    assert union.getattr(find(union, b"two")).nlink == 2


def test_file_goes_with_a_renamed_directory(disk) -> None:
    union = mount(disk)
    union.rename(ROOT_NODE, b"d", ROOT_NODE, b"e", 0)
    union.write(find(union, b"e/f"), 0, b"x")
    union.rename(find(union, b"e"), b"f", ROOT_NODE, b"g", 0)
    union.destroy()
    union = mount(disk)
    assert union.read(find(union, b"g"), 0, SIZE) == b"x" + CONTENT[1:]


def test_unlinked_file_stays_whole_and_leaves_nothing(disk) -> None:
    union = mount(disk)
    node = find(union, b"big")
    union.write(node, 0, b"x")
    union.unlink(ROOT_NODE, b"big")
    assert union.read(node, 0, SIZE) == b"x" + CONTENT[1:]
    union.write(node, 9, b"y")
    union.forget(node, 1)
    assert union.complete_copies() == 0
    assert union.pending() == 0


def test_read_only_reading_and_off_change_nothing(disk) -> None:
    union = mount(disk, lazy=None)
    union.write(find(union, b"big"), 0, b"x")
    assert used(disk + b"/upper/big") >= SIZE
    assert union.pending() == 0


def test_finished_upper_needs_no_lower(disk) -> None:
    union = mount(disk)
    union.write(find(union, b"big"), 77, b"x")
    union.complete_copies()
    assert union.write(find(union, b"big"), 78, b"y") == 1
    union.destroy()
    with open(disk + b"/upper/big", "rb") as file:
        assert file.read() == CONTENT[:77] + b"xy" + CONTENT[79:]
    assert "user.rootless.lazy" not in os.listxattr(disk + b"/upper")
    assert "user.rootless.lazy" not in os.listxattr(disk + b"/upper/big")
    mount(disk, MemoryLayer(directory())).destroy()


def test_destroy_finishes_where_others_are_to_read_the_upper(disk) -> None:
    union = mount(disk, complete_at_end=True)
    union.write(find(union, b"big"), 0, b"x")
    union.destroy()
    with open(disk + b"/upper/big", "rb") as file:
        assert file.read() == b"x" + CONTENT[1:]


def test_background_completes_while_the_file_is_in_use(disk) -> None:
    union = mount(disk, background_rate=1 << 30)
    node = find(union, b"big")
    expected = bytearray(CONTENT)
    deadline = time.monotonic() + 120
    turn = 0
    while turn == 0 or "user.rootless.lazy" in os.listxattr(disk + b"/upper/big"):
        if turn < 40:
            at = turn * 200_003
            union.write(node, at, b"changed")
            expected[at : at + 7] = b"changed"
        turn += 1
        assert union.read(node, 0, SIZE) == expected
        assert time.monotonic() < deadline
    assert union.read(node, 0, SIZE) == expected
    union.write(node, 0, b"after")
    expected[:5] = b"after"
    union.destroy()
    with open(disk + b"/upper/big", "rb") as file:
        assert file.read() == expected


def test_layers_of_archives_work_alone_and_as_a_chain(disk) -> None:
    item = tarfile.TarInfo("big")
    item.size, item.mtime = SIZE, 12345
    tar, sqlite = layer_files(Path(os.fsdecode(disk)), [(item, CONTENT)])
    union = mount(disk, TarLayer(tar, sqlite))
    union.write(find(union, b"big"), 4097, b"x")
    union.destroy()
    build_chain([sqlite], os.fsdecode(disk + b"/chain"))
    union = mount(disk, ChainLayer(os.fsdecode(disk + b"/chain"), [tar]))
    assert union.read(find(union, b"big"), 0, SIZE) == CONTENT[:4097] + b"x" + CONTENT[4098:]
    union.complete_copies()


def test_directory_that_is_no_upper_refuses_what_is_not_whole(disk) -> None:
    union = mount(disk)
    union.write(find(union, b"big"), 0, b"x")
    union.destroy()
    below = DirectoryLayer(disk + b"/upper", ownership=Ownership.DATA)
    union = Union([below], None)
    with pytest.raises(OSError, match="not all of the file"):
        union.read(find(union, b"big"), 0, 1)
    union.destroy()


@pytest.mark.parametrize("in_background", [False, True])
def test_completion_keeps_the_times_of_the_file(disk, in_background) -> None:
    union = mount(disk, background_rate=(1 << 30) if in_background else None)
    node = find(union, b"big")
    union.setattr(node, SetAttributes(mode=0o600))
    known = union.getattr(node)
    if in_background:
        deadline = time.monotonic() + 120
        while "user.rootless.lazy" in os.listxattr(disk + b"/upper/big"):
            assert union.getattr(node).mtime_ns == known.mtime_ns
            assert time.monotonic() < deadline
    else:
        assert union.complete_copies() == SIZE
    union.destroy()
    union = mount(disk)
    seen = union.getattr(find(union, b"big"))
    assert (seen.atime_ns, seen.mtime_ns) == (known.atime_ns, known.mtime_ns)
