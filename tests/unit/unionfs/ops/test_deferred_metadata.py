"""Changes of mode, owner and times of files that only a lower has: no file is copied up for them, and
whatever follows, another mount included, sees them."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from unionfs.directory import DirectoryUpper
from unionfs.logs.metadata import MetadataRecord, pack_record, unpack_records
from unionfs.memory import MemoryLayer, MemoryNode, directory, regular
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.nodes import UPPER
from unionfs.ops import deferred_metadata
from unionfs.ownership import IdView, Ownership
from unionfs.union import Union, UnionOptions
from unionfs.xattr_names import CAPABILITY

ROOT = Caller(0, 0)
VIEW = IdView(((0, 10),), ((0, 10),), 0, 0)
TREE = directory(
    {
        b"d": directory({b"a": regular(b"of a"), b"b": regular(b"of b"), b"e": directory({})}),
        b"f": regular(b"of f", mode=0o4755),
        b"with-capability": MemoryNode(stat.S_IFREG | 0o755, b"x", xattrs={CAPABILITY: b"rights"}),
    }
)


@pytest.fixture
def disk(tmp_path):
    return os.fsencode(tmp_path)


def mount(disk: bytes, **options) -> Union:
    upper = DirectoryUpper(disk + b"/upper", disk + b"/work", ownership=Ownership.DATA)
    options.setdefault("defers_metadata", True)
    return Union([MemoryLayer(TREE)], upper, UnionOptions(view=VIEW, **options))


def node(union: Union, path: bytes) -> int:
    at = ROOT_NODE
    for name in path.split(b"/"):
        entry = union.lookup(at, name)
        assert entry is not None, path
        at = entry.nodeid
    return at


def shown(union: Union, path: bytes) -> tuple[int, int, int]:
    known = union.getattr(node(union, path))
    return stat.S_IMODE(known.mode), known.uid, known.gid


def change(union: Union, path: bytes, **changes) -> None:
    union.setattr(node(union, path), SetAttributes(**changes))


def in_upper(disk: bytes) -> list[bytes]:
    top = disk + b"/upper"
    found = [
        os.path.relpath(os.path.join(where, name), top)
        for where, _, names in os.walk(top)
        for name in names
    ]
    return sorted(found)


def test_change_of_metadata_copies_nothing_and_outlives_the_mount(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o640)
    change(union, b"d/b", uid=3, gid=4)
    before = union.getattr(node(union, b"f"))
    change(union, b"f", uid=5, atime_ns=7, mtime_ns=8)
    assert in_upper(disk) == []
    assert union.copy_up_stats.files == 0
    after = union.getattr(node(union, b"f"))
    assert (after.ino, after.size) == (before.ino, before.size)
    assert after.ctime_ns > before.ctime_ns
    union.destroy()
    for _ in range(2):
        union = mount(disk)
        assert shown(union, b"d/a") == (0o640, 0, 0)
        assert shown(union, b"d/b") == (0o644, 3, 4)
        # A change of owner has cleared the set-id bit.
        assert shown(union, b"f") == (0o755, 5, 0)
        known = union.getattr(node(union, b"f"))
        assert known == after
        union.destroy()


def test_listing_shows_the_change_after_another_mount(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    union.destroy()
    union = mount(disk)
    modes = {
        item.name: stat.S_IMODE(item.entry.attributes.mode)
        for item in union.readdir(node(union, b"d"), 0)
    }
    assert modes == {b"a": 0o600, b"b": 0o644, b"e": 0o755}


def test_kernel_forgets_a_changed_file(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    for nodeid, each in list(union._nodes.items()):
        if nodeid != ROOT_NODE:
            union.forget(nodeid, each.lookups)
    assert shown(union, b"d/a") == (0o600, 0, 0)


@pytest.mark.parametrize(
    "action",
    [
        lambda union, at: union.write(at, 0, b"new"),
        lambda union, at: union.link(at, ROOT_NODE, b"other"),
        lambda union, at: union.setxattr(at, b"user.x", b"1", 0),
        lambda union, at: union.setattr(at, SetAttributes(size=2)),
        lambda union, _: union.rename(node(union, b"d"), b"a", node(union, b"d"), b"c", 0),
        lambda union, _: union.rename(ROOT_NODE, b"d", ROOT_NODE, b"moved", 0),
    ],
)
def test_what_needs_the_file_in_the_upper_brings_the_change_there(disk, action) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600, uid=1)
    at = node(union, b"d/a")
    action(union, at)
    known = union.getattr(at)
    assert (stat.S_IMODE(known.mode), known.uid) == (0o600, 1)
    assert union._nodes[at].layer == UPPER
    assert b"rootless.metadata" not in os.listdir(disk + b"/work")
    union.destroy()
    union = mount(disk)
    places = [b"d/a", b"d/c", b"moved/a"]
    found = [place for place in places if exists(union, place)]
    assert [shown(union, place)[:2] for place in found] == [(0o600, 1)]


def exists(union: Union, path: bytes) -> bool:
    at = ROOT_NODE
    for name in path.split(b"/"):
        entry = union.lookup(at, name)
        if entry is None:
            return False
        at = entry.nodeid
    return True


def test_removed_file_takes_its_change_along(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    directory_node = node(union, b"d")
    union.unlink(directory_node, b"a")
    union.create(directory_node, b"a", 0o644, os.O_RDWR, ROOT)
    assert shown(union, b"d/a") == (0o644, 0, 0)
    union.destroy()
    assert shown(mount(disk), b"d/a") == (0o644, 0, 0)


def test_removed_file_that_is_open_keeps_its_mode(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    at = node(union, b"d/a")
    union.unlink(node(union, b"d"), b"a")
    assert stat.S_IMODE(union.getattr(at).mode) == 0o600
    assert union.read(at, 0, 10) == b"of a"


def test_another_directory_in_the_place_of_one_shows_its_own_files(disk) -> None:
    union = mount(disk)
    union.mkdir(ROOT_NODE, b"new", 0o755, ROOT)
    change(union, b"d/a", mode=0o600)
    union.rename(ROOT_NODE, b"d", ROOT_NODE, b"gone", 0)
    union.rename(ROOT_NODE, b"new", ROOT_NODE, b"d", 0)
    union.create(node(union, b"d"), b"a", 0o644, os.O_RDWR, ROOT)
    union.destroy()
    union = mount(disk)
    assert shown(union, b"d/a") == (0o644, 0, 0)
    assert shown(union, b"gone/a") == (0o600, 0, 0)


def test_file_with_attributes_is_copied_up_at_once(disk) -> None:
    union = mount(disk)
    change(union, b"with-capability", uid=1)
    assert in_upper(disk) == [b"with-capability"]
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        union.getxattr(node(union, b"with-capability"), CAPABILITY)


def test_more_files_than_are_held_are_copied_up(disk, monkeypatch) -> None:
    monkeypatch.setattr(deferred_metadata, "_MAX_NODES", 1)
    union = mount(disk)
    for name in (b"a", b"b"):
        change(union, b"d/" + name, mode=0o600)
    change(union, b"d/a", mode=0o601)
    assert in_upper(disk) == [b"d/b"]
    union.destroy()
    union = mount(disk)
    assert shown(union, b"d/a") == (0o601, 0, 0)
    assert shown(union, b"d/b") == (0o600, 0, 0)


def test_log_holds_each_file_once_when_it_has_become_long(disk, monkeypatch) -> None:
    monkeypatch.setattr(deferred_metadata, "_MAX_LOG", 1000)
    union = mount(disk)
    change(union, b"d/b", uid=9)
    for mode in range(0o400, 0o700):
        change(union, b"d/a", mode=mode)
    union.destroy()
    assert os.stat(disk + b"/work/rootless.metadata").st_size < 1200
    union = mount(disk)
    assert shown(union, b"d/a") == (0o677, 0, 0)
    assert shown(union, b"d/b") == (0o644, 9, 0)


def test_sync_of_a_changed_file_brings_it_to_the_disk(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    transfer = union.begin_fsync(node(union, b"d/a"), datasync=False)
    transfer.run()
    transfer.finish()
    assert in_upper(disk) == [b"d/a"]


def test_union_without_the_option_goes_on_with_the_log(disk) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    union.destroy()
    union = mount(disk, defers_metadata=False)
    assert shown(union, b"d/a") == (0o600, 0, 0)
    change(union, b"d/b", mode=0o611)
    assert in_upper(disk) == [b"d/b"]
    change(union, b"d/a", uid=2)
    union.destroy()
    assert shown(mount(disk), b"d/a") == (0o600, 2, 0)


@pytest.mark.parametrize("damage", [b"", b"\0", b"garbage that is no record" * 9])
def test_what_a_killed_server_had_not_finished_is_ignored(disk, damage) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    union.destroy()
    with open(disk + b"/work/rootless.metadata", "ab") as log:
        log.write(damage)
    union = mount(disk)
    assert shown(union, b"d/a") == (0o600, 0, 0)
    change(union, b"d/b", mode=0o611)
    union.destroy()
    union = mount(disk)
    assert shown(union, b"d/a") == (0o600, 0, 0)
    assert shown(union, b"d/b") == (0o611, 0, 0)


def test_records_end_where_they_are_cut() -> None:
    records = [
        MetadataRecord(0o100644, 1, 2, -3, 4, 5, b"/a/\xff"),
        MetadataRecord(0, 0, 0, 0, 0, 0, b"/"),
    ]
    log = b"".join(map(pack_record, records))
    for end in range(len(log) + 1):
        found = list(unpack_records(log[:end]))
        assert found == records[: len(found)]
        assert (len(found) == 2) == (end == len(log))


def test_log_that_has_no_room_changes_nothing(disk, monkeypatch) -> None:
    union = mount(disk)
    change(union, b"d/a", mode=0o600)
    size = os.stat(disk + b"/work/rootless.metadata").st_size
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:5], at))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        change(union, b"d/a", mode=0o644)
    assert shown(union, b"d/a") == (0o600, 0, 0)
    assert os.stat(disk + b"/work/rootless.metadata").st_size == size


real = os.pwrite
