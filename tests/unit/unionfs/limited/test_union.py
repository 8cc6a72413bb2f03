"""What a limited upper counts is what is on disk, whatever is done to it; and what it refuses."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from unionfs.limited.quota import REPORT, Quota, QuotaLimits
from unionfs.limited.union import LimitedUnion, fitting
from unionfs.limited.upper import LimitedUpper
from unionfs.memory import MemoryLayer, directory, regular, symlink
from unionfs.model import ROOT_NODE, Caller, NodeId, SetAttributes
from unionfs.ops.tree import UnionOptions
from unionfs.ownership import Ownership
from unionfs.syscalls.files import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    RENAME_EXCHANGE,
    RENAME_WHITEOUT,
)

MIB = 1 << 20
CALLER = Caller(0, 0)
NAMES = [b"a", b"b", b"c", b"one", b"two", b"link", b"d", b"e"]


def lower() -> MemoryLayer:
    shared = regular(b"shared" * 2000)
    return MemoryLayer(
        directory(
            {
                b"a": regular(b"a" * 9000),
                b"one": shared,
                b"two": shared,
                b"link": symlink(b"target"),
                b"d": directory({b"a": regular(b"x" * 5000), b"e": directory({b"b": regular()})}),
            }
        )
    )


def limited(tmp_path: Path, size: int | None = None, inodes: int | None = None) -> LimitedUnion:
    top = os.fsencode(tmp_path)
    upper = LimitedUpper(
        top + b"/upper",
        top + b"/work",
        ownership=Ownership.DATA,
        quota=Quota(QuotaLimits(size, inodes)),
    )
    return LimitedUnion([lower()], upper, UnionOptions(volatile=True))


def on_disk(tmp_path: Path, union: LimitedUnion) -> tuple[int, int]:
    """Bytes and inodes of the upper, the index, and files that only the union has open."""
    found: dict[int, int] = {}
    paths = [tmp_path / "upper", *(tmp_path / "upper").rglob("*")]
    index = [p for p in (tmp_path / "work/rootless.index").iterdir() if p.name[0] != "r"]
    paths += [p for p in index if p.name[0] == "s" or not p.is_symlink()]
    paths += (tmp_path / "work/rootless.tmp").iterdir()
    for path in paths:
        status = path.lstat()
        if not (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0):
            found[status.st_ino] = status.st_blocks * 512
    for node in union._tree.nodes.values():
        if node.backing is not None and node.layer == 0:
            status = os.fstat(node.backing.fd)
            found[status.st_ino] = status.st_blocks * 512
    return sum(found.values()), len(found)


class Client:
    """Makes requests to a union as the kernel does, and keeps references."""

    def __init__(self, union: LimitedUnion, choices: random.Random) -> None:
        self.union = union
        self.random = choices
        self.held: list[int] = []

    def place(self) -> NodeId:
        if self.random.random() < 0.6:
            return ROOT_NODE
        name = self.random.choice([b"d", b"e"])
        entry = self.union.lookup(ROOT_NODE, name)
        if entry is None:
            return ROOT_NODE
        self.held.append(entry.nodeid)
        return entry.nodeid if stat.S_ISDIR(entry.attributes.mode) else ROOT_NODE

    def file(self) -> NodeId:
        if self.held and self.random.random() < 0.4:
            return NodeId(self.random.choice(self.held))
        entry = self.union.lookup(self.place(), self.random.choice(NAMES))
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "none")
        self.held.append(entry.nodeid)
        return entry.nodeid

    def keep(self, entry: object) -> None:
        self.held.append(entry.nodeid)  # type: ignore[attr-defined]

    def step(self) -> None:
        union, choose = self.union, self.random
        name, other = choose.choice(NAMES), choose.choice(NAMES)
        offset, size = choose.choice([0, 1, 4096, 50_000]), choose.choice([1, 4096, 20_000])
        actions: list[Callable[[], object]] = [
            lambda: self.keep(union.create(self.place(), name, 0o644, os.O_RDWR, CALLER)),
            lambda: self.keep(union.create(self.place(), name, 0o600, os.O_RDWR, Caller(3, 4))),
            lambda: self.keep(union.mkdir(self.place(), name, 0o755, CALLER)),
            lambda: self.keep(union.symlink(self.place(), name, b"t" * 70, CALLER)),
            lambda: self.keep(union.mknod(self.place(), name, stat.S_IFIFO | 0o600, 0, CALLER)),
            lambda: self.keep(union.tmpfile(self.place(), 0o600, os.O_RDWR, CALLER)),
            lambda: self.keep(union.link(self.file(), self.place(), name)),
            lambda: union.unlink(self.place(), name),
            lambda: union.unlink(self.place(), name),
            lambda: union.rmdir(self.place(), name),
            lambda: union.rename(self.place(), name, self.place(), other, 0),
            lambda: union.rename(self.place(), name, self.place(), other, RENAME_EXCHANGE),
            lambda: union.rename(self.place(), name, self.place(), other, RENAME_WHITEOUT),
            lambda: union.write(self.file(), offset, b"w" * size),
            lambda: union.write(self.file(), offset, b"w" * size),
            lambda: union.setattr(self.file(), SetAttributes(size=choose.choice([0, 10, 9000]))),
            lambda: union.setattr(self.file(), SetAttributes(mode=0o600, uid=5)),
            lambda: union.fallocate(self.file(), 0, offset, size),
            lambda: union.fallocate(
                self.file(), FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 8192
            ),
            lambda: union.copy_file_range(self.file(), 0, self.file(), offset, size),
            lambda: union.setxattr(self.file(), b"user.x", b"v" * 3000, 0),
            self.forget,
            self.forget,
        ]
        try:
            choose.choice(actions)()
        except OSError:
            pass

    def forget(self) -> None:
        if self.held:
            self.union.forget(NodeId(self.held.pop(choose_index(self.random, self.held))), 1)


def choose_index(choices: random.Random, items: list[int]) -> int:
    return choices.randrange(len(items))


@pytest.mark.parametrize("seed", range(25))
def test_count_is_what_is_on_disk_after_any_operations(tmp_path: Path, seed: int) -> None:
    union = limited(tmp_path)
    client = Client(union, random.Random(seed))
    for _ in range(120):
        client.step()
        quota = union._quota
        assert quota.inodes == on_disk(tmp_path, union)[1]
    for node in set(client.held):
        union.getattr(NodeId(node))  # which brings what is known of it up to date
    assert (quota.used, quota.inodes) == on_disk(tmp_path, union)
    while client.held:
        client.forget()
    before = on_disk(tmp_path, union)
    assert (quota.used, quota.inodes) == before
    union.destroy()
    again = limited(tmp_path)
    assert (again._quota.used, again._quota.inodes) == before
    again.destroy()


def test_writes_beyond_the_limit_are_cut_and_then_refused(tmp_path: Path) -> None:
    union = limited(tmp_path, size=MIB)
    node = union.create(ROOT_NODE, b"f", 0o644, os.O_RDWR, CALLER).nodeid
    written = union.write(node, 0, b"x" * 2 * MIB)
    assert MIB - 16384 <= written < MIB
    with pytest.raises(OSError, match="No space") as refused:
        union.write(node, written, b"y")
    assert refused.value.errno == errno.ENOSPC
    assert union.write(node, 0, b"z" * 65536) == 65536, "what has blocks can be written again"
    union.setattr(node, SetAttributes(size=0))
    assert union.write(node, 0, b"x" * 65536) == 65536
    union.destroy()


def test_file_that_does_not_fit_is_not_copied_up(tmp_path: Path) -> None:
    union = limited(tmp_path, size=16384)
    node = union.lookup(ROOT_NODE, b"one").nodeid
    big = union.create(ROOT_NODE, b"f", 0o644, os.O_RDWR, CALLER).nodeid
    union.write(big, 0, b"x" * 8192)
    with pytest.raises(OSError, match="No space"):
        union.write(node, 0, b"x")
    assert union.read(node, 0, 6) == b"shared"
    union.unlink(ROOT_NODE, b"one")
    union.destroy()


def test_number_of_inodes_is_limited_and_whiteouts_are_free(tmp_path: Path) -> None:
    union = limited(tmp_path, inodes=3)
    union.create(ROOT_NODE, b"x", 0o644, os.O_RDWR, CALLER)
    union.mkdir(ROOT_NODE, b"y", 0o755, CALLER)
    for make in (
        lambda: union.create(ROOT_NODE, b"z", 0o644, os.O_RDWR, CALLER),
        lambda: union.mkdir(ROOT_NODE, b"z", 0o755, CALLER),
        lambda: union.symlink(ROOT_NODE, b"z", b"t", CALLER),
        lambda: union.write(union.lookup(ROOT_NODE, b"a").nodeid, 0, b"x"),
    ):
        with pytest.raises(OSError, match="No space"):
            make()
    assert (union.statfs().files, union.statfs().ffree) == (3, 0)
    union.unlink(ROOT_NODE, b"a")
    union.rmdir(ROOT_NODE, b"y")
    union.symlink(ROOT_NODE, b"z", b"t", CALLER)
    union.destroy()


def test_fallocate_takes_its_room_and_no_more_when_it_is_written(tmp_path: Path) -> None:
    union = limited(tmp_path, size=MIB)
    node = union.create(ROOT_NODE, b"f", 0o644, os.O_RDWR, CALLER).nodeid
    with pytest.raises(OSError, match="No space"):
        union.fallocate(node, 0, 0, 2 * MIB)
    union.fallocate(node, 0, 0, MIB - 16384)
    assert union.write(node, 0, b"x" * (MIB - 16384)) == MIB - 16384
    union.destroy()


def test_report_has_usage_and_limits(tmp_path: Path) -> None:
    report = bytearray(REPORT.size)
    quota = Quota(QuotaLimits(1000, None), report)
    quota.charge(os.stat(tmp_path))
    assert REPORT.unpack(report) == (os.stat(tmp_path).st_blocks * 512, 1, 1000, 0)
    quota.release(os.stat(tmp_path).st_ino)
    assert REPORT.unpack(report) == (0, 0, 1000, 0)


def test_fitting_counts_only_what_has_no_blocks(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        fd = file.fileno()
        os.pwrite(fd, b"x" * 8192, 8192)
        assert fitting(fd, 8192, 8192, 0) == 8192
        assert fitting(fd, 0, 16384, 8192) == 16384
        assert fitting(fd, 0, 16384, 4096) == 4096
        assert fitting(fd, 0, 20000, 8192) == 16384
        with pytest.raises(OSError, match="No space"):
            fitting(fd, 16384, 1, 4095)
