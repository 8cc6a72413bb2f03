"""The file system of the upper is full: the writer gets ENOSPC, no copy is incomplete, and the union
goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.small_disk import mount_small_disk, with_small_disk
from tests.support.unionmount import mounted
from tests.support.waiting import assert_stays, wait_until
from unionfs.commands.mount import MountOptions
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import IdView, Ownership
from unionfs.session.options import ServeOptions
from unionfs.union import Union, UnionOptions

pytestmark = pytest.mark.needs("userns")

MIB = 1 << 20
DISK = 8 * MIB
BIG = os.urandom(MIB) * 5
ROOT = Caller(0, 0)
ROOT_ONLY = IdView(((0, 1),), ((0, 1),), 0, 0)


def make_lower(directory: Path) -> None:
    (directory / "disk").mkdir()
    (directory / "mnt").mkdir()
    (directory / "lower").mkdir()
    for name in ("one", "two"):
        (directory / "lower" / name).write_bytes(BIG)


def open_union(directory: Path, **options) -> Union:
    disk = bytes(directory / "disk")
    return Union(
        [DirectoryLayer(bytes(directory / "lower"), ownership=Ownership.DATA)],
        DirectoryUpper(disk + b"/upper", disk + b"/work", ownership=Ownership.DATA),
        UnionOptions(view=ROOT_ONLY, **options),
    )


@contextlib.contextmanager
def mounted_union(directory: Path, session: str, *, writeback: bool) -> Iterator[tuple[Path, Path]]:
    """The mount, and the upper as its server sees it."""
    make_lower(directory)

    def make() -> Union:
        mount_small_disk(directory / "disk", DISK)
        return open_union(directory)

    def serve(device: int, filesystem: Union) -> None:
        if session == "device":
            from unionfs.session import device as chosen
        else:
            from unionfs.session import pyfuse3_session as chosen
        counted = chosen.serve(device, filesystem, ServeOptions(writeback=writeback))
        assert not counted.faults

    options = MountOptions(default_permissions=True)
    with mounted(serve, make, directory / "mnt", options) as made:
        yield made.path, Path(f"/proc/{made.server}/root{directory}/disk")


@contextlib.contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor that keeps no mount from going, and whose close may tell of what has been told."""
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


