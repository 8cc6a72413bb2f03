"""Owners, modes and the rights that go with them, as the layers keep them and the mount shows them."""

from __future__ import annotations

import os
import stat

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import IdView, Ownership
from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from unionfs.union import Union, UnionOptions

ROOT = Caller(0, 0)
ALL = ((0, 0xFFFFFFFF),)
_PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


def upper(tmp_path, ownership=Ownership.DATA) -> DirectoryUpper:
    top = os.fsencode(tmp_path)
    return DirectoryUpper(top + b"/upper", top + b"/work", ownership=ownership)


@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK])
@pytest.mark.parametrize("changes", [{"uid": 5}, {"gid": 5}])
def test_change_of_owner_takes_the_set_id_bits(tmp_path, kind, changes) -> None:
    union = Union([], upper(tmp_path))
    node = union.mknod(ROOT_NODE, b"f", kind | 0o6555, 0, ROOT).nodeid
    union.setattr(node, SetAttributes(mode=0o6555))
    union.setattr(node, SetAttributes(**changes))
    assert stat.S_IMODE(union.getattr(node).mode) == 0o555


def test_change_of_owner_leaves_a_directory_its_bits(tmp_path) -> None:
    union = Union([], upper(tmp_path))
    node = union.mkdir(ROOT_NODE, b"d", 0o2775, ROOT).nodeid
    union.setattr(node, SetAttributes(gid=5))
    assert stat.S_IMODE(union.getattr(node).mode) == 0o2775


def test_file_that_its_owner_may_not_write_to_is_copied_up_under_real_owners(tmp_path) -> None:
    ours = (os.geteuid(), os.getegid())
    below = regular(b"data", mode=0o444, uid=ours[0], gid=ours[1])
    below.xattrs = {b"user.x": b"y"}
    union = Union([MemoryLayer(directory({b"f": below}))], upper(tmp_path, Ownership.REAL))
    node = union.lookup(ROOT_NODE, b"f").nodeid
    union.setattr(node, SetAttributes(mode=0o406))
    assert union.getxattr(node, b"user.x") == b"y"
    assert stat.S_IMODE(os.stat(tmp_path / "upper" / "f").st_mode) == 0o406


def test_file_open_for_writing_can_be_written_whatever_its_mode(tmp_path) -> None:
    union = Union([], upper(tmp_path, Ownership.REAL), UnionOptions(descriptors=2))
    nodes = [
        union.create(
            ROOT_NODE, b"%d" % n, 0o444, os.O_RDWR, Caller(os.geteuid(), os.getegid())
        ).nodeid
        for n in range(6)
    ]
    for turn in range(2):
        for node in nodes:
            union.write(node, turn, b"x")
    assert [union.read(node, 0, 9) for node in nodes] == [b"xx"] * 6
    assert stat.S_IMODE(os.stat(tmp_path / "upper" / "3").st_mode) == 0o444


def test_shifted_ids_are_shown_and_stored(tmp_path) -> None:
    view = IdView(ALL, ALL, 65534, 65534, ((0, 1000, 10),), ((0, 2000, 10),))
    below = MemoryLayer(directory({b"f": regular(uid=1, gid=2), b"g": regular(uid=50, gid=2)}))
    union = Union([below], upper(tmp_path), UnionOptions(view=view))
    shown = union.lookup(ROOT_NODE, b"f").attributes
    assert (shown.uid, shown.gid) == (1001, 2002)
    assert union.lookup(ROOT_NODE, b"g").attributes.uid == 65534
    made = union.create(ROOT_NODE, b"new", 0o600, os.O_RDWR, Caller(1003, 2004))
    assert (made.attributes.uid, made.attributes.gid) == (1003, 2004)
    union.setattr(made.nodeid, SetAttributes(uid=1005))
    assert union.getattr(made.nodeid).uid == 1005
    union.destroy()
    plain = Union([below], upper(tmp_path))
    stored = plain.lookup(ROOT_NODE, b"new").attributes
    assert (stored.uid, stored.gid) == (5, 4)


def test_static_nlink_shows_one_link_of_directories(tmp_path) -> None:
    below = MemoryLayer(directory({b"d": directory({b"e": directory()})}))
    union = Union([below], upper(tmp_path), UnionOptions(static_nlink=True))
    entry = union.lookup(ROOT_NODE, b"d")
    assert entry.attributes.nlink == 1
    union.mkdir(entry.nodeid, b"n", 0o755, ROOT)
    assert union.getattr(entry.nodeid).nlink == 1


def test_numbers_of_one_file_system_are_its_own(tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in-{name}").touch()
    layers = [DirectoryLayer(bytes(tmp_path / name)) for name in ("one", "two")]
    union = Union(layers, None, UnionOptions(own_numbers=True))
    for name in ("one", "two"):
        shown = union.lookup(ROOT_NODE, b"in-" + name.encode()).attributes.ino
        assert shown == os.stat(tmp_path / name / f"in-{name}").st_ino


@pytest.mark.parametrize("ownership", list(Ownership))
def test_changing_data_takes_set_id_bits_however_it_is_done(tmp_path, ownership) -> None:
    below = MemoryLayer(directory({b"below": regular(b"content")}))
    union = Union([below], upper(tmp_path, ownership))
    source = union.lookup(ROOT_NODE, b"below").nodeid
    caller = Caller(os.getuid(), os.getgid())
    changes = {
        b"allocated": lambda node: union.fallocate(node, 0, 0, 100, drop_set_id=0o6000),
        b"punched": lambda node: union.fallocate(node, _PUNCH, 0, 5, drop_set_id=0o6000),
        b"copied": lambda node: union.copy_file_range(source, 0, node, 0, 7, drop_set_id=0o6000),
    }
    for name, change in changes.items():
        node = union.create(ROOT_NODE, name, 0o755, os.O_RDWR, caller).nodeid
        union.write(node, 0, b"some data")
        union.setattr(node, SetAttributes(mode=0o6755))
        assert stat.S_IMODE(union.getattr(node).mode) == 0o6755
        change(node)
        assert stat.S_IMODE(union.getattr(node).mode) == 0o755, name
    assert union.copy_file_range(source, 7, node, 0, 7) == 0
