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
from unionfs.tar.indexer import IN_MEMORY, TarIndexer


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


def test_member_without_a_name_is_left_out(tmp_path: Path) -> None:
    """Some builders write one; tar(1) takes it for the root, whatever its type."""
    assert set(walk(layer_of(tmp_path, [member(""), member("a")]))) == {b"a"}


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
        ([member("a/..")], "not a directory"),
        ([member("..")], "leads out"),
        ([member("a/b/../../../x")], "leads out"),
        ([member("/../x")], "leads out"),
        ([member("a"), member("a/b")], "not a directory"),
        ([symlink("a", "a"), member("a/b")], "too many links"),
        ([symlink("a", "b"), symlink("b", "a"), member("a/x/y")], "too many links"),
        ([member("f"), symlink("a", "f"), member("a/b")], "not a directory"),
        ([symlink("a", "/etc"), hard_link("b", "a/passwd")], "not in the archive"),
        ([hard_link("b", ".wh..wh.plnk/1.2")], "not in the archive"),
        ([hard_link("b", "a"), member("a")], "not in the archive"),
        ([hard_link("b", "/etc/shadow")], "not in the archive"),
        ([hard_link("b", "../../etc/shadow")], "leads out"),
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
        ([member(".wh." + "n" * 256)], "longer than 255"),
        ([member("n" * 256 + "/x")], "longer than 255"),
        ([symlink("l", "x" * 4096)], "longer than 4095"),
        ([symlink("l", "")], "without a target"),
        ([member("./")], "not a directory"),
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


def test_member_below_a_link_lies_where_it_leads_beneath_the_root(tmp_path: Path) -> None:
    """As unpacking in a chroot would have it: `lib -> usr/lib` of a merged /usr above all."""
    layer = layer_of(
        tmp_path,
        [
            directory("usr/lib"),
            symlink("lib", "usr/lib"),
            member("lib/x", b"X"),
            member("lib/.wh.gone"),
            symlink("usr/up", "../../../etc"),
            member("usr/up/passwd", b"inside"),
            symlink("absolute", "/usr/up"),
            member("absolute/deep/er", b"deep"),
            hard_link("same", "lib/x"),
            symlink("lib2", "lib"),
            symlink("later", "not/there"),
            member("later/f", b"made"),
        ],
    )
    assert set(walk(layer)) == {
        *(b"usr", b"usr/lib", b"usr/lib/x", b"usr/lib/gone", b"usr/up", b"lib", b"lib2"),
        *(b"etc", b"etc/passwd", b"etc/deep", b"etc/deep/er", b"absolute", b"same"),
        *(b"later", b"not", b"not/there", b"not/there/f"),
    }
    assert (read(layer, "usr/lib/x"), read(layer, "etc/passwd")) == (b"X", b"inside")
    assert find(layer, "same").attributes.ino == find(layer, "usr/lib/x").attributes.ino
    assert find(layer, "usr/lib/gone").mark is Mark.WHITEOUT
    assert layer.readlink(find(layer, "lib").ref) == b"usr/lib"


def test_link_that_is_replaced_leads_nowhere_any_more(tmp_path: Path) -> None:
    members = [directory("a"), symlink("l", "a"), member("l/one"), directory("l"), member("l/two")]
    assert set(walk(layer_of(tmp_path, members))) == {b"a", b"a/one", b"l", b"l/two"}


def test_dots_within_a_name_are_taken_by_its_text(tmp_path: Path) -> None:
    members = [member("a/../b/./c", b"c"), member("x/y/../../d", b"d"), directory("e/.")]
    layer = layer_of(tmp_path, [*members, directory("e/f/..")])
    assert set(walk(layer)) == {b"b", b"b/c", b"d", b"e"}


@pytest.mark.parametrize("size", [252, 255])
def test_longest_names_can_be_removed(tmp_path: Path, size: int) -> None:
    layer = layer_of(tmp_path, [member("d/.wh." + "n" * size)])
    assert find(layer, "d/" + "n" * size).mark is Mark.WHITEOUT


@pytest.mark.parametrize("in_memory", [IN_MEMORY, 3])
def test_hard_links_to_what_aufs_hid_are_files(tmp_path: Path, in_memory: int) -> None:
    """Layers that AUFS wrote: the content is in .wh..wh.plnk, the names are links to it."""
    members = [
        directory(".wh..wh.plnk"),
        member(".wh..wh.plnk/1.2", b"content", mode=0o640),
        member(".wh..wh.plnk/3.4", b"nobody's"),
        *(member(f"other{i}") for i in range(5)),
        hard_link("one", ".wh..wh.plnk/1.2"),
        hard_link("d/two", "/.wh..wh.plnk/1.2"),
    ]
    layer = layer_of(tmp_path, members, 700, in_memory)
    assert {name for name in walk(layer) if not name.startswith(b"other")} == {
        b"one",
        b"d",
        b"d/two",
    }
    one, two = find(layer, "one").attributes, find(layer, "d/two").attributes
    assert (one.ino, one.nlink, one.mode & 0o777) == (two.ino, 2, 0o640)
    assert read(layer, "d/two") == b"content"


def test_archive_may_end_within_the_padding_of_its_last_member(tmp_path: Path) -> None:
    data = archive_of([member("a", b"1234"), member("last", b"abcd")])
    end = data.rindex(b"abcd") + 4
    for cut in (end, end + 1, end + 507, end + 508):
        assert read(layer_of(tmp_path, data[:cut]), "last") == b"abcd"
    for cut in (end - 1, end + 509, data.index(b"1234") + 4 + 509):
        with pytest.raises(TarError, match="cut short"):
            layer_of(tmp_path, data[:cut])


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
