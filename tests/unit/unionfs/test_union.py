"""statfs and statistics of a union, and what it keeps in memory."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from tests.support.tar_layers import layer_of
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.union import Union
from unionfs.xattr_names import ACCESS_ACL

ROOT = Caller(0, 0)


def upper(tmp_path) -> DirectoryUpper:
    top = os.fsencode(tmp_path)
    return DirectoryUpper(top + b"/upper", top + b"/work", ownership=Ownership.DATA)


def find(union: Union, path: bytes) -> int:
    at = ROOT_NODE
    for name in path.split(b"/"):
        at = union.lookup(at, name).nodeid
    return at


def test_read_only_union_has_the_size_of_the_file_system_of_its_layers(tmp_path) -> None:
    expected = os.statvfs(tmp_path)
    for layer in (DirectoryLayer(bytes(tmp_path)), layer_of(tmp_path, [])):
        found = Union([layer], None).statfs()
        assert (found.bsize, found.blocks, found.namelen) == (
            expected.f_bsize,
            expected.f_blocks,
            expected.f_namemax,
        )


def test_time_of_birth_is_that_of_the_file_on_disk(tmp_path) -> None:
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower" / "f").touch()
    union = Union([DirectoryLayer(bytes(tmp_path / "lower"))], upper(tmp_path))
    node = find(union, b"f")
    below = union.statx(node)[1]
    assert below is not None
    assert below <= union.getattr(node).ctime_ns
    union.write(node, 0, b"x")
    above = union.statx(node)[1]
    assert above is not None
    assert above >= below
    assert union.statx(ROOT_NODE)[0].ino == 1


def test_changed_paths_are_those_of_the_upper_changed_since_the_mount(tmp_path) -> None:
    below = MemoryLayer(directory({b"d": directory({b"f": regular(b"x"), b"g": regular()})}))
    union = Union([below], upper(tmp_path))
    union.write(find(union, b"d/f"), 0, b"y")
    union.create(ROOT_NODE, b"old", 0o600, os.O_RDWR, ROOT)
    union.destroy()
    union = Union([below], upper(tmp_path))
    assert list(union.changed_paths()) == []
    union.setattr(find(union, b"d/g"), SetAttributes(mode=0o600))
    union.mkdir(ROOT_NODE, b"new", 0o755, ROOT)
    union.rename(ROOT_NODE, b"new", find(union, b"d"), b"n", 0)
    assert sorted(union.changed_paths()) == [b"/d/g", b"/d/n"]


def walk(union: Union, at: int) -> int:
    count = 0
    for item in union.readdir(at, 0):
        union.remember(item.entry)
        count += 1
        if item.entry.attributes.mode & 0o040000:
            count += walk(union, item.entry.nodeid)
    return count


def test_forgotten_nodes_take_no_memory() -> None:
    tree = directory(
        {
            b"d%d" % number: directory({b"f%d" % n: regular() for n in range(200)})
            for number in range(100)
        }
    )
    union = Union([MemoryLayer(tree)], None)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert walk(union, ROOT_NODE) == 20_100
        walked = tracemalloc.get_traced_memory()[0]
        for number in list(union._nodes):
            union.forget(number, 1)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < (walked - before) / 20


def test_root_without_an_acl_is_known_until_an_attribute_is_set(tmp_path) -> None:
    (tmp_path / "lower").mkdir()
    union = Union([DirectoryLayer(bytes(tmp_path / "lower"))], upper(tmp_path))
    assert not union.lacks_acl(ROOT_NODE)
    with pytest.raises(OSError, match="No data"):
        union.getxattr(ROOT_NODE, ACCESS_ACL)
    assert union.lacks_acl(ROOT_NODE)
    union.setxattr(ROOT_NODE, b"user.any", b"value", 0)
    assert not union.lacks_acl(ROOT_NODE)
    union.destroy()
