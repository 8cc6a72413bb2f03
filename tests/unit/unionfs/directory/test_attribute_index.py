"""The index of extended attributes, for disks that have none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from unionfs.directory.attribute_index import AttributeIndex, AttributeIndexFile

NAME = b"rootless.attributes"


@pytest.fixture
def work(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    return os.fsencode(path)


def opened(work) -> AttributeIndexFile:
    return AttributeIndexFile.open(work, NAME)


def read(work) -> AttributeIndex:
    return AttributeIndex.read(work, NAME)


def test_attributes_survive_a_rename_and_are_those_of_every_link(work, file):
    index = opened(work)
    index.set(file, b"user.a", b"one")
    os.link(file, file + b"2")
    os.rename(file, file + b"3")
    index.set(file + b"2", b"user.b", b"")
    index.close()
    for each in (read(work), opened(work)):
        for path in (file + b"2", file + b"3"):
            assert each.names(path, follow=False) == {b"user.a", b"user.b"}
            assert each.value(path, b"user.a", follow=False) == b"one"
            assert each.value(path, b"user.b", follow=False) == b""
            assert each.value(path, b"user.c", follow=False) is None


def test_flags_and_errors_are_those_of_setxattr(work, file):
    index = opened(work)
    with pytest.raises(OSError, match="No data"):
        index.set(file, b"user.a", b"1", flags=os.XATTR_REPLACE)
    index.set(file, b"user.a", b"1", flags=os.XATTR_CREATE)
    with pytest.raises(FileExistsError):
        index.set(file, b"user.a", b"2", flags=os.XATTR_CREATE)
    index.set(file, b"user.a", b"3", flags=os.XATTR_REPLACE)
    with pytest.raises(OSError, match="Argument list too long"):
        index.set(file, b"user.big", bytes(65537))
    index.set(file, b"user.big", bytes(65536))
    index.remove(file, b"user.a")
    with pytest.raises(OSError, match="No data"):
        index.remove(file, b"user.a")
    with pytest.raises(FileNotFoundError):
        index.set(file + b"-none", b"user.a", b"")
    assert index.names(file, follow=True) == {b"user.big"}


def test_new_object_with_the_number_of_an_old_one_has_none(work, file):
    index = opened(work)
    index.set(file, b"user.a", b"1")
    index.forget(os.stat(file).st_ino)
    assert not index.names(file, follow=True)
    assert not read(work).names(file, follow=True)


def test_cut_at_any_byte_it_has_what_was_complete(work, file, tmp_path):
    index = opened(work)
    ends = []
    path = tmp_path / os.fsdecode(NAME)
    for number in range(5):
        index.set(file, b"user.%d" % number, b"value %d" % number)
        ends.append(path.stat().st_size)
    index.close()
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        complete = {b"user.%d" % number for number in range(5) if ends[number] <= size}
        assert read(work).names(file, follow=True) == complete
        index = opened(work)
        assert index.names(file, follow=True) == complete
        index.set(file, b"user.more", b"")
        index.close()
        assert read(work).names(file, follow=True) == complete | {b"user.more"}
        assert not (tmp_path / "rootless.attributes.damaged").exists()


def test_damage_costs_what_follows_it_and_the_damaged_file_is_kept(work, file, tmp_path):
    index = opened(work)
    for number in range(5):
        index.set(file, b"user.%d" % number, b"value")
    index.close()
    path = tmp_path / os.fsdecode(NAME)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    names = opened(work).names(file, follow=True)
    assert names < {b"user.%d" % number for number in range(5)}
    assert b"user.0" in names
    assert (tmp_path / "rootless.attributes.damaged").read_bytes() == bytes(damaged)


def test_file_of_obsolete_records_is_written_anew(work, file, tmp_path):
    index = opened(work)
    for number in range(2000):
        index.set(file, b"user.a", b"%d" % number)
    index.close()
    path = tmp_path / os.fsdecode(NAME)
    before = path.stat().st_size
    index = opened(work)
    assert path.stat().st_size < before / 100
    assert index.value(file, b"user.a", follow=True) == b"1999"
    index.set(file, b"user.a", b"last")
    assert read(work).value(file, b"user.a", follow=True) == b"last"


def test_full_disk_leaves_what_was_there(work, file, monkeypatch):
    index = opened(work)
    index.set(file, b"user.a", b"1")
    write = os.write

    def short(fd: int, data: memoryview) -> int:
        if len(data) < 10:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        index.set(file, b"user.b", bytes(100))
    monkeypatch.undo()
    assert index.names(file, follow=True) == {b"user.a"}
    index.set(file, b"user.c", b"")
    assert read(work).names(file, follow=True) == {b"user.a", b"user.c"}


def test_copy_of_a_tree_has_no_attributes(work, file, tmp_path):
    index = opened(work)
    index.set(file, b"user.a", b"1")
    shutil.copy2(file, file + b"-copy")
    assert not index.names(file + b"-copy", follow=True)
    assert Path(os.fsdecode(file)).exists()
