"""What we write, others read; and it is the same bytes each time."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.tar_layers import directory, hard_link, layer_of, member, symlink, walk
from unionfs.model import Attributes
from unionfs.tar.format import TarParser
from unionfs.tar.made_member import made_member
from unionfs.tar.writer import (
    TarEntry,
    archive,
    encode_member,
    layer_archive,
    opaque,
    padding,
    whiteout,
)

ROOT = Attributes(1, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 0, 0, 0, 0, 0)
FILE = ROOT._replace(mode=stat.S_IFREG | 0o4755, size=5, uid=7, mtime_ns=1_500_000_000_250_000_000)


def test_member_that_ustar_can_say_has_no_pax_header() -> None:
    whole = b"".join(archive([(TarEntry(b"f", FILE._replace(mtime_ns=10**9)), [b"he", b"llo"])]))
    assert len(whole) == 512 * 4
    assert whole[257:265] == b"ustar\x0000"
    prefixed = b"d" * 90 + b"/" + b"f" * 90
    assert (
        len(b"".join(archive([(TarEntry(prefixed, FILE._replace(mtime_ns=0)), [b"hello"])])))
        == 2048
    )


def test_python_and_gnu_tar_read_what_we_write(tmp_path: Path) -> None:
    long = b"d" * 120 + b"/" + b"f" * 150
    link = ROOT._replace(mode=stat.S_IFLNK | 0o777, size=200)
    device = ROOT._replace(mode=stat.S_IFCHR | 0o600, rdev=0x0501)
    members: list[tuple[TarEntry, list[bytes]]] = [
        (TarEntry(b"", ROOT), []),
        (TarEntry(long, FILE._replace(uid=1 << 31), xattrs={b"user.a=%": b"\0\xff\n"}), [b"hello"]),
        (TarEntry(b"h", FILE, hard_link=long), []),
        (TarEntry(b"l", link, b"t" * 200), []),
        (TarEntry(b"c", device), []),
        (TarEntry(b"\xff\xfe", FILE._replace(mtime_ns=-1)), [b"world"]),
        (whiteout(b"gone"), []),
        (opaque(b"o"), []),
    ]
    whole = b"".join(archive(members))
    with tarfile.open(fileobj=io.BytesIO(whole), errors="surrogateescape") as reader:
        found = {info.name: info for info in reader}
    f = found[long.decode()]
    assert (f.uid, f.mode, f.size, f.mtime) == (1 << 31, 0o4755, 5, 1_500_000_000.25)
    assert found["h"].linkname == long.decode()
    assert found["l"].linkname == "t" * 200
    assert (found["c"].devmajor, found["c"].devminor) == (5, 1)
    assert {".wh.gone", "o/.wh..wh..opq", "\udcff\udcfe"} <= found.keys()
    path = tmp_path / "t.tar"
    path.write_bytes(whole)
    command = ["tar", "--quoting-style=literal", "-tf", path]
    listed = subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert listed.stderr == b""
    assert listed.stdout.split(b"\n")[:3] == [b"./", long, b"h"]


def test_layer_survives_being_written_and_indexed_again(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        [
            member("b", b"hello", pax={"mtime": "1.25", "SCHILY.xattr.user.x": "y"}),
            hard_link("a/first", "b"),
            symlink("a/l", "x" * 150),
            directory("o", mode=0o1777),
            member("o/.wh..wh..opq"),
            member("o/.wh.gone"),
            member("n" * 255, b"x" * 3000, uid=1 << 30),
            member("p", kind=tarfile.FIFOTYPE),
        ],
    )
    first = b"".join(layer_archive(layer))
    again = layer_of(tmp_path, first)
    before, after = walk(layer), walk(again)
    assert before.keys() == after.keys()
    for name, entry in before.items():
        other = after[name]
        assert other.mark is entry.mark
        same = entry.attributes._replace(ino=other.attributes.ino)
        assert other.attributes == same, name
        assert layer.xattrs(entry.ref) == again.xattrs(other.ref) if entry.ref else True
    assert b"".join(layer_archive(again)) == first


def test_data_of_another_length_than_announced_is_refused() -> None:
    with pytest.raises(ValueError, match="instead of 5"):
        b"".join(archive([(TarEntry(b"f", FILE), [b"shrunk"])]))


def test_index_entry_of_a_member_is_that_of_its_header() -> None:
    entries = [
        TarEntry(b"", ROOT),
        TarEntry(b"d", ROOT._replace(mtime_ns=-1)),
        TarEntry(b"d" * 120 + b"/" + b"f" * 150, FILE, xattrs={b"user.a=%": b"\0\xff", b"b": b""}),
        TarEntry(b"e", FILE._replace(size=0, uid=1 << 31, gid=1 << 30, mtime_ns=0)),
        TarEntry(b"h", FILE, hard_link=b"e"),
        TarEntry(b"l", ROOT._replace(mode=stat.S_IFLNK | 0o777, size=9), b"t" * 200),
        TarEntry(b"c", ROOT._replace(mode=stat.S_IFCHR | 0o600, rdev=os.makedev(5, 300))),
        TarEntry(b"p", ROOT._replace(mode=stat.S_IFIFO | 0o644)),
        whiteout(b"d/gone"),
        opaque(b"d"),
    ]
    parser, made, found, at = TarParser(), [], [], 0
    for entry in entries:
        header = encode_member(entry)
        made.append(made_member(entry, at, at + len(header)))
        size = made[-1].size if stat.S_ISREG(made[-1].mode) else 0
        data = bytes(size) + padding(size)
        found += parser.feed(header + data)
        at += len(header) + len(data)
    assert made == found
