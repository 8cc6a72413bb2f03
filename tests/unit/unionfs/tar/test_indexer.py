"""What unpacking would have left is what the index says: names, replacement, links, marks."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from tests.support.tar_layers import (
    archive_of,
    directory,
    find,
    hard_link,
    layer_of,
    member,
    read,
    symlink,
    walk,
    write_index,
)
from unionfs.layer import Mark
from unionfs.tar.format import TarError
from unionfs.tar.indexer import TarIndexer


def test_attributes_of_every_type_are_those_of_the_archive(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        [
            directory("d", mode=0o2750, uid=7, gid=8, mtime=5),
            member("d/f", b"hello", mode=0o4711, uid=100000, gid=3, mtime=1_500_000_000),
            symlink("d/l", "../f"),
            member("d/p", kind=tarfile.FIFOTYPE, mode=0o600),
            member("d/c", kind=tarfile.CHRTYPE, devmajor=5, devminor=300),
            member("d/b", kind=tarfile.BLKTYPE, devmajor=8, devminor=1),
        ],
    )
    d, f, link = (find(layer, name).attributes for name in ("d", "d/f", "d/l"))
    assert (d.mode, d.uid, d.gid, d.mtime_ns) == (stat.S_IFDIR | 0o2750, 7, 8, 5 * 10**9)
    assert (f.mode, f.uid, f.gid, f.size) == (stat.S_IFREG | 0o4711, 100000, 3, 5)
    assert (f.mtime_ns, f.atime_ns, f.blocks) == (1_500_000_000 * 10**9,) * 2 + (1,)
    assert (link.mode, link.size) == (stat.S_IFLNK | 0o777, 4)
    assert layer.readlink(find(layer, "d/l").ref) == b"../f"
    assert stat.S_ISFIFO(find(layer, "d/p").attributes.mode)
    c = find(layer, "d/c").attributes
    assert stat.S_ISCHR(c.mode)
    assert c.rdev == 0x0010052C
    assert stat.S_ISBLK(find(layer, "d/b").attributes.mode)


def test_names_with_leading_slashes_and_dots_lie_beneath_the_root(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        [
            directory("./", mode=0o700),
            member("/etc//passwd", b"x"),
            member("./a/./b"),
            member(".//c"),
        ],
    )
    assert set(walk(layer)) == {b"etc", b"etc/passwd", b"a", b"a/b", b"c"}
    assert layer.root().attributes.mode == stat.S_IFDIR | 0o700


def test_missing_parents_are_implied(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, [member("a/b/c", b"1"), directory("a", mode=0o700)])
    assert find(layer, "a").attributes.mode == stat.S_IFDIR | 0o700
    b = find(layer, "a/b").attributes
    assert (b.mode, b.uid, b.mtime_ns, b.nlink) == (stat.S_IFDIR | 0o755, 0, 0, 2)
    assert find(layer, "a").attributes.nlink == 3


def test_later_members_replace_earlier_ones(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        [
            member("f", b"old"),
            member("d/deep/x", b"gone"),
            member("g", b"file"),
            directory("e", mode=0o700),
            member("e/kept", b"kept"),
            member("f", b"newer"),
            member("d", b"a file now"),
            directory("g"),
            member("g/h", b"below"),
            directory("e", mode=0o711),
        ],
    )
    assert set(walk(layer)) == {b"f", b"d", b"g", b"g/h", b"e", b"e/kept"}
    assert (read(layer, "f"), read(layer, "d"), read(layer, "g/h")) == (
        b"newer",
        b"a file now",
        b"below",
    )
    assert stat.S_IMODE(find(layer, "e").attributes.mode) == 0o711
    assert layer.root().attributes.nlink == 4


def test_hard_links_share_one_node(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        [
            member("a", b"one"),
            hard_link("d/b", "./a"),
            hard_link("c", "/d/b"),
            hard_link("c", "a"),
            symlink("l", "a"),
            hard_link("m", "l"),
            member("a", b"replaced"),
        ],
    )
    b, c = find(layer, "d/b"), find(layer, "c")
    assert b.attributes.ino == c.attributes.ino
    assert b.attributes.nlink == 2
    assert (read(layer, "c"), read(layer, "a")) == (b"one", b"replaced")
    assert find(layer, "a").attributes.nlink == 1
    assert find(layer, "m").attributes == find(layer, "l").attributes


def test_whiteouts_and_opaque_directories_are_marks(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        [
            member("d/.wh.gone"),
            member("o/.wh..wh..opq"),
            member("o/new"),
            directory(".wh..wh.plnk"),
            member(".wh..wh.plnk/17.4"),
            member(".wh..wh.aufs"),
        ],
    )
    assert set(walk(layer)) == {b"d", b"d/gone", b"o", b"o/new"}
    assert find(layer, "d/gone").mark is Mark.WHITEOUT
    assert find(layer, "o").mark is Mark.OPAQUE
    assert find(layer, "d").mark is Mark.NONE


@pytest.mark.parametrize("first", [True, False])
def test_name_both_removed_and_present_is_present_and_hides(tmp_path: Path, first: bool) -> None:
    marks = [member(".wh.d"), member(".wh.f"), member(".wh.i")]
    things = [directory("d"), member("f", b"x"), member("i/below")]
    layer = layer_of(tmp_path, marks + things if first else things + marks)
    assert find(layer, "d").mark is Mark.OPAQUE
    assert find(layer, "i").mark is Mark.OPAQUE
    assert find(layer, "f").mark is Mark.NONE
    assert set(walk(layer)) == {b"d", b"f", b"i", b"i/below"}


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([member("../x")], "leads out"),
        ([member("a/../../x")], "leads out"),
        ([member("a/..")], "leads out"),
        ([member("..")], "leads out"),
        ([symlink("a", "/etc"), member("a/passwd")], "not a directory"),
        ([member("a"), member("a/b")], "not a directory"),
        ([symlink("a", "/etc"), hard_link("b", "a/passwd")], "not in the archive"),
        ([hard_link("b", "a"), member("a")], "not in the archive"),
        ([hard_link("b", "/etc/shadow")], "not in the archive"),
        ([hard_link("b", "../../etc/shadow")], "not in the archive"),
        ([directory("d"), hard_link("b", "d")], "the directory"),
        ([member("b/x"), hard_link("b", "b/x")], "replaces what it links to"),
        (
            [member("a"), member(".wh.a"), member(".wh.b"), hard_link("c", "b")],
            "not in the archive",
        ),
        ([member(".wh.")], "whiteout of"),
        ([member("d/.wh..")], "whiteout of"),
        ([member(".wh...")], "whiteout of"),
        ([member(".wh.d/x")], "whiteout used as a directory"),
        ([member("n" * 256)], "longer than 255"),
        ([member("n" * 256 + "/x")], "longer than 255"),
        ([symlink("l", "x" * 4096)], "longer than 4095"),
        ([symlink("l", "")], "without a target"),
        ([member("./")], "not a directory"),
        ([member("")], "without a name"),
        ([member("x", kind=b"N")], "unknown type"),
    ],
)
def test_hostile_members_are_refused_with_a_position(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], complaint: str
) -> None:
    with pytest.raises(TarError, match=complaint) as caught:
        layer_of(tmp_path, [member("first", b"x"), *members])
    assert caught.value.position >= 1024
    assert not list(tmp_path.glob("*sqlite*"))


def test_number_of_entries_is_bounded(tmp_path: Path) -> None:
    indexer = TarIndexer(tmp_path / "index", max_entries=100)
    with pytest.raises(TarError, match="more than 100"), indexer:
        indexer.feed(archive_of([member("d/" * 200 + "f")]))


def test_long_names_of_both_dialects_are_read(tmp_path: Path) -> None:
    name, target = "d/" * 150 + "\udcff" + "n" * 200, "t" * 300
    members = [member(name, b"x"), symlink("l", target)]
    for dialect in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        layer = layer_of(tmp_path, archive_of(members, dialect), chunk=100)
        assert read(layer, name) == b"x"
        assert layer.readlink(find(layer, "l").ref) == target.encode()


def test_large_numbers_of_both_dialects_are_read(tmp_path: Path) -> None:
    members = [member("f", uid=1 << 31, gid=3_000_000, mtime=1 << 33), member("old", mtime=-5)]
    for dialect in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        layer = layer_of(tmp_path, archive_of(members, dialect))
        f = find(layer, "f").attributes
        assert (f.uid, f.gid, f.mtime_ns) == (1 << 31, 3_000_000, (1 << 33) * 10**9)
        assert find(layer, "old").attributes.mtime_ns == -5 * 10**9


def test_pax_times_keep_their_nanoseconds(tmp_path: Path) -> None:
    pax = {"mtime": "1500000000.123456789123", "atime": "-1.5", "ctime": "7"}
    f = find(layer_of(tmp_path, [member("f", pax=pax)]), "f").attributes
    assert (f.mtime_ns, f.atime_ns, f.ctime_ns) == (
        1500000000123456789,
        -1_500_000_000,
        7_000_000_000,
    )


def test_xattrs_of_both_spellings_are_kept_and_bookkeeping_is_hidden(tmp_path: Path) -> None:
    pax = {
        "SCHILY.xattr.user.one": "1\udcff",
        "SCHILY.xattr.user.a%3Db%25": "=",
        "SCHILY.xattr.user.empty": "",
        "LIBARCHIVE.xattr.user.t%77o": "Mg",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.containers.override_stat": "0:0:04755",
    }
    layer = layer_of(tmp_path, [member("f", pax=pax), member("g")])
    assert layer.xattrs(find(layer, "f").ref) == {
        b"user.one": b"1\xff",
        b"user.a=b%": b"=",
        b"user.empty": b"",
        b"user.two": b"2",
    }
    assert layer.xattrs(find(layer, "g").ref) == {}


def test_global_pax_header_applies_until_overridden(tmp_path: Path) -> None:
    with_global = archive_of([member("a"), member("b", pax={"uid": "9"})])
    header = tarfile.TarInfo.create_pax_global_header({"uid": "5", "comment": "x"})
    layer = layer_of(tmp_path, header + with_global)
    assert (find(layer, "a").attributes.uid, find(layer, "b").attributes.uid) == (5, 9)


def test_index_is_absent_until_finished_and_nothing_is_left_when_given_up(tmp_path: Path) -> None:
    index = tmp_path / "index"
    with TarIndexer(index) as indexer:
        indexer.feed(archive_of([member("f")]))
        assert not index.exists()
    assert list(tmp_path.iterdir()) == []


def test_same_archive_gives_the_same_index(tmp_path: Path) -> None:
    archive = archive_of([member(f"d{n}/f{n}", b"x") for n in range(50)])
    write_index(archive, tmp_path / "1")
    write_index(archive, tmp_path / "2", chunk=77)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
