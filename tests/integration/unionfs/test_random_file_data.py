"""Random reads, writes, maps, truncations and copies of files on a mounted union, some of them below,
compared with the same on a plain file: what fsx does, for a union."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import random
from pathlib import Path

import pytest

from tests.support.unionmount import mounted
from unionfs.commands.mount import MountOptions
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.ownership import IdView, Ownership
from unionfs.session.options import ServeOptions
from unionfs.syscalls.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from unionfs.union import Union, UnionOptions

pytestmark = pytest.mark.needs("userns", "fuse")

SIZE = 200_000
OPERATIONS = 500


class Both:
    """One file of the union and one beside it, open all the time."""

    def __init__(self, ours: Path, theirs: Path) -> None:
        self.ours = os.open(ours, os.O_RDWR)
        self.theirs = os.open(theirs, os.O_RDWR)

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)

    @property
    def size(self) -> int:
        return os.fstat(self.theirs).st_size

    def write(self, at: int, data: bytes) -> None:
        for fd in (self.ours, self.theirs):
            assert os.pwrite(fd, data, at) == len(data)

    def write_mapped(self, at: int, data: bytes) -> None:
        if at + len(data) > self.size:
            return
        for fd in (self.ours, self.theirs):
            with mmap.mmap(fd, self.size) as view:
                view[at : at + len(data)] = data

    def read_mapped(self, at: int, length: int) -> None:
        if at + length > self.size:
            return
        with mmap.mmap(self.ours, self.size, prot=mmap.PROT_READ) as view:
            assert view[at : at + length] == os.pread(self.theirs, length, at)

    def truncate(self, size: int) -> None:
        for fd in (self.ours, self.theirs):
            os.ftruncate(fd, size)

    def punch(self, at: int, length: int) -> None:
        try:
            fallocate(self.ours, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length)
        except OSError as error:
            # pyfuse3 has no handler for it.
            if error.errno != errno.EOPNOTSUPP:
                raise
            return
        fallocate(self.theirs, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length)

    def copy(self, source: int, target: int, length: int) -> None:
        if abs(source - target) < length or source + length > self.size:
            return
        for fd in (self.ours, self.theirs):
            done = 0
            while done < length:
                done += os.copy_file_range(fd, fd, length - done, source + done, target + done)

    def sync(self) -> None:
        os.fsync(self.ours)

    def check(self) -> None:
        assert os.fstat(self.ours).st_size == self.size
        theirs = os.pread(self.theirs, SIZE * 2, 0)
        assert os.pread(self.ours, SIZE * 2, 0) == theirs


def step(both: Both, chosen: random.Random) -> None:
    at = chosen.randrange(SIZE)
    length = chosen.choice((1, 4096, chosen.randrange(1, 30_000)))
    operations = [
        lambda: both.write(at, chosen.randbytes(length)),
        lambda: both.write_mapped(at, chosen.randbytes(length)),
        lambda: both.read_mapped(at, length),
        lambda: both.truncate(at),
        lambda: both.punch(at, length),
        lambda: both.copy(at, chosen.randrange(SIZE), length),
        both.sync,
        both.check,
    ]
    chosen.choices(operations, (5, 4, 4, 1, 1, 2, 1, 2))[0]()


@pytest.mark.parametrize("lazy", [None, 4096], ids=["copied", "lazy"])
@pytest.mark.parametrize("writeback", [True, False], ids=["writeback", "through"])
def test_random_operations_leave_what_they_leave_in_a_plain_file(
    session, tmp_path, lazy, writeback
) -> None:
    lower, mountpoint = tmp_path / "lower", tmp_path / "mnt"
    for directory in (lower, mountpoint):
        directory.mkdir()
    chosen = random.Random(11)
    content = chosen.randbytes(SIZE)
    for name in ("one", "two"):
        (lower / name).write_bytes(content)
        (tmp_path / name).write_bytes(content)

    def make() -> Union:
        upper = DirectoryUpper(
            bytes(tmp_path / "upper"), bytes(tmp_path / "work"), ownership=Ownership.DATA
        )
        below = DirectoryLayer(bytes(lower), ownership=Ownership.DATA)
        view = IdView(((0, 1),), ((0, 1),), 0, 0)
        return Union(
            [below],
            upper,
            UnionOptions(view=view, lazy_min_size=lazy, descriptors=2, background_rate=1 << 20),
        )

    def serve(device: int, filesystem: Union) -> None:
        if session == "device":
            from unionfs.session import device as serving
        else:
            from unionfs.session import pyfuse3_session as serving
        assert not serving.serve(device, filesystem, ServeOptions(writeback=writeback)).faults

    with mounted(serve, make, mountpoint, MountOptions(default_permissions=True)) as union:
        with contextlib.ExitStack() as stack:
            pairs = [Both(union.path / name, tmp_path / name) for name in ("one", "two")]
            for both in pairs:
                stack.callback(both.close)
            for _ in range(OPERATIONS):
                step(chosen.choice(pairs), chosen)
            for both in pairs:
                both.check()
        for name in ("one", "two"):
            assert (union.path / name).read_bytes() == (tmp_path / name).read_bytes()
    for name in ("one", "two"):
        assert (lower / name).read_bytes() == content
