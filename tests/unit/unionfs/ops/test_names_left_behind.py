"""An upper where a file that is removed while it is open leaves another name, as on NFS: the union stashes it instead."""

from __future__ import annotations

import os

import pytest

from unionfs.directory import DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular
from unionfs.model import ROOT_NODE, Caller
from unionfs.ownership import Ownership
from unionfs.union import Union

ROOT = Caller(0, 0)


class UpperOnNFS(DirectoryUpper):
    """Whatever the disk of the test is."""

    def clean(self, kept=()):
        super().clean(kept)
        self.leaves_names = True


@pytest.fixture
def union(tmp_path):
    top = os.fsencode(tmp_path)
    upper = UpperOnNFS(top + b"/upper", top + b"/work", ownership=Ownership.DATA)
    union = Union([MemoryLayer(directory({b"lower": regular(b"lower")}))], upper)
    yield union
    union.destroy()


def open_file(union, name, data):
    """A new file that the kernel knows, with its server's descriptor open."""
    node = union.create(ROOT_NODE, name, 0o644, os.O_RDWR, ROOT).nodeid
    union.write(node, 0, data)
    assert union.read(node, 0, 100) == data
    return node


def stashed(tmp_path):
    return os.listdir(tmp_path / "work/rootless.tmp")


def test_removed_file_has_its_only_name_in_the_work_directory(union, tmp_path):
    node = open_file(union, b"file", b"open")
    union.unlink(ROOT_NODE, b"file")
    assert os.listdir(tmp_path / "upper") == []
    assert len(stashed(tmp_path)) == 1
    union.write(node, 4, b" still")
    assert union.read(node, 0, 100) == b"open still"
    assert union.getattr(node).nlink == 0
    union.forget(node, 1)
    assert stashed(tmp_path) == []


def test_file_that_a_rename_replaces_leaves_the_directory_first(union, tmp_path):
    node = open_file(union, b"old", b"old")
    open_file(union, b"new", b"new")
    union.rename(ROOT_NODE, b"new", ROOT_NODE, b"old", 0)
    assert os.listdir(tmp_path / "upper") == ["old"]
    assert (tmp_path / "upper/old").read_bytes() == b"new"
    assert len(stashed(tmp_path)) == 1
    assert union.read(node, 0, 100) == b"old"
    union.forget(node, 1)
    assert stashed(tmp_path) == []


def test_file_that_hides_a_lower_one_leaves_a_whiteout(union, tmp_path):
    node = union.lookup(ROOT_NODE, b"lower").nodeid
    union.write(node, 0, b"upper")
    union.unlink(ROOT_NODE, b"lower")
    assert union.lookup(ROOT_NODE, b"lower") is None
    assert union.read(node, 0, 100) == b"upper"
    assert len(os.listdir(tmp_path / "upper")) == 1


def test_disk_leaves_no_names(tmp_path):
    top = os.fsencode(tmp_path)
    upper = DirectoryUpper(top + b"/upper", top + b"/work", ownership=Ownership.DATA)
    upper.clean()
    assert upper.leaves_names is False
    assert stashed(tmp_path) == []
    upper.close()
