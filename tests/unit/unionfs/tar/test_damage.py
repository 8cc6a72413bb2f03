"""Archives that are cut short, flipped or lie: a TarError, never anything else, never an index."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.support.tar_layers import archive_of, directory, member, symlink, write_index
from unionfs.tar.fields import number, parse_records, time_ns
from unionfs.tar.format import MAX_HEADER, TarError

MEMBERS = [
    directory("d", mtime=1_600_000_000),
    member("d/" + "n" * 120, b"data" * 300, pax={"SCHILY.xattr.user.a": "b", "mtime": "1.5"}),
    symlink("l", "d"),
]


def sealed(block: bytes) -> bytes:
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def header(**fields: tuple[int, bytes]) -> bytes:
    block = bytearray(tarfile.TarInfo("f").tobuf(tarfile.GNU_FORMAT))
    for start, value in fields.values():
        block[start : start + len(value)] = value
    return sealed(bytes(block))


def test_archive_cut_short_anywhere_is_refused_unless_between_members(tmp_path: Path) -> None:
    archive = archive_of(MEMBERS)
    end = archive.rstrip(b"\0").__len__()
    accepted = []
    for length in range(0, end + 512, 100):
        try:
            write_index(archive[: length // 512 * 512 or length], tmp_path / "index")
        except TarError as error:
            assert "cut short" in str(error)  # noqa: PT017
        else:
            accepted.append(length // 512)
    # Empty, after the directory, after the file, after the link: Go and GNU tar read on as well.
    assert len(set(accepted)) == 4


def test_every_flipped_bit_of_a_header_is_noticed(tmp_path: Path) -> None:
    archive = archive_of([member("f", b"x", uid=5)], tarfile.USTAR_FORMAT)
    for byte in range(0, 512, 3):
        if 148 <= byte < 156:
            continue
        flipped = bytearray(archive)
        flipped[byte] ^= 1 << byte % 8
        with pytest.raises(TarError, match="checksum"):
            write_index(bytes(flipped), tmp_path / "index")


@pytest.mark.parametrize(
    "block",
    [
        header(size=(124, b"-0000000001\0")),
        header(size=(124, b"0x000000001\0")),
        header(size=(124, b"1_0\0\0\0\0\0\0\0\0\0")),
        header(size=(124, b"\xff" * 12)),
        header(size=(124, b"\x80" + b"\xff" * 11)),
        header(size=(124, b"\x80\0\0\0\x7f" + b"\xff" * 7)),
        header(mode=(100, b"9999999\0")),
        header(uid=(108, b"\xff" * 8)),
        header(uid=(108, b"\x80\0\0\x01\0\0\0\0")),
        header(mtime=(136, b"\x80\0" + b"\xff" * 10)),
        header(kind=(156, b"x"), size=(124, b"%011o\0" % (MAX_HEADER + 1))),
        header(kind=(156, b"L"), size=(124, b"%011o\0" % (MAX_HEADER + 1))),
        header(kind=(156, b"M")),
        header(kind=(156, b"S"), map=(386, b"%011o\0%011o\0" % (5, 5)), real=(483, b"%011o\0" % 3)),
        header(kind=(156, b"3"), magic=(257, b"ustar\x0000"), major=(329, b"7777777\0")),
    ],
)
def test_lying_headers_are_refused(tmp_path: Path, block: bytes) -> None:
    with pytest.raises(TarError):
        write_index(block + bytes(8192), tmp_path / "index")


@pytest.mark.parametrize(
    "records",
    [
        {"uid": "-1"},
        {"size": "99999999999999999999"},
        {"mtime": "soon"},
        {"path": "a\0b"},
        {"SCHILY.xattr.": "x"},
        {"SCHILY.xattr." + "n" * 300: "x"},
        {"SCHILY.xattr.user.x": "v" * 70000},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"},
        {"GNU.sparse.map": "0,1,0,1", "GNU.sparse.size": "5"},
        {"GNU.sparse.map": "0,99", "GNU.sparse.size": "5"},
        {"GNU.sparse.map": "5", "GNU.sparse.size": "5"},
        {"GNU.sparse.major": "7", "GNU.sparse.realsize": "5"},
    ],
)
def test_lying_pax_records_are_refused(tmp_path: Path, records: dict[str, str]) -> None:
    with pytest.raises(TarError):
        write_index(archive_of([member("f", b"xx", pax=records)]), tmp_path / "index")


def test_extensions_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TarError, match="too many"):
        write_index(header(kind=(156, b"x")) * 5000, tmp_path / "index")


def test_lone_zero_block_is_refused_and_an_empty_archive_is_an_empty_layer(tmp_path: Path) -> None:
    archive = archive_of([member("f")])
    with pytest.raises(TarError, match="lone zero block"):
        write_index(bytes(512) + archive, tmp_path / "index")
    for empty in (b"", bytes(512), bytes(1024)):
        assert write_index(empty, tmp_path / "index").entries == 1


def test_what_follows_the_end_is_ignored(tmp_path: Path) -> None:
    assert write_index(bytes(1024) + b"anything" * 1000, tmp_path / "index").entries == 1


@pytest.mark.parametrize(
    "text", [b"4 a=b\n", b"x a=b\n", b"6 a=b ", b"6 ab\n\n", b"6 =ab\n", b"0 "]
)
def test_malformed_records_are_value_errors(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_records(text)


def test_numbers_of_all_spellings() -> None:
    assert number(b"0000644\0") == 0o644
    assert number(b"   644 \0") == 0o644
    assert number(bytes(8)) == 0
    assert number(b"\x80\0\0\0\0\0\x01\0") == 256
    assert number(b"\xff" * 12) == -1
    assert [time_ns(text) for text in (b"1", b"1.", b"-0.5", b"1.0000000019")] == [
        10**9,
        10**9,
        -500_000_000,
        1_000_000_001,
    ]
