"""Names: whiteouts and opaque directories, renames, unlinked files, cookies, forgetting."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular, whiteout
from unionfs.model import ROOT_NODE, ROOT_NODES, Caller
from unionfs.nodes import Directory
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from unionfs.union import Union, UnionOptions

ROOT = Caller(0, 0)


@pytest.fixture
def disk(tmp_path):
    return os.fsencode(tmp_path)


def upper_of(disk: bytes, ownership: Ownership = Ownership.DATA) -> DirectoryUpper:
    return DirectoryUpper(disk + b"/upper", disk + b"/work", ownership=ownership)


def names(union: Union, nodeid: int = ROOT_NODE) -> set[bytes]:
    return {item.name for item in union.readdir(nodeid, 0)}


def is_whiteout(path: bytes) -> bool:
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def test_upper_layers_hide_what_they_mark() -> None:
    bottom = directory(
        {
            b"gone": regular(),
            b"opaque": directory({b"below": regular()}),
            b"merged": directory({b"below": regular()}),
            b"covered": directory({b"below": regular()}),
        }
    )
    top = directory(
        {
            b"gone": whiteout(),
            b"opaque": directory({b"above": regular()}, opaque=True),
            b"merged": directory({b"above": regular()}),
            b"covered": regular(b"file"),
        }
    )
    union = Union([MemoryLayer(top), MemoryLayer(bottom)], None)
    assert names(union) == {b"opaque", b"merged", b"covered"}
    assert names(union, union.lookup(ROOT_NODE, b"opaque").nodeid) == {b"above"}
    merged = union.lookup(ROOT_NODE, b"merged")
    assert names(union, merged.nodeid) == {b"above", b"below"}
    assert union.lookup(merged.nodeid, b"gone") is None


@pytest.mark.parametrize("as_files", [False, True])
def test_marks_of_every_form_are_read(disk, as_files) -> None:
    top = disk + b"/top"
    os.makedirs(top + b"/d")
    if as_files:
        for name in (b"/.wh.f", b"/d/.wh..wh..opq"):
            with open(top + name, "wb"):
                pass
    else:
        os.mknod(top + b"/f", stat.S_IFCHR, 0)
        os.setxattr(top + b"/d", b"user.overlay.opaque", b"y")
    bottom = MemoryLayer(directory({b"f": regular(), b"d": directory({b"x": regular()})}))
    union = Union([DirectoryLayer(top), bottom], None)
    assert names(union) == {b"d"}
    assert union.lookup(ROOT_NODE, b"f") is None
    assert names(union, union.lookup(ROOT_NODE, b"d").nodeid) == set()


def test_removing_a_lower_file_leaves_a_whiteout_and_creating_takes_it_away(disk) -> None:
    union = Union([MemoryLayer(directory({b"f": regular(b"old")}))], upper_of(disk))
    union.unlink(ROOT_NODE, b"f")
    assert is_whiteout(disk + b"/upper/f")
    node = union.create(ROOT_NODE, b"f", 0o644, os.O_RDWR, ROOT)
    assert union.read(node.nodeid, 0, 9) == b""
    union.unlink(ROOT_NODE, b"f")
    assert is_whiteout(disk + b"/upper/f")
    assert union.lookup(ROOT_NODE, b"f") is None


def test_directory_made_over_a_removed_one_is_opaque_and_never_holds_whiteouts(disk) -> None:
    lower = MemoryLayer(directory({b"d": directory({b"x": regular()})}))
    union = Union([lower], upper_of(disk))
    old = union.lookup(ROOT_NODE, b"d").nodeid
    union.unlink(old, b"x")
    union.rmdir(ROOT_NODE, b"d")
    assert is_whiteout(disk + b"/upper/d")
    new = union.mkdir(ROOT_NODE, b"d", 0o755, ROOT)
    assert os.getxattr(disk + b"/upper/d", "user.overlay.opaque") == b"y"
    union.create(new.nodeid, b"x", 0o644, os.O_RDWR, ROOT)
    union.unlink(new.nodeid, b"x")
    assert os.listdir(disk + b"/upper/d") == []


def test_renaming_a_lower_directory_is_exdev_where_the_kernel_must_read_the_upper(disk) -> None:
    top = directory({b"d": directory({b"x": regular()})})
    union = Union([MemoryLayer(top)], upper_of(disk, Ownership.REAL), UnionOptions(redirect=False))
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        union.rename(ROOT_NODE, b"d", ROOT_NODE, b"e", 0)


def test_renamed_lower_directory_is_found_again_after_a_remount(disk) -> None:
    top = directory({b"a": directory({b"b": directory({b"x": regular(b"content")})})})
    union = Union([MemoryLayer(top)], upper_of(disk))
    union.rename(ROOT_NODE, b"a", ROOT_NODE, b"c", 0)
    c = union.lookup(ROOT_NODE, b"c").nodeid
    union.rename(c, b"b", ROOT_NODE, b"b", 0)
    union.mkdir(ROOT_NODE, b"a", 0o755, ROOT)
    union.destroy()
    union = Union([MemoryLayer(top)], upper_of(disk))
    assert names(union) == {b"a", b"b", b"c"}
    assert names(union, union.lookup(ROOT_NODE, b"a").nodeid) == set()
    assert names(union, union.lookup(ROOT_NODE, b"c").nodeid) == set()
    b = union.lookup(ROOT_NODE, b"b").nodeid
    assert union.read(union.lookup(b, b"x").nodeid, 0, 99) == b"content"


def test_rename_flags(disk) -> None:
    top = directory({b"f": regular(b"f"), b"d": directory({b"x": regular()})})
    union = Union([MemoryLayer(top)], upper_of(disk))
    with pytest.raises(FileExistsError):
        union.rename(ROOT_NODE, b"f", ROOT_NODE, b"d", RENAME_NOREPLACE)
    union.rename(ROOT_NODE, b"f", ROOT_NODE, b"d", RENAME_EXCHANGE)
    assert names(union, union.lookup(ROOT_NODE, b"f").nodeid) == {b"x"}
    union.rename(ROOT_NODE, b"d", ROOT_NODE, b"e", RENAME_WHITEOUT)
    seen = union.lookup(ROOT_NODE, b"d").attributes
    assert stat.S_ISCHR(seen.mode)
    assert seen.rdev == 0


def test_rename_that_cannot_leave_a_device_moves_nothing(disk) -> None:
    below = MemoryLayer(directory({b"f": regular(b"f")}))
    union = Union([below], upper_of(disk, Ownership.REAL))
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        union.rename(ROOT_NODE, b"f", ROOT_NODE, b"g", RENAME_WHITEOUT)
    assert names(union) == {b"f"}
    assert os.listdir(disk + b"/upper") == []


def test_unlinked_file_is_read_and_written_until_it_is_forgotten(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    nodes = []
    for number in range(400):
        name = b"%d" % number
        node = union.create(ROOT_NODE, name, 0o644, os.O_RDWR, ROOT).nodeid
        union.write(node, 0, name)
        union.unlink(ROOT_NODE, name)
        nodes.append(node)
    assert names(union) == set()
    for number, node in enumerate(nodes):
        union.write(node, 9, b"more")
        assert union.read(node, 0, 3).rstrip(b"\0") == b"%d" % number
        assert union.getattr(node).nlink == 0
        union.forget(node, 1)
    assert os.listdir(disk + b"/work/rootless.tmp") == []


def test_tmpfile_gets_a_name_by_link(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    node = union.tmpfile(ROOT_NODE, 0o640, os.O_RDWR, Caller(3, 4))
    union.write(node.nodeid, 0, b"content")
    assert union.getattr(node.nodeid).nlink == 0
    union.link(node.nodeid, ROOT_NODE, b"named")
    assert union.lookup(ROOT_NODE, b"named").attributes.nlink == 1
    union.destroy()
    union = Union([MemoryLayer(directory())], upper_of(disk))
    found = union.lookup(ROOT_NODE, b"named")
    assert (found.attributes.uid, found.attributes.mode) == (3, stat.S_IFREG | 0o640)
    assert union.read(found.nodeid, 0, 99) == b"content"


def test_listing_under_way_gives_each_old_name_once_and_no_new_one(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    for number in range(10):
        union.create(ROOT_NODE, b"%d" % number, 0o644, os.O_RDWR, ROOT)
    seen = list(union.readdir(ROOT_NODE, 0))
    first, left = seen[:5], {item.name for item in seen[5:]}
    for item in first:
        union.unlink(ROOT_NODE, item.name)
    union.create(ROOT_NODE, b"late", 0o644, os.O_RDWR, ROOT)
    union.create(ROOT_NODE, first[0].name, 0o644, os.O_RDWR, ROOT)
    union.rename(ROOT_NODE, b"late", ROOT_NODE, seen[7].name, 0)
    union.create(ROOT_NODE, b"later", 0o644, os.O_RDWR, ROOT)
    rest = [item.name for item in union.readdir(ROOT_NODE, first[-1].cookie)]
    assert len(rest) == len(left)
    assert set(rest) == left
    assert names(union) == left | {b"later", first[0].name}


def test_cookies_outlive_the_removal_of_most_names(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    for number in range(20):
        union.mknod(ROOT_NODE, b"old%d" % number, stat.S_IFREG, 0, ROOT)
    at = list(union.readdir(ROOT_NODE, 0))[9].cookie
    for number in range(3000):
        union.mknod(ROOT_NODE, b"passing%d" % number, stat.S_IFREG, 0, ROOT)
    for number in range(3000):
        union.unlink(ROOT_NODE, b"passing%d" % number)
    for _ in range(3):
        rest = [item.name for item in union.readdir(ROOT_NODE, at)]
        assert len(rest) == len(set(rest)) == 10
    assert len(list(union.readdir(ROOT_NODE, 0))) == 20
    union.mknod(ROOT_NODE, b"last", stat.S_IFREG, 0, ROOT)
    assert b"last" not in [item.name for item in union.readdir(ROOT_NODE, at)]
    assert len(list(union.readdir(ROOT_NODE, 0))) == 21
    union.destroy()


def nameless(union: Union, how: str, number: int) -> int:
    """A file without a name that the kernel knows."""
    if how == "made without a name":
        return union.tmpfile(ROOT_NODE, 0o644, os.O_RDWR, ROOT).nodeid
    name = b"%d" % number
    if how == "of a lower":
        nodeid = union.lookup(ROOT_NODE, name).nodeid
    else:
        nodeid = union.create(ROOT_NODE, name, 0o644, os.O_RDWR, ROOT).nodeid
    union.unlink(ROOT_NODE, name)
    return nodeid


@pytest.mark.parametrize("how", ["unlinked", "made without a name", "of a lower"])
def test_any_number_of_nameless_files_takes_a_bounded_number_of_descriptors(disk, how) -> None:
    count = 1500
    below = directory({b"%d" % number: regular(b"old") for number in range(count)})
    union = Union(
        [MemoryLayer(below if how == "of a lower" else directory())],
        upper_of(disk),
        UnionOptions(descriptors=100, volatile=True),
    )
    before = len(os.listdir("/proc/self/fd"))
    held = []
    for number in range(count):
        held.append(nameless(union, how, number))
        union.write(held[-1], 0, b"%04d" % number)
    assert len(os.listdir("/proc/self/fd")) - before < 450
    for number, nodeid in enumerate(held):
        assert union.read(nodeid, 0, 9) == b"%04d" % number
        assert union.getattr(nodeid).nlink == 0
    if how == "made without a name":
        for number, nodeid in enumerate(held):
            union.link(nodeid, ROOT_NODE, b"linked%d" % number)
            assert union.getattr(nodeid).nlink == 1
            union.forget(nodeid, 1)
            assert union.read(union.lookup(ROOT_NODE, b"linked%d" % number).nodeid, 0, 4) == (
                b"%04d" % number
            )
    for nodeid in held:
        union.forget(nodeid, 1)
    assert os.listdir(disk + b"/work/rootless.tmp") == []
    assert len(os.listdir("/proc/self/fd")) - before < 120
    union.destroy()


@pytest.mark.parametrize("held_count", [0, 1])
def test_names_that_the_kernel_has_forgotten_take_bounded_memory(disk, held_count) -> None:
    union = Union([], upper_of(disk), UnionOptions(volatile=True))
    there = union.mkdir(ROOT_NODE, b"d", 0o755, ROOT)
    held = [
        union.create(there.nodeid, b"held%d" % number, 0o644, os.O_RDWR, ROOT).nodeid
        for number in range(held_count)
    ]
    for number in range(6000):
        made = union.mknod(there.nodeid, b"%d" % number, stat.S_IFREG | 0o644, 0, ROOT)
        union.forget(made.nodeid, 1)
        union.after_reply()
        assert len(union._nodes[there.nodeid].children) < 5000
    assert len(names(union, there.nodeid)) == 6000 + held_count
    assert union.lookup(there.nodeid, b"7").attributes.nlink == 1
    for nodeid in held:
        assert union.getattr(nodeid).nlink == 1
    union.destroy()


def test_listings_of_which_the_kernel_knows_no_name_are_dropped_in_turn(disk) -> None:
    tree = directory(
        {b"%d" % n: directory({b"x%d" % i: regular() for i in range(20)}) for n in range(1000)}
    )
    union = Union([MemoryLayer(tree)], upper_of(disk))
    for number in range(1000):
        there = union.lookup(ROOT_NODE, b"%d" % number)
        assert len(names(union, there.nodeid)) == 20
        union.after_reply()
    loaded = sum(
        len(node.children) + len(node.unmaterialized)
        for node in union._nodes.values()
        if isinstance(node, Directory) and node.nodeid != ROOT_NODE
    )
    assert loaded < 300 * 20
    union.destroy()


def test_forgetting_everything_leaves_the_root(disk) -> None:
    tree = directory({b"%d" % n: directory({b"x": regular()}) for n in range(700)})
    union = Union([MemoryLayer(tree)], upper_of(disk))
    held = []
    for item in union.readdir(ROOT_NODE, 0):
        union.remember(item.entry)
        held.append(item.entry.nodeid)
        held.append(union.lookup(item.entry.nodeid, b"x").nodeid)
    for nodeid in reversed(held):
        union.forget(nodeid, 1)
    assert set(union._nodes) == ROOT_NODES
    assert not union._nodes[ROOT_NODE].children
    assert len(names(union)) == 700


def test_depth_beyond_path_max(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    name = b"n" * 255
    at = ROOT_NODE
    for _ in range(40):
        at = union.mkdir(at, name, 0o755, ROOT).nodeid
    node = union.create(at, b"deep", 0o644, os.O_RDWR, ROOT)
    union.write(node.nodeid, 0, b"content")
    union.destroy()
    union = Union([MemoryLayer(directory())], upper_of(disk))
    at = ROOT_NODE
    for _ in range(40):
        at = union.lookup(at, name).nodeid
    assert union.read(union.lookup(at, b"deep").nodeid, 0, 99) == b"content"
    with pytest.raises(OSError, match=os.strerror(errno.ENAMETOOLONG)):
        union.lookup(at, b"n" * 256)


def test_upper_in_a_lower_is_refused_unless_hidden(disk) -> None:
    os.makedirs(disk + b"/store")
    with pytest.raises(OSError, match="overlap"):
        Union(
            [DirectoryLayer(disk)],
            DirectoryUpper(disk + b"/store/u", disk + b"/store/w", ownership=Ownership.DATA),
        )
    lower = DirectoryLayer(disk, hidden=[disk + b"/store"])
    upper = DirectoryUpper(disk + b"/store/u2", disk + b"/store/w2", ownership=Ownership.DATA)
    union = Union([lower], upper)
    store = union.lookup(ROOT_NODE, b"store")
    assert names(union, store.nodeid) == set()
    assert union.lookup(store.nodeid, b"u2") is None


def test_work_directory_in_use_is_refused(disk) -> None:
    upper = upper_of(disk)
    with pytest.raises(OSError, match="in use"):
        upper_of(disk)
    upper.close()
    upper_of(disk).close()


def test_unreadable_directory_is_searched_by_name(disk) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is unreadable to root")
    os.makedirs(disk + b"/lower/d")
    with open(disk + b"/lower/d/f", "wb"):
        pass
    os.chmod(disk + b"/lower/d", 0o311)
    union = Union([DirectoryLayer(disk + b"/lower")], None)
    d = union.lookup(ROOT_NODE, b"d").nodeid
    with pytest.raises(PermissionError):
        names(union, d)
    for _ in range(40):
        assert union.lookup(d, b"f") is not None
        assert union.lookup(d, b"absent") is None
    assert names(union) == {b"d"}
    os.chmod(disk + b"/lower/d", 0o755)


def test_marks_of_a_nested_union_are_escaped_on_disk(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    node = union.mkdir(ROOT_NODE, b"d", 0o755, ROOT).nodeid
    for name in (b"user.overlay.opaque", b"user.containers.override_stat", b"security.capability"):
        union.setxattr(node, name, b"y", 0)
    assert sorted(union.listxattr(node)) == [
        b"security.capability",
        b"user.containers.override_stat",
        b"user.overlay.opaque",
    ]
    assert "user.overlay.opaque" not in os.listxattr(disk + b"/upper/d")
    union.removexattr(node, b"user.overlay.opaque")
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        union.getxattr(node, b"user.overlay.opaque")


def test_set_id_bits_go_with_a_write_by_others_and_with_chown(disk) -> None:
    from unionfs.model import SetAttributes

    union = Union([MemoryLayer(directory())], upper_of(disk))
    node = union.create(ROOT_NODE, b"f", 0o6755, os.O_RDWR, ROOT).nodeid
    union.write(node, 0, b"x")
    assert union.getattr(node).mode & 0o7777 == 0o6755
    union.write(node, 0, b"x", kill_privileges=True)
    assert union.getattr(node).mode & 0o7777 == 0o755
    union.setattr(node, SetAttributes(mode=0o6755))
    known = union.setattr(node, SetAttributes(uid=7))
    assert (known.uid, known.mode & 0o7777) == (7, 0o755)


@pytest.mark.parametrize("lower_names", [1, 500])
def test_whiteouts_are_left_for_what_lies_below_and_for_nothing_else(disk, lower_names) -> None:
    lower = {b"f%d" % number: regular() for number in range(lower_names)}
    union = Union([MemoryLayer(directory({b"d": directory(lower)}))], upper_of(disk))
    parent = union.lookup(ROOT_NODE, b"d").nodeid
    assert len(names(union, parent)) == lower_names
    for name in (b"new", b"f0"):
        if name == b"f0":
            union.unlink(parent, name)
            assert is_whiteout(disk + b"/upper/d/f0")
        union.create(parent, name, 0o644, os.O_RDWR, ROOT)
        union.unlink(parent, name)
    assert os.listdir(disk + b"/upper/d") == [b"f0"]
    assert is_whiteout(disk + b"/upper/d/f0")
