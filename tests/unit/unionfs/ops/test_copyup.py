"""Copy-up: what it costs, what it keeps, and what is left when it fails."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.layer import Extent
from unionfs.memory import FaultyLayer, MemoryLayer, MemoryNode, directory, regular, symlink
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import IdView, Ownership
from unionfs.syscalls.files import pread_whole
from unionfs.union import Union, UnionOptions

ROOT = Caller(0, 0)


@pytest.fixture
def disk(tmp_path):
    return os.fsencode(tmp_path)


def upper_of(disk: bytes, **options) -> DirectoryUpper:
    options.setdefault("ownership", Ownership.DATA)
    return DirectoryUpper(disk + b"/upper", disk + b"/work", **options)


def lookup(union: Union, path: bytes):
    at = None
    nodeid = ROOT_NODE
    for name in path.split(b"/"):
        at = union.lookup(nodeid, name)
        assert at is not None, path
        nodeid = at.nodeid
    return at


def walk(union: Union, nodeid: int = ROOT_NODE) -> dict[bytes, int]:
    found = {}
    for item in union.readdir(nodeid, 0):
        union.remember(item.entry)
        found[item.name] = item.entry.attributes.ino
        if stat.S_ISDIR(item.entry.attributes.mode):
            for name, ino in walk(union, item.entry.nodeid).items():
                found[item.name + b"/" + name] = ino
    return found


def test_descriptor_from_before_a_copy_up_sees_what_is_written_after(disk) -> None:
    union = Union([MemoryLayer(directory({b"f": regular(b"old")}))], upper_of(disk))
    node = lookup(union, b"f").nodeid
    assert union.read(node, 0, 10) == b"old"
    assert union.write(node, 3, b" and new") == 8
    assert union.read(node, 0, 20) == b"old and new"


def test_inode_number_stays_over_copy_up_rename_and_remount(disk) -> None:
    top = directory(
        {b"d": directory({b"f": regular(b"x"), b"s": symlink(b"t")}), b"e": regular(b"y")}
    )
    union = Union([MemoryLayer(top)], upper_of(disk))
    before = walk(union)
    union.write(lookup(union, b"d/f").nodeid, 0, b"z")
    union.rename(ROOT_NODE, b"d", ROOT_NODE, b"moved", 0)
    moved = lookup(union, b"moved").nodeid
    union.rename(moved, b"s", ROOT_NODE, b"s", 0)
    expected = {
        b"moved": before[b"d"],
        b"moved/f": before[b"d/f"],
        b"s": before[b"d/s"],
        b"e": before[b"e"],
    }
    assert walk(union) == expected
    union.destroy()
    assert walk(Union([MemoryLayer(top)], upper_of(disk))) == expected


def test_numbers_of_two_layers_never_meet(disk) -> None:
    layers = [
        MemoryLayer(directory({b"%d-%d" % (layer, n): regular() for n in range(20)}))
        for layer in range(5)
    ]
    numbers = walk(Union(layers, upper_of(disk)))
    assert len(numbers) == 100 == len(set(numbers.values()))


def test_hard_links_of_a_lower_stay_one_file_after_copy_up_and_remount(disk) -> None:
    shared = regular(b"one")
    top = directory({b"a": shared, b"b": shared, b"d": directory({b"c": shared})})
    union = Union([MemoryLayer(top)], upper_of(disk))
    union.write(lookup(union, b"a").nodeid, 0, b"two")
    assert union.read(lookup(union, b"d/c").nodeid, 0, 9) == b"two"
    union.unlink(ROOT_NODE, b"a")
    union.destroy()
    union = Union([MemoryLayer(top)], upper_of(disk))
    entry = lookup(union, b"b")
    assert entry is lookup(union, b"d/c")
    assert union.read(entry.nodeid, 0, 9) == b"two"
    assert entry.attributes.nlink == 2


def test_failed_copy_up_of_a_hard_link_changes_no_name(disk) -> None:
    shared = regular(b"old" * 50_000)
    upper = FaultyLayer(upper_of(disk))
    union = Union([MemoryLayer(directory({b"a": shared, b"b": shared}))], upper)
    node = lookup(union, b"a").nodeid
    for call in ("index_add", "link"):
        upper.fail(call, errno.ENOSPC)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            union.write(node, 0, b"new")
        assert union.read(node, 0, 3) == b"old"
        assert os.listdir(disk + b"/upper") == []
    union.write(node, 0, b"new")
    assert union.read(lookup(union, b"b").nodeid, 0, 3) == b"new"
    assert union.getattr(node).nlink == 2


def test_truncating_open_copies_no_data(disk) -> None:
    lower = FaultyLayer(MemoryLayer(directory({b"f": regular(b"x" * 100_000)})))
    union = Union([lower], upper_of(disk))
    node = lookup(union, b"f").nodeid
    union.setattr(node, SetAttributes(size=0))
    assert "open" not in lower.calls
    assert union.getattr(node).size == 0


def test_sparse_file_stays_sparse(disk) -> None:
    size = 1 << 26
    sparse = MemoryNode(
        stat.S_IFREG | 0o644, b"\0" * (size - 4) + b"tail", extents=[Extent(size - 4, 4)]
    )
    union = Union([MemoryLayer(directory({b"f": sparse}))], upper_of(disk))
    node = lookup(union, b"f").nodeid
    union.write(node, 0, b"head")
    known = union.getattr(node)
    assert known.size == size
    assert known.blocks * 512 < 1 << 20
    assert union.lseek(node, 4096, os.SEEK_DATA) >= size - 4096
    assert union.read(node, size - 4, 10) == b"tail"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["draft", "publish"])
def test_failed_copy_up_leaves_the_old_content_and_no_temporary(disk, call, number) -> None:
    upper = FaultyLayer(upper_of(disk))
    union = Union([MemoryLayer(directory({b"f": regular(b"old" * 50_000)}))], upper)
    node = lookup(union, b"f").nodeid
    upper.fail(call, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        union.write(node, 0, b"new")
    assert union.read(node, 0, 3) == b"old"
    assert os.listdir(disk + b"/work/rootless.tmp") == []
    assert os.listdir(disk + b"/upper") == []
    assert union.write(node, 0, b"new") == 3
    assert union.read(node, 0, 6) == b"newold"


def test_what_a_killed_server_left_in_the_work_directory_is_gone_after_the_next_mount(disk) -> None:
    upper_of(disk).close()
    os.makedirs(disk + b"/work/rootless.tmp/7/8")
    with open(disk + b"/work/rootless.tmp/9", "wb"):
        pass
    Union([MemoryLayer(directory())], upper_of(disk)).destroy()
    assert os.listdir(disk + b"/work/rootless.tmp") == []


def test_copy_up_changes_no_time_of_the_parent(disk) -> None:
    lower = disk + b"/lower"
    os.makedirs(lower + b"/d")
    with open(lower + b"/d/f", "wb") as file:
        file.write(b"x")
    os.utime(lower + b"/d", ns=(5, -7))
    union = Union([DirectoryLayer(lower)], upper_of(disk))
    node = lookup(union, b"d")
    union.setattr(lookup(union, b"d/f").nodeid, SetAttributes(mode=0o600))
    assert union.getattr(node.nodeid).mtime_ns == -7
    union.destroy()
    union = Union([DirectoryLayer(lower)], upper_of(disk))
    assert lookup(union, b"d").attributes.mtime_ns == -7


def test_copy_in_pieces_may_be_overtaken_by_a_rename(disk) -> None:
    content = os.urandom(300_000)
    union = Union([MemoryLayer(directory({b"f": regular(content)}))], upper_of(disk))
    node = lookup(union, b"f").nodeid
    assert union.pending_copy(node) == len(content)
    copy = union.begin_copy(node)
    assert not copy.copy(100_000)
    assert union.read(node, 0, len(content)) == content
    while not copy.copy(100_000):
        pass
    copy.publish()
    assert union.pending_copy(node) == 0
    assert union.read(node, 0, len(content)) == content


def test_copy_of_a_file_unlinked_meanwhile_stays_without_a_name(disk) -> None:
    union = Union([MemoryLayer(directory({b"f": regular(b"x" * 99)}))], upper_of(disk))
    node = lookup(union, b"f").nodeid
    copy = union.begin_copy(node)
    union.unlink(ROOT_NODE, b"f")
    assert copy.copy()
    copy.publish()
    union.write(node, 0, b"y")
    assert union.read(node, 0, 3) == b"yxx"
    assert union.lookup(ROOT_NODE, b"f") is None
    assert union.getattr(node).nlink == 0


def test_read_only_union_refuses_every_change(disk) -> None:
    union = Union([MemoryLayer(directory({b"f": regular(b"x"), b"d": directory()}))], None)
    node = lookup(union, b"f").nodeid
    changes = [
        lambda: union.write(node, 0, b"y"),
        lambda: union.setattr(node, SetAttributes(mode=0o600)),
        lambda: union.mkdir(ROOT_NODE, b"n", 0o755, ROOT),
        lambda: union.create(ROOT_NODE, b"n", 0o644, os.O_RDWR, ROOT),
        lambda: union.unlink(ROOT_NODE, b"f"),
        lambda: union.rmdir(ROOT_NODE, b"d"),
        lambda: union.rename(ROOT_NODE, b"f", ROOT_NODE, b"g", 0),
        lambda: union.link(node, ROOT_NODE, b"g"),
        lambda: union.symlink(ROOT_NODE, b"g", b"t", ROOT),
        lambda: union.setxattr(node, b"user.a", b"b", 0),
        lambda: union.open(node, os.O_WRONLY),
        lambda: union.tmpfile(ROOT_NODE, 0o600, os.O_RDWR, ROOT),
    ]
    for change in changes:
        with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
            change()


def test_owner_outside_the_map_is_shown_squashed_and_kept(disk) -> None:
    view = IdView(((0, 1),), ((0, 1),), 0, 0)
    top = directory({b"f": regular(b"x", uid=33, gid=44)})
    union = Union([MemoryLayer(top)], upper_of(disk), UnionOptions(view=view))
    entry = lookup(union, b"f")
    assert (entry.attributes.uid, entry.attributes.gid) == (0, 0)
    union.setattr(entry.nodeid, SetAttributes(mode=0o640))
    known = union.getattr(entry.nodeid)
    assert (known.uid, known.mode) == (0, stat.S_IFREG | 0o640)
    union.destroy()
    known = lookup(Union([MemoryLayer(top)], upper_of(disk)), b"f").attributes
    assert (known.uid, known.gid, known.mode) == (33, 44, stat.S_IFREG | 0o640)


def test_nothing_set_id_and_nothing_unreadable_is_ever_on_disk(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    union.create(ROOT_NODE, b"f", 0o6000, os.O_RDWR, Caller(5, 6))
    union.mkdir(ROOT_NODE, b"d", 0o1000, ROOT)
    union.mknod(ROOT_NODE, b"null", stat.S_IFCHR | 0o666, os.makedev(1, 3), ROOT)
    for name, mode in ((b"f", 0o600), (b"d", 0o700), (b"null", 0o600)):
        st = os.lstat(disk + b"/upper/" + name)
        assert stat.S_IMODE(st.st_mode) == mode
        assert st.st_uid == os.geteuid()
    override = os.getxattr(disk + b"/upper/null", "user.containers.override_stat")
    assert override == b"0:0:0666:char-1-3"
    assert lookup(union, b"null").attributes.rdev == os.makedev(1, 3)
    assert lookup(union, b"f").attributes.mode == stat.S_IFREG | 0o6000


def test_plain_file_of_the_base_owner_carries_no_attribute(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    union.create(ROOT_NODE, b"f", 0o644, os.O_RDWR, ROOT)
    union.mkdir(ROOT_NODE, b"d", 0o755, ROOT)
    assert os.listxattr(disk + b"/upper/f") == []
    assert os.listxattr(disk + b"/upper/d") == []


def test_times_of_a_removed_lower_file_copy_nothing(disk) -> None:
    """The kernel sends them after an unlink; and a process that has the file open may set them."""
    union = Union([MemoryLayer(directory({b"f": regular(b"x" * (2 << 20))}))], upper_of(disk))
    node = lookup(union, b"f").nodeid
    union.unlink(ROOT_NODE, b"f")
    assert union.pending_copy(node, times_only=True) == 0
    changed = union.setattr(node, SetAttributes(mtime_ns=5_000, ctime_ns=6_000))
    assert (changed.mtime_ns, changed.nlink, union.copy_up_stats.files) == (5_000, 0, 0)
    assert union.getattr(node).mtime_ns == 5_000
    # A write to it still has to have somewhere to go.
    assert union.pending_copy(node) == 2 << 20
    union.write(node, 0, b"y")
    assert union.read(node, 0, 2) == b"yx"


def test_directory_is_read_again_after_the_answer_that_changed_it(disk) -> None:
    union = Union([MemoryLayer(directory({b"d": directory()}))], upper_of(disk))
    parent = union.mkdir(ROOT_NODE, b"new", 0o755, ROOT)
    before = union.getattr(parent.nodeid)
    union.create(parent.nodeid, b"f", 0o644, os.O_RDWR, ROOT)
    assert parent.stale
    union.after_reply()
    assert not parent.stale
    assert parent.attributes.mtime_ns > before.mtime_ns
    union.after_reply()


def test_directory_that_cannot_be_read_again_is_asked_for_later(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk))
    parent = union.mkdir(ROOT_NODE, b"new", 0o755, ROOT)
    union.create(parent.nodeid, b"f", 0o644, os.O_RDWR, ROOT)
    upper, real = union._tree.upper, union._tree.upper.refresh

    def refuse(*_):
        raise OSError(errno.EIO, "broken")

    upper.refresh = refuse
    union.after_reply()
    assert parent.stale
    with pytest.raises(OSError, match="broken"):
        union.getattr(parent.nodeid)
    upper.refresh = real
    assert union.getattr(parent.nodeid).nlink == 2


def test_descriptors_are_bounded_with_and_without_tidying(disk) -> None:
    union = Union([MemoryLayer(directory())], upper_of(disk), UnionOptions(descriptors=20))
    for number in range(60):
        union.create(ROOT_NODE, b"f%d" % number, 0o644, os.O_RDWR, ROOT)
        assert len(union._tree.files.kept) <= 28
    union.after_reply()
    assert len(union._tree.files.kept) == 20


@pytest.mark.parametrize("at_once", [1, 700, 10_000])
def test_read_that_is_given_in_pieces_is_whole(tmp_path, monkeypatch, at_once) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(range(250)) * 20)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, at_once), at))
    with open(path, "rb") as file:
        assert pread_whole(file.fileno(), 4000, 500) == path.read_bytes()[500:4500]
        assert pread_whole(file.fileno(), 9000, 500) == path.read_bytes()[500:]


def test_change_by_an_open_file_reaches_the_names_that_were_not_looked_up(disk) -> None:
    shared = regular(b"shared")
    union = Union([MemoryLayer(directory({b"one": shared, b"two": shared}))], upper_of(disk))
    two = lookup(union, b"two").nodeid
    union.unlink(ROOT_NODE, b"two")
    union.setattr(two, SetAttributes(mode=0o600))
    union.write(two, 0, b"changed")
    one = lookup(union, b"one")
    assert one.nodeid == two
    assert stat.S_IMODE(one.attributes.mode) == 0o600
    assert union.read(two, 0, 10) == b"changed"
    union.unlink(ROOT_NODE, b"one")
    assert union.getattr(two).nlink == 0
    union.destroy()
    assert os.listdir(disk + b"/work/rootless.index") == []
