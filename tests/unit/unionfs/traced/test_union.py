"""What operations on a union leave in its trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unionfs.directory import DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular, symlink
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.traced.trace import Access
from unionfs.traced.union import TracedUnion
from unionfs.union import UnionOptions

CALLER = Caller(0, 0)
LOOKUP, CONTENT, NAMES, XATTRS, TREE = Access


@pytest.fixture
def union(tmp_path: Path):
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    upper = DirectoryUpper(
        os.fsencode(tmp_path / "upper"), os.fsencode(tmp_path / "work"), ownership=Ownership.DATA
    )
    linked = regular(b"linked")
    lower = MemoryLayer(
        directory(
            {
                b"a": regular(b"content"),
                b"l": symlink(b"a"),
                b"d": directory({b"x": regular(b"x"), b"e": directory({b"y": linked})}),
                b"y": linked,
            }
        )
    )
    made = TracedUnion([lower], upper, UnionOptions(volatile=True))
    yield made
    made.destroy()


def node(union, path):
    """Look up each name of a path, as the kernel does."""
    at = ROOT_NODE
    for name in path.split(b"/"):
        entry = union.lookup(at, name)
        assert entry is not None
        at = entry.nodeid
    return at


def seen(union):
    return {each.path: each.access for each in union.trace.records() if each.path}


def test_names_are_noted_whether_they_exist_or_not(union):
    node(union, b"d/e")
    assert union.lookup(ROOT_NODE, b"missing") is None
    assert seen(union) == {b"d": LOOKUP, b"d/e": LOOKUP, b"missing": LOOKUP}


def test_reading_a_file_is_noted_as_its_content(union):
    assert union.read(node(union, b"a"), 0, 2) == b"co"
    assert seen(union) == {b"a": LOOKUP | CONTENT}


def test_a_listing_is_noted_as_names_alone(union):
    assert len(list(union.readdir(node(union, b"d"), 0))) == 2
    assert seen(union) == {b"d": LOOKUP | NAMES}


def test_a_listing_with_attributes_is_noted_as_looking_up_what_it_announces(union):
    union.readdirplus(node(union, b"d"), 0, 4096, 100)
    assert seen(union) == {b"d": LOOKUP | NAMES, b"d/x": LOOKUP, b"d/e": LOOKUP}


def test_what_the_union_itself_holds_is_not_noted(union):
    made = union.mkdir(ROOT_NODE, b"new", 0o755, CALLER)
    file = union.create(made.nodeid, b"file", 0o644, os.O_RDWR, CALLER)
    union.write(file.nodeid, 0, b"data")
    union.read(file.nodeid, 0, 4)
    assert seen(union) == {b"new": LOOKUP}


def test_a_file_that_is_copied_up_is_noted_with_its_content_unless_it_is_emptied(union):
    union.write(node(union, b"a"), 0, b"C")
    union.setattr(node(union, b"d/x"), SetAttributes(size=0))
    found = seen(union)
    assert found[b"a"] == LOOKUP | CONTENT | XATTRS
    assert found[b"d/x"] == LOOKUP | XATTRS
    assert found[b"d"] == LOOKUP | XATTRS


def test_a_directory_that_moves_is_noted_with_all_below_and_looked_up_where_the_lowers_have_it(
    union,
):
    node(union, b"d")
    union.rename(ROOT_NODE, b"d", ROOT_NODE, b"moved", 0)
    union.read(node(union, b"moved/x"), 0, 1)
    found = seen(union)
    assert found[b"d"] & TREE
    assert found[b"d/x"] == LOOKUP | CONTENT
    assert found[b"moved"] == LOOKUP


def test_removing_a_directory_is_noted_as_listing_it(union):
    e = node(union, b"d/e")
    union.unlink(e, b"y")
    union.rmdir(node(union, b"d"), b"e")
    assert seen(union)[b"d/e"] == LOOKUP | NAMES | XATTRS


def test_a_file_that_is_read_after_its_last_name_is_gone_is_noted_by_that_name(union):
    file = node(union, b"a")
    union.unlink(ROOT_NODE, b"a")
    union.read(file, 0, 1)
    assert seen(union)[b"a"] == LOOKUP | CONTENT


def test_the_times_of_a_file_without_names_are_of_no_layer(union):
    file = node(union, b"a")
    union.unlink(ROOT_NODE, b"a")
    union.setattr(file, SetAttributes(mtime_ns=5, ctime_ns=5))
    assert seen(union) == {b"a": LOOKUP}


def test_attributes_are_noted_by_object(union):
    union.listxattr(node(union, b"d/x"))
    assert seen(union)[b"d/x"] == LOOKUP | XATTRS


def test_directories_are_shown_with_one_link(union):
    assert union.getattr(node(union, b"d")).nlink == 1
