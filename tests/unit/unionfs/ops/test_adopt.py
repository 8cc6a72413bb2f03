"""Trees that another process prepares in the work directory, and that the union adopts."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from unionfs.directory import DirectoryUpper
from unionfs.directory.prepared import PreparedTree
from unionfs.limited.quota import Quota, QuotaLimits
from unionfs.limited.upper import LimitedUpper
from unionfs.memory import MemoryLayer, directory, regular
from unionfs.model import ROOT_NODE, Caller
from unionfs.ownership import Ownership
from unionfs.union import Union

ROOT = Caller(0, 0)
BASE = (0, 0)


@pytest.fixture
def union(tmp_path):
    upper = DirectoryUpper(
        os.fsencode(tmp_path / "upper"), os.fsencode(tmp_path / "work"), ownership=Ownership.DATA
    )
    lower = directory({b"below": directory({b"f": regular()}), b"gone": directory({})})
    union = Union([MemoryLayer(lower)], upper)
    yield union
    union.destroy()


@pytest.fixture
def prepared(tmp_path, union):
    tree = PreparedTree(str(tmp_path / "work"), BASE)
    fd = tree.make_file(tree.top, b"plain", 0o644, BASE)
    os.write(fd, b"text")
    os.close(fd)
    os.close(tree.make_file(tree.top, b"other", 0o4711, (7, 8)))
    tree.make_symlink(tree.top, b"link", b"plain", BASE)
    tree.make_symlink(tree.top, b"owned", b"plain", (7, 8))
    below = tree.make_directory(tree.top, b"sub")
    tree.set_directory(below, 0o1555, (7, 8))
    os.close(below)
    tree.set_directory(tree.top, 0o755, BASE)
    yield tree
    tree.close()


def shown(union: Union, parent: int, name: bytes):
    entry = union.lookup(parent, name)
    attributes = union.getattr(entry.nodeid)
    return attributes.mode, attributes.uid, attributes.gid


def refusal(union: Union, prepared: bytes, name: bytes, parent: int = ROOT_NODE) -> int:
    try:
        union.adopt(parent, prepared, name)
    except OSError as error:
        return error.errno
    return 0


def test_an_adopted_tree_is_what_was_prepared(union, prepared) -> None:
    parent = union.lookup(ROOT_NODE, b"below").nodeid
    union.adopt(parent, prepared.name, b"new")
    assert {item.name for item in union.readdir(parent, 0)} == {b"f", b"new"}
    top = union.lookup(parent, b"new").nodeid
    names = {item.name for item in union.readdir(top, 0)}
    assert names == {b"plain", b"other", b"link", b"owned", b"sub"}
    assert shown(union, parent, b"new") == (stat.S_IFDIR | 0o755, 0, 0)
    assert shown(union, top, b"plain") == (stat.S_IFREG | 0o644, 0, 0)
    assert shown(union, top, b"other") == (stat.S_IFREG | 0o4711, 7, 8)
    assert shown(union, top, b"link") == (stat.S_IFLNK | 0o777, 0, 0)
    assert shown(union, top, b"owned") == (stat.S_IFLNK | 0o777, 7, 8)
    assert shown(union, top, b"sub") == (stat.S_IFDIR | 0o1555, 7, 8)
    assert union.readlink(union.lookup(top, b"owned").nodeid) == b"plain"
    assert union.read(union.lookup(top, b"plain").nodeid, 0, 10) == b"text"
    assert union.getattr(parent).nlink == 3
    union.unlink(top, b"plain")
    union.rename(parent, b"new", ROOT_NODE, b"moved", 0)
    assert {item.name for item in union.readdir(top, 0)} == names - {b"plain"}


def test_a_taken_or_impossible_name_is_refused(union, prepared) -> None:
    assert refusal(union, prepared.name, b"below") == errno.EEXIST
    union.rmdir(ROOT_NODE, b"gone")
    assert refusal(union, prepared.name, b"gone") == errno.EEXIST
    for name in (b"", b".", b"..", b"a/b", b".wh.a"):
        assert refusal(union, prepared.name, name) == errno.EINVAL
    assert refusal(union, b"7", b"new") == errno.EINVAL
    assert refusal(union, b"prepared-none", b"new") == errno.ENOENT
    assert union.lookup(ROOT_NODE, b"new") is None


@pytest.mark.parametrize("kind", ["none", "real", "limited"])
def test_uppers_that_take_no_trees_refuse_before_they_look_at_names(tmp_path, kind) -> None:
    path, work = os.fsencode(tmp_path / "upper"), os.fsencode(tmp_path / "work")
    upper = None
    if kind == "real":
        upper = DirectoryUpper(path, work, ownership=Ownership.REAL)
    elif kind == "limited":
        quota = Quota(QuotaLimits(size=1 << 20))
        upper = LimitedUpper(path, work, ownership=Ownership.DATA, quota=quota)
    union = Union([MemoryLayer(directory({}))], upper)
    assert refusal(union, b"", b"") == errno.EOPNOTSUPP
    union.destroy()


def test_the_next_server_removes_trees_that_no_process_prepares(tmp_path, union, prepared) -> None:
    temporaries = tmp_path / "work" / "rootless.tmp"
    (temporaries / "prepared-left" / "sub").mkdir(parents=True)
    union.destroy()
    path, work = os.fsencode(tmp_path / "upper"), os.fsencode(tmp_path / "work")
    upper = DirectoryUpper(path, work, ownership=Ownership.DATA)
    upper.clean()
    assert os.listdir(temporaries) == [os.fsdecode(prepared.name)]
    upper.close()
