"""The disk beneath the upper fails, or is slow: the writer gets the error, no file is incomplete, and the
union goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.faulty import CHECKOUT, Disk, faulty_disk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("fuse", "fusermount")

BIG = os.urandom(1 << 20) * 3


class Place(NamedTuple):
    mnt: Path
    lower: Path
    upper: Path
    disk: Disk

    def still_works(self) -> None:
        """With the disk well again the union takes writes, and shows no trace of the fault."""
        self.disk.fails()
        (self.mnt / "after").write_bytes(b"works")
        assert (self.upper / "after").read_bytes() == b"works"
        assert (self.lower / "big").read_bytes() == BIG
        assert (self.lower / "small").read_bytes() == b"small"
        leftover = self.disk.path / "work/rootless.tmp"
        assert os.listdir(leftover) == []


@contextlib.contextmanager
def mounted_union(
    directory: Path, session: str, options: str = "", *, late: bool = False
) -> Iterator[Place]:
    with faulty_disk(directory, late=late) as disk:
        lower, mnt = directory / "lower", directory / "mnt"
        upper, work = disk.path / "upper", disk.path / "work"
        for each in (lower, mnt, upper, work):
            each.mkdir()
        (lower / "big").write_bytes(BIG)
        (lower / "small").write_bytes(b"small")
        for name in ("one", "two"):
            (lower / name).write_bytes(BIG)
        (upper / "above").write_bytes(b"above")
        for number in range(4):
            (upper / f"slow{number}").write_bytes(b"%d" % number * 5000)
        (lower / "elsewhere").mkdir()
        text = f"lowerdir={lower},upperdir={upper},workdir={work},ownership=data{options}"
        argv = [sys.executable, "-m", "unionfs", "-f", f"--session={session}", "-o", text, str(mnt)]
        with subprocess.Popen(argv, cwd=CHECKOUT, stderr=subprocess.PIPE) as server:
            try:
                wait_until(lambda: os.path.ismount(mnt), alive=server)
                yield Place(mnt, lower, upper, disk)
                assert server.poll() is None
            finally:
                disk.fails()
                subprocess.run(["fusermount3", "-u", "-z", str(mnt)], check=False, timeout=120)
                try:
                    said = server.communicate(timeout=120)[1]
                finally:
                    server.kill()
        assert server.returncode == 0, said
        assert b"Traceback" not in said


def errno_of(body) -> int:
    try:
        body()
    except OSError as error:
        return error.errno
    pytest.fail("no call returned an error")


FAULTS = ["EIO", "EDQUOT", "ENOSPC"]


@pytest.mark.parametrize("options", ["", ",volatile"])
def test_write_that_fails_late_is_reported_at_close(tmp_path, session, options):
    """write(2) to a disk that defers errors succeeds, as on NFS; also where nothing is synced."""
    with mounted_union(tmp_path, session, f",writeback=0{options}", late=True) as union:
        union.disk.fails(write="ENOSPC")
        fd = os.open(union.mnt / "new", os.O_WRONLY | os.O_CREAT)
        assert os.write(fd, b"late") == 4
        assert errno_of(lambda: os.close(fd)) == errno.ENOSPC
        union.still_works()


@pytest.mark.parametrize("options", ["", ",volatile"])
@pytest.mark.parametrize("name", ["small", "big"])
def test_copy_that_fails_late_leaves_the_file_as_it_was(tmp_path, session, name, options):
    with mounted_union(tmp_path, session, f"{options}", late=True) as union:
        before = (union.mnt / name).read_bytes()
        union.disk.fails(write="ENOSPC")
        for change in (
            lambda: os.chmod(union.mnt / name, 0o600),
            lambda: os.truncate(union.mnt / name, 3),
        ):
            assert errno_of(change) == errno.ENOSPC
        assert (union.mnt / name).read_bytes() == before
        assert not (union.upper / name).exists()
        union.still_works()


@pytest.mark.parametrize("fault", FAULTS)
def test_failing_write_is_told_to_the_writer(tmp_path, session, fault):
    with mounted_union(tmp_path, session, ",writeback=0") as union:
        fd = os.open(union.mnt / "new", os.O_RDWR | os.O_CREAT)
        assert os.pwrite(fd, b"first", 0) == 5
        union.disk.fails(write=fault)
        assert errno_of(lambda: os.pwrite(fd, b"second", 5)) == getattr(errno, fault)
        union.disk.fails()
        assert os.pwrite(fd, b"third", 5) == 5
        os.close(fd)
        assert (union.upper / "new").read_bytes() == b"firstthird"
        union.still_works()


@pytest.mark.parametrize("fault", FAULTS)
def test_failing_gathered_write_is_reported_at_close_and_fsync(tmp_path, session, fault):
    with mounted_union(tmp_path, session) as union:
        fd = os.open(union.mnt / "new", os.O_RDWR | os.O_CREAT)
        other = os.open(union.mnt / "new", os.O_RDWR)
        union.disk.fails(write=fault)
        os.pwrite(fd, b"gathered", 0)
        # close(2) reports the error, as ENOSPC or EIO (filemap_check_errors), to the first process that
        # closes; fsync(2) reports it to each descriptor. The kernel knows no EDQUOT there, and the server of the
        # device session has it report ENOSPC.
        told = {getattr(errno, fault), errno.EIO, *({errno.ENOSPC} if fault == "EDQUOT" else ())}
        with contextlib.suppress(OSError):
            os.close(fd)
        assert errno_of(lambda: os.fsync(other)) in told
        os.close(other)
        union.still_works()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("options", [",writeback=0", ",writeback=0,lazy=1M"])
def test_failing_copy_up_leaves_the_file_as_it_was(tmp_path, session, fault, options):
    with mounted_union(tmp_path, session, options) as union:
        fd = os.open(union.mnt / "big", os.O_RDWR)
        union.disk.fails(write=fault)
        # Lazily: the copy is made, the write fails.
        assert errno_of(lambda: os.pwrite(fd, b"x", 1 << 20)) == getattr(errno, fault)
        union.disk.fails()
        assert (union.mnt / "big").read_bytes() == BIG
        if "lazy" not in options:
            assert not (union.upper / "big").exists()
        assert os.pwrite(fd, b"x", 1 << 20) == 1
        os.close(fd)
        assert (union.mnt / "big").read_bytes() == BIG[: 1 << 20] + b"x" + BIG[(1 << 20) + 1 :]
        union.still_works()


@pytest.mark.parametrize("fault", ["EIO", "EDQUOT"])
def test_failing_change_of_attributes_is_told_and_undone(tmp_path, session, fault):
    with mounted_union(tmp_path, session, ",lazy=1M") as union:
        union.disk.fails(setxattr=fault)
        for name in ("big", "small"):
            path = union.mnt / name
            mode = path.stat().st_mode
            assert errno_of(lambda path=path: path.chmod(0o4755)) == getattr(errno, fault)
            union.disk.fails()
            assert path.stat().st_mode == mode
            assert not (union.upper / name).exists()
            union.disk.fails(setxattr=fault)
        union.still_works()


@pytest.mark.parametrize("fault", ["EIO", "EDQUOT"])
def test_failing_fsync_is_told(tmp_path, session, fault):
    with mounted_union(tmp_path, session) as union:
        fd = os.open(union.mnt / "new", os.O_RDWR | os.O_CREAT)
        for size in (100, 3 << 20):
            os.pwrite(fd, bytes(size), 0)
            union.disk.fails(fsync=fault)
            assert errno_of(lambda: os.fsync(fd)) == getattr(errno, fault)
            union.disk.fails()
            os.fsync(fd)
        os.close(fd)
        union.still_works()


def test_failing_read_is_told(tmp_path, session):
    with mounted_union(tmp_path, session) as union:
        union.disk.fails(read="EIO")
        assert errno_of((union.mnt / "above").read_bytes) == errno.EIO
        union.disk.fails()
        assert (union.mnt / "above").read_bytes() == b"above"
        union.still_works()


def answered_meanwhile(union: Place, slow) -> int:
    """How many questions were answered while `slow` ran in another thread."""
    answered = 0
    thread = threading.Thread(target=slow)
    thread.start()
    while thread.is_alive():
        before = time.monotonic()
        with contextlib.suppress(FileNotFoundError):
            # A name that the kernel does not know yet, in a directory that it has not locked.
            (union.mnt / f"elsewhere/{time.monotonic_ns()}").stat()
        if time.monotonic() - before < 0.3:
            answered += 1
        thread.join(0.01)
    return answered


def test_others_are_answered_during_a_slow_fsync(tmp_path):
    with mounted_union(tmp_path, "device") as union:
        fd = os.open(union.mnt / "new", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, bytes(3 << 20), 0)
        union.disk.fails(fsync=1.5)
        assert answered_meanwhile(union, lambda: os.fsync(fd)) > 5
        # Once a sync was slow, a small one is not waited for either.
        os.pwrite(fd, b"x", 0)
        assert answered_meanwhile(union, lambda: os.fsync(fd)) > 5
        os.close(fd)


def test_error_behind_bytes_that_can_be_read_is_told_and_not_taken_for_zeros(tmp_path, session):
    with mounted_union(tmp_path, session) as union:
        # The disk has its first page in memory, and ends a read there.
        assert (union.mnt / "slow0").stat().st_size == 5000
        union.disk.fails(read="EIO")
        with pytest.raises(OSError, match="Input/output error"):
            (union.mnt / "slow0").read_bytes()
        union.still_works()
        assert (union.mnt / "slow0").read_bytes() == b"0" * 5000


def test_others_are_answered_during_a_slow_read(tmp_path):
    with mounted_union(tmp_path, "device") as union:
        read = [None] * 4

        def read_slowly(number):
            read[number] = (union.mnt / f"slow{number}").read_bytes()

        # Names are looked up while the disk is quick.
        for number in range(4):
            (union.mnt / f"slow{number}").stat()
        union.disk.fails(read=0.2)
        read_slowly(0)
        union.disk.fails(read=1.5)
        assert answered_meanwhile(union, lambda: read_slowly(1)) > 5
        # Only the reader gets the error.
        union.disk.fails(read="EIO")
        with pytest.raises(OSError, match="Input/output error"):
            read_slowly(2)
        union.disk.fails()
        for number in (2, 3):
            read_slowly(number)
        assert read == [b"%d" % number * 5000 for number in range(4)]
        assert (union.mnt / "big").read_bytes() == BIG
        union.still_works()


def test_others_are_answered_during_a_big_copy_up_whatever_asks_for_it(tmp_path):
    with mounted_union(tmp_path, "device", ",writeback=0,lazy=off") as union:
        union.disk.fails(fsync=1.5)
        assert answered_meanwhile(union, lambda: os.chmod(union.mnt / "big", 0o600)) > 5
        assert answered_meanwhile(union, lambda: os.link(union.mnt / "one", union.mnt / "1")) > 5
        assert answered_meanwhile(union, lambda: os.rename(union.mnt / "two", union.mnt / "2")) > 5
        union.disk.fails()
        assert (union.mnt / "2").read_bytes() == BIG
        union.still_works()