def fill(fd: int) -> int:
    """Write until write(2) fails with ENOSPC. Returns how many bytes were written."""
    done, told = 0, 0
    while done < 2 * DISK and not told:
        try:
            done += write_and_sync(fd, bytes(MIB // 4), done)
        except OSError as error:
            told = error.errno
    assert told == errno.ENOSPC
    return done


def write_and_sync(fd: int, data: bytes, offset: int) -> int:
    done = os.pwrite(fd, data, offset)
    os.fsync(fd)
    return done


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("writeback", [False, True])
def test_full_disk_is_told_to_the_writer_and_the_union_goes_on(tmp_path, session, writeback):
    with mounted_union(tmp_path, session, writeback=writeback) as (mnt, disk):
        (mnt / "kept").write_bytes(b"kept" * 1000)
        with opened(mnt / "filler", os.O_RDWR | os.O_CREAT) as fd:
            assert DISK // 2 < fill(fd) <= DISK + MIB
        # A lower file cannot be copied up, whatever asks for it, and stays as it was.
        with (
            opened(mnt / "one", os.O_RDWR) as fd,
            pytest.raises(OSError, match="No space left"),
        ):
            write_and_sync(fd, b"x", 0)
        with pytest.raises(OSError, match="No space left"):
            os.chmod(mnt / "two", 0o600)
        assert not (disk / "upper/one").exists()
        assert not (disk / "upper/two").exists()
        assert os.listdir(disk / "work/rootless.tmp") == []
        assert (mnt / "two").read_bytes() == BIG
        assert (mnt / "kept").read_bytes() == b"kept" * 1000
        # With room again all of it goes: once the kernel has forgotten the file, which it does when
        # it likes.
        os.unlink(mnt / "filler")
        deadline = time.monotonic() + 120
        while (mnt / "two").stat().st_mode & 0o777 != 0o600:
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                os.chmod(mnt / "two", 0o600)
        assert (mnt / "two").read_bytes() == BIG
        assert (tmp_path / "lower/one").read_bytes() == (tmp_path / "lower/two").read_bytes() == BIG


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("writeback", [False, True])
def test_program_that_only_writes_ends_on_a_full_disk(tmp_path, writeback):
    """As `dd` and `yes` do: they sync nothing, and end at the first error."""
    with mounted_union(tmp_path, "device", writeback=writeback) as (mnt, _):
        for name in ("filler", "another"):
            with subprocess.Popen(
                ["dd", "if=/dev/zero", f"of={mnt}/{name}", "bs=64k"],
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
            ) as program:
                _, said = program.communicate(timeout=120)
            assert program.returncode == 1
            assert b"No space left on device" in said
        # It is the error of a write: whatever else is done with the file is answered.
        assert (mnt / "filler").stat().st_size > DISK // 2
        with open(mnt / "filler", "rb") as file:
            assert len(file.read()) > DISK // 2
        os.unlink(mnt / "filler")
        os.unlink(mnt / "another")

        def has_room() -> bool:
            try:
                (mnt / "small").write_bytes(bytes(MIB))
            except OSError:
                return False
            return (mnt / "small").read_bytes() == bytes(MIB)

        wait_until(has_room)


def node(union: Union, name: bytes) -> int:
    return union.lookup(ROOT_NODE, name).nodeid


def test_lazy_copies_that_could_not_all_be_finished_are_refused_where_they_must(tmp_path):
    make_lower(tmp_path)

    def body() -> None:
        union = open_union(tmp_path, lazy_min_size=MIB, complete_at_end=True)
        union.write(node(union, b"one"), 0, b"x")
        for change in (
            lambda: union.write(node(union, b"two"), 0, b"x"),
            lambda: union.setattr(node(union, b"two"), SetAttributes(mode=0o600)),
        ):
            with pytest.raises(OSError, match="No space left"):
                change()
        assert union.read(node(union, b"two"), 0, len(BIG)) == BIG
        # Cut to what there is room for.
        union.setattr(node(union, b"two"), SetAttributes(size=MIB))
        union.destroy()
        assert (tmp_path / "disk/upper/one").read_bytes() == b"x" + BIG[1:]
        assert (tmp_path / "disk/upper/two").read_bytes() == BIG[:MIB]

    with_small_disk(tmp_path / "disk", DISK, body)


def test_lazy_copies_of_an_earlier_mount_count_too(tmp_path):
    make_lower(tmp_path)

    def body() -> None:
        union = open_union(tmp_path, lazy_min_size=MIB)
        union.write(node(union, b"one"), 0, b"x")
        union.destroy()
        union = open_union(tmp_path, lazy_min_size=MIB, complete_at_end=True)
        with pytest.raises(OSError, match="No space left"):
            union.write(node(union, b"two"), 0, b"x")
        union.unlink(ROOT_NODE, b"one")
        union.write(node(union, b"two"), 0, b"x")
        union.destroy()

    with_small_disk(tmp_path / "disk", DISK, body)


def test_nothing_is_completed_by_the_way_that_would_fill_the_disk(tmp_path):
    make_lower(tmp_path)

    def body() -> None:
        union = open_union(tmp_path, lazy_min_size=MIB, background_rate=1 << 30)
        union.write(node(union, b"one"), 0, b"x")
        union.write(node(union, b"two"), 0, b"x")
        wait_until(lambda: union.pending() < len(BIG))
        assert_stays(lambda: len(BIG) // 2 < union.pending() < len(BIG))
        assert os.statvfs(tmp_path / "disk").f_bavail > 0
        for name in (b"one", b"two"):
            assert union.read(node(union, name), 0, len(BIG)) == b"x" + BIG[1:]
        union.destroy()

    with_small_disk(tmp_path / "disk", DISK, body)
