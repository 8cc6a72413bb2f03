"""Reading through an index: data, holes, damage, threads."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.tar_layers import (
    archive_of,
    directory,
    find,
    layer_files,
    layer_of,
    member,
    read,
    symlink,
    walk,
)
from unionfs.layer import Extent
from unionfs.tar.index import IndexFormatError
from unionfs.tar.layer import TarLayer


@contextmanager
def allowing(*errnos: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in errnos:
            raise


def test_read_stays_within_the_file(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, [member("a", b"0123456789"), member("b", b"other"), member("e")])
    file = layer.open(find(layer, "a").ref)
    assert file.read(0, 100) == b"0123456789"
    assert file.read(4, 3) == b"456"
    assert file.read(10, 1) == b""
    assert file.read(1 << 62, 1) == b""
    assert file.extents() == [Extent(0, 10)]
    empty = layer.open(find(layer, "e").ref)
    assert (empty.read(0, 10), empty.extents()) == (b"", [])


def test_backing_is_where_the_bytes_are(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, [member("a", b"x" * 700), member("b", b"0123456789")])
    backing = layer.open(find(layer, "b").ref).backing()
    assert backing is not None
    assert os.pread(backing[0], 10, backing[1]) == b"0123456789"
    assert not os.get_inheritable(backing[0])


@pytest.mark.parametrize(
    "option",
    ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"],
)
def test_sparse_files_keep_their_holes(tmp_path: Path, option: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "holes", "wb") as file:
        # more runs than fit a GNU header and one extension block
        for run in range(40):
            file.seek(run * 1_000_000)
            file.write(b"%4096d" % run)
        file.truncate(50_000_000)
    (source / "only-a-hole").touch()
    os.truncate(source / "only-a-hole", 1 << 40)
    (source / "after").write_bytes(b"after")
    options = [option] if "gnu" in option else ["--format=posix", option]
    command = [
        "tar",
        "-C",
        source,
        "-cSf",
        tmp_path / "t",
        *options,
        "holes",
        "only-a-hole",
        "after",
    ]
    subprocess.run(command, check=True, timeout=120)
    layer = layer_of(tmp_path, (tmp_path / "t").read_bytes(), chunk=700)
    holes = find(layer, "holes")
    file = layer.open(holes.ref)
    whole = (source / "holes").read_bytes()
    assert holes.attributes.size == len(whole)
    assert holes.attributes.blocks * 512 < 1_000_000
    assert file.read(0, len(whole)) == whole
    assert file.read(999_990, 30) == whole[999_990:1_000_020]
    assert file.read(49_999_990, 100) == bytes(10)
    assert file.backing() is None
    assert len(file.extents()) == 40
    hole = layer.open(find(layer, "only-a-hole").ref)
    assert (hole.read(1 << 39, 3), list(hole.extents())) == (bytes(3), [])
    assert read(layer, "after") == b"after"


def test_archive_shorter_than_its_index_is_an_input_output_error(tmp_path: Path) -> None:
    tar, index = layer_files(tmp_path, [member("a", b"x" * 5000)])
    os.truncate(tar, 3000)
    layer = TarLayer(tar, index)
    file = layer.open(find(layer, "a").ref)
    with pytest.raises(OSError, match="shorter") as caught:
        file.read(0, 5000)
    assert caught.value.errno == errno.EIO
    assert file.read(0, 100) == b"x" * 100


def test_opening_what_is_no_file_gives_the_errno_of_open(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, [directory("d"), symlink("l", "x"), member("f")])
    for name, expected in {"d": errno.EISDIR, "l": errno.EINVAL}.items():
        with pytest.raises(OSError) as caught:  # noqa: PT011
            layer.open(find(layer, name).ref)
        assert caught.value.errno == expected
    with pytest.raises(OSError) as caught:  # noqa: PT011
        layer.readlink(find(layer, "f").ref)
    assert caught.value.errno == errno.EINVAL


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    tar, index = layer_files(tmp_path, [member("a", b"x")])
    layer = TarLayer(tar, index)
    tar.rename(tmp_path / "elsewhere")
    assert set(walk(layer)) == {b"a"}
    with pytest.raises(FileNotFoundError):
        layer.open(find(layer, "a").ref)
    TarLayer(tmp_path / "no", tmp_path / "such").close()


def test_index_of_another_version_is_refused(tmp_path: Path) -> None:
    tar, index = layer_files(tmp_path, [member("a")])
    content = bytearray(index.read_bytes())
    content[60:64] = struct.pack(">I", 2)  # user_version
    index.write_bytes(content)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        TarLayer(tar, index).root()
    assert caught.value.errno == errno.EIO
    assert isinstance(caught.value.__cause__, IndexFormatError)


def test_damaged_index_is_an_input_output_error_and_nothing_worse(tmp_path: Path) -> None:
    tar, index = layer_files(tmp_path, [member(f"d{n}/f{n}", b"x") for n in range(300)])
    whole = index.read_bytes()
    for position in range(100, len(whole), 997):
        damaged = tmp_path / "damaged"
        damaged.write_bytes(
            whole[:position] + bytes([whole[position] ^ 0xFF]) * 64 + whole[position + 64 :]
        )
        layer = TarLayer(tar, damaged)
        with allowing(errno.EIO, errno.ENOENT):
            for entry in list(walk(layer).values())[:700]:
                layer.xattrs(entry.ref)
        layer.close()


def test_many_threads_read_the_same_as_one(tmp_path: Path) -> None:
    content = {f"d{n % 7}/f{n}": os.urandom(n * 37 % 5000) for n in range(200)}
    layer = layer_of(tmp_path, [member(name, data) for name, data in content.items()])

    def check(seed: int) -> bool:
        names = list(content)[seed:] + list(content)[:seed]
        return all(read(layer, name) == content[name] for name in names) and len(walk(layer)) == 207

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(0, 160, 10)))


def test_closed_layer_reads_no_reused_descriptor(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, [member("a", b"x")])
    file = layer.open(find(layer, "a").ref)
    layer.close()
    layer.close()
    for call in (lambda: file.read(0, 1), layer.root):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            call()
        assert caught.value.errno == errno.EBADF


def test_index_in_a_directory_of_any_name(tmp_path: Path) -> None:
    awkward = tmp_path / "a?b#c%20 \udcff;"
    awkward.mkdir()
    assert read(layer_of(awkward, [member("a", b"x")]), "a") == b"x"


def test_old_archives_without_magic_are_read(tmp_path: Path) -> None:
    archive = bytearray(archive_of([member("f", b"x"), member("d/")], tarfile.USTAR_FORMAT))
    for start, kind in ((0, b"\0"), (1024, b"\0")):
        archive[start + 156 : start + 157] = kind
        archive[start + 257 : start + 512] = bytes(255)
        archive[start + 148 : start + 156] = b" " * 8
        archive[start + 148 : start + 156] = b"%06o\0 " % sum(archive[start : start + 512])
    # tarfile strips the slash that says that this is a directory
    archive[1024:1027] = b"d/\0"
    archive[1172:1180] = b" " * 8
    archive[1172:1180] = b"%06o\0 " % sum(archive[1024:1536])
    layer = layer_of(tmp_path, bytes(archive))
    assert read(layer, "f") == b"x"
    assert find(layer, "d").attributes.mode & 0o170000 == 0o040000


def test_layer_knows_whether_an_object_has_an_attribute(tmp_path: Path) -> None:
    for name, headers in (("none", {}), ("one", {"SCHILY.xattr.user.color": "red"})):
        (tmp_path / name).mkdir()
        members = [directory("d"), member("d/a", b"text"), member("d/b", pax=headers)]
        assert layer_of(tmp_path / name, members).has_xattrs() is bool(headers)
