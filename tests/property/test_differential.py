"""The union, kernel overlayfs and a plain directory do the same: hypothesis chooses the operations,
this compares.

A plain directory is the oracle for what POSIX says, kernel overlayfs for what a union of these
layers contains. Where the kernel's overlayfs is known to deviate from the plain directory, the
deviation stands in this file, and only there. Ours may not deviate: the same errno or value from
each operation, the same tree after it, and a one-to-one relation between our inode numbers and the
plain directory's that holds over copy-up, rename and remount.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.overlay import UNIONS, Namespace, several_ids
from tests.support.trees import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    Outcome,
    Row,
)

NAMES = [
    "new",
    "other",
    "x",
    "y",
    "gone",
    "plain",
    "emptied",
    "n\udcff",
    "plain/x",
    "L" * 255,
    "L" * 256,
]
CONTENTS = [b"", b"q", b"content " * 30, b"\0" * 5000, b"block" * 3000]
MODES = [0o644, 0o600, 0o755, 0o444, 0o000, 0o4755, 0o2770, 0o1777]
OFFSETS = [0, 1, 4095, 4096, 70_000]
FALLOCATE_MODES = [
    0,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
]
"""All that the kernel passes on to a FUSE server (fuse_file_fallocate, fs/fuse/file.c)."""
XATTRS = ["user.colour", "user.empty", "user.long." + "n" * 200]

# An index into the paths that exist at that moment, or into the directories among them with a name
# beneath.
index = st.sampled_from(range(60))
existing = st.tuples(index, st.none())
beneath = st.tuples(index, st.sampled_from(NAMES))
anywhere = st.one_of(existing, existing, beneath)
contents = st.sampled_from(CONTENTS)
modes = st.sampled_from(MODES)
offsets = st.sampled_from(OFFSETS)
slots = st.integers(0, 2)
# Three in four as root of the namespace, for whom more succeeds.
actors = st.sampled_from([0, 0, 0, 1000])

CLOCK_REALTIME_COARSE = 5  # clock_gettime(2)

Choice = tuple[int, str | None]

# What kernel overlayfs sees through a descriptor opened for reading before a copy-up is the lower
# file for ever.
KERNEL_STALE = frozenset({"held_read", "held_stat"})


class Comparison:
    """A namespace that outlives examples, and is made anew after one that had to be killed."""

    def __init__(self, union: str) -> None:
        self.union = union
        self.all_ids = several_ids()
        self._namespace: Namespace | None = None

    def call(self, method: str, *arguments: object) -> Any:
        if self._namespace is None:
            self._namespace = Namespace(all_ids=self.all_ids)
        try:
            return self._namespace.call(method, *arguments)
        except (RuntimeError, TimeoutError):
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._namespace is not None

    def close(self) -> None:
        """End the namespace, and with it every mount. The next call makes a new one."""
        if self._namespace is not None:
            self._namespace.kill()
            self._namespace = None


class Differential(RuleBasedStateMachine):
    """One example: fresh trees, then operations."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self.comparison = comparison
        self.begun = False
        self.remounted = False
        self.paths: list[str] = ["."]
        self.directories: list[str] = ["."]
        self.inodes: dict[int, int] = {}
        self.begun_ns = 0
        self.originals: set[tuple[int, int]] = set()
        self.births: dict[tuple[int, int], tuple[int, bool]] = {}
        """By number and time of birth in the plain directory: the time of birth in the union, and
        whether it may still change."""
        self.kernel = False

    # --- set-up and comparison

    @initialize(hard_links=st.sampled_from([True, True, False]))
    def begin(self, hard_links: bool) -> None:
        unions: dict[str, tuple[str, ...] | None] = {"union": UNIONS[self.comparison.union]}
        # Copy-up breaks a hard link in the kernel's overlayfs (its index needs trusted xattrs).
        self.kernel = not hard_links
        if self.kernel:
            unions["kernel"] = None
        self.comparison.call("begin", unions, "allow_other", hard_links)
        self.begun = True
        # What is made from here on is born at this tick of the file systems' clock, or later.
        self.begun_ns = time.clock_gettime_ns(CLOCK_REALTIME_COARSE)
        self.compare()
        self.originals = {self._birth("plain", path) for path in self.paths}
        self.changed()

    def path(self, choice: Choice) -> str:
        index, name = choice
        if name is None:
            return self.paths[index % len(self.paths)]
        base = self.directories[index % len(self.directories)]
        return name if base == "." else f"{base}/{name}"

    def do(self, operation: str, *arguments: object, uid: int = 0) -> Outcome:
        if not self.comparison.all_ids:
            uid = 0
        outcomes = self.comparison.call("apply", operation, arguments, uid)
        plain = outcomes["plain"]
        note(f"{operation}{_brief(arguments)} as {uid}: {_brief(plain)}")
        if self.kernel and self._same(operation, plain, outcomes["kernel"], kernel=True) is False:
            self._retire_or_fail(operation, arguments, plain, outcomes["kernel"])
        assert self._same(operation, plain, outcomes["union"]), (
            f"{operation}{_brief(arguments)} as {uid}: "
            f"plain directory {_brief(plain)}, union {_brief(outcomes['union'])}"
        )
        return plain

    @staticmethod
    def _same(operation: str, plain: Outcome, other: Outcome, *, kernel: bool = False) -> bool:
        if kernel and operation in KERNEL_STALE:
            return True
        if kernel and operation == "stat" and plain[0] == other[0] == "ok":
            return _without_directory_nlink(plain[1]) == _without_directory_nlink(other[1])
        return plain == other

    def _retire_or_fail(
        self, operation: str, arguments: object, plain: Outcome, kernel: Outcome
    ) -> None:
        # Without redirect_dir, which userxattr excludes, a directory that comes from a lower cannot
        # be renamed.
        known = operation == "rename" and kernel == ("errno", "EXDEV")
        assert known, (
            f"{operation}{arguments}: plain directory {plain}, kernel overlayfs {kernel}: not a known deviation"
        )
        event("kernel overlayfs left the comparison: directory rename")
        self.comparison.call("retire", "kernel")
        self.kernel = False

    @rule()
    def compare(self) -> None:
        snapshots: dict[str, dict[str, Row]] = self.comparison.call("snapshots")
        plain, union = snapshots["plain"], snapshots["union"]
        self.paths = sorted(plain)
        for name, other in snapshots.items():
            assert sorted(other) == self.paths, f"names differ in {name}: {set(other) ^ set(plain)}"
            for path, row in plain.items():
                expected, found = row[:3], other[path][:3]
                if name == "kernel":
                    expected = (_without_directory_nlink(expected[0]), *expected[1:])
                    found = (_without_directory_nlink(found[0]), *found[1:])
                assert found == expected, f"{path!r}: plain directory {expected}, {name} {found}"
        if self.remounted:
            self.remounted = False
            self._forget_what_cannot_be_kept(plain)
        self._compare_inodes({path: (plain[path][3], union[path][3]) for path in plain})

    def _forget_what_cannot_be_kept(self, plain: dict[str, Row]) -> None:
        """A user attribute records where a copied-up file came from, and the kernel has those only on regular files and
        directories (xattr(7)): the number of a copied-up symbolic link or FIFO is a new one after a remount."""
        for (mode, *_), _, _, number in plain.values():
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                self.inodes.pop(number, None)

    def mount_again(self) -> None:
        """Unmount, mount on what was left, and compare."""
        self.comparison.call("remount")
        self.remounted = True
        self.compare()

    def _compare_inodes(self, numbers: dict[str, tuple[int, int]]) -> None:
        alive = {ours: None for ours, _ in numbers.values()}
        # The plain file system gives the number of a removed file to the next one.
        self.inodes = {plain: union for plain, union in self.inodes.items() if plain in alive}
        for path, (plain, union) in numbers.items():
            before = self.inodes.setdefault(plain, union)
            assert before == union, f"{path!r}: the inode number was {before} and is {union}"
        assert len(set(self.inodes.values())) == len(self.inodes), (
            "an inode number stands for two files"
        )

    def changed(self) -> None:
        """Forget inode numbers that the plain directory may have used again, and learn the names
        that there are now."""
        numbers, self.directories = self.comparison.call("plain_paths")
        self.paths = sorted(numbers)
        alive = set(numbers.values())
        self.inodes = {plain: union for plain, union in self.inodes.items() if plain in alive}

    # --- names

    @rule(
        choice=anywhere,
        flags=st.sampled_from([0, os.O_EXCL, os.O_TRUNC, os.O_APPEND]),
        mode=modes,
        content=contents,
        uid=actors,
    )
    def create(self, choice: Choice, flags: int, mode: int, content: bytes, uid: int) -> None:
        # Opening a FIFO for writing would wait for a reader.
        self.do("create", self.path(choice), flags | os.O_NONBLOCK, mode, content, uid=uid)
        self.changed()

    @rule(choice=beneath, mode=modes, uid=actors)
    def mkdir(self, choice: Choice, mode: int, uid: int) -> None:
        self.do("mkdir", self.path(choice), mode, uid=uid)
        self.changed()

    @rule(choice=beneath, mode=modes)
    def mkfifo(self, choice: Choice, mode: int) -> None:
        self.do("mkfifo", self.path(choice), mode)
        self.changed()

    @rule(choice=beneath, content=st.sampled_from(["plain", "../b", "nowhere", "x" * 300]))
    def symlink(self, choice: Choice, content: str) -> None:
        self.do("symlink", self.path(choice), content)
        self.changed()

    @rule(choice=existing, new=anywhere, uid=actors)
    def link_again(self, choice: Choice, new: Choice, uid: int) -> None:
        """Once more, for its weight."""
        self.link(choice, new, uid)

    @rule(choice=existing, new=anywhere, uid=actors)
    def link(self, choice: Choice, new: Choice, uid: int) -> None:
        self.do("link", self.path(choice), self.path(new), uid=uid)
        self.changed()

    @rule(choice=anywhere, uid=actors)
    def unlink(self, choice: Choice, uid: int) -> None:
        self.do("unlink", self.path(choice), uid=uid)
        self.changed()

    @rule(choice=anywhere, uid=actors)
    def rmdir(self, choice: Choice, uid: int) -> None:
        self.do("rmdir", self.path(choice), uid=uid)
        self.changed()

    @rule(
        choice=existing,
        new=anywhere,
        flags=st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]),
        uid=actors,
    )
    def rename(self, choice: Choice, new: Choice, flags: int, uid: int) -> None:
        self.do("rename", self.path(choice), self.path(new), flags, uid=uid)
        self.changed()

    @rule(
        choice=existing,
        new=anywhere,
        flags=st.sampled_from([RENAME_WHITEOUT, RENAME_WHITEOUT | RENAME_NOREPLACE]),
    )
    @precondition(lambda self: self.kernel and "data" not in self.comparison.union)
    def rename_leaving_whiteout(self, choice: Choice, new: Choice, flags: int) -> None:
        # What a plain directory leaves would on disk be the mark of a union. One that keeps owners as
        # data keeps this device as data too, and grants what the kernel's refuses.
        arguments = self.path(choice), self.path(new), flags
        kernel, union = (
            self.comparison.call("apply_to", name, "rename", arguments)
            for name in ("kernel", "union")
        )
        assert kernel == union, f"rename{arguments}: kernel overlayfs {kernel}, union {union}"

    @rule(
        choice=existing,
        flags=st.sampled_from([0, 0, os.O_EXCL]),
        mode=modes,
        content=contents,
        new=anywhere,
    )
    @precondition(lambda self: self.comparison.union.startswith("device"))
    def tmpfile(self, choice: Choice, flags: int, mode: int, content: bytes, new: Choice) -> None:
        self.do("tmpfile", self.path(choice), flags, mode, content, self.path(new))
        self.changed()

    @rule(choice=anywhere)
    def readlink(self, choice: Choice) -> None:
        self.do("readlink", self.path(choice))

    @rule(choice=existing, uid=actors)
    def listdir(self, choice: Choice, uid: int) -> None:
        self.do("listdir", self.path(choice), uid=uid)

    # --- content

    @rule(choice=existing, offset=offsets, content=contents, uid=actors)
    def write(self, choice: Choice, offset: int, content: bytes, uid: int) -> None:
        self.do("write", self.path(choice), offset, content, uid=uid)

    @rule(choice=existing, size=st.sampled_from([0, 1, 100, 4096, 300_000]), uid=actors)
    def truncate(self, choice: Choice, size: int, uid: int) -> None:
        self.do("truncate", self.path(choice), size, uid=uid)

    @rule(choice=existing)
    def read_by_map(self, choice: Choice) -> None:
        self.do("read_by_map", self.path(choice))

    @rule(choice=existing, offset=offsets)
    def seek_from(self, choice: Choice, offset: int) -> None:
        self.do("seek_from", self.path(choice), offset)

    @rule(
        choice=existing,
        offset=offsets,
        into=existing,
        at=offsets,
        length=st.sampled_from([0, 100, 4096, 300_000]),
        uid=actors,
    )
    def copy_range(
        self, choice: Choice, offset: int, into: Choice, at: int, length: int, uid: int
    ) -> None:
        self.do("copy_range", self.path(choice), offset, self.path(into), at, length, uid=uid)

    @rule(
        choice=existing,
        mode=st.sampled_from(FALLOCATE_MODES),
        offset=offsets,
        length=st.sampled_from([0, 1, 4096, 10_000]),
        uid=actors,
    )
    @precondition(lambda self: self.comparison.union.startswith("device"))
    def fallocate(self, choice: Choice, mode: int, offset: int, length: int, uid: int) -> None:
        self.do("fallocate", self.path(choice), mode, offset, length, uid=uid)

    # --- attributes

    @rule(choice=existing)
    @precondition(lambda self: self.comparison.union.startswith("device"))
    def birth(self, choice: Choice) -> None:
        """That of the file on disk: of a lower's until it is copied up, and then that of the copy
        for ever (docs/unionfs-semantics.md)."""
        path = self.path(choice)
        plain, (_, born) = self._birth("plain", path), self._birth("union", path)
        before, may_change = self.births.get(plain, (born, plain in self.originals))
        if born != before:
            assert may_change, f"{path!r}: born {before}, and now {born}"
            assert born >= self.begun_ns, f"{path!r}: a copy that was born before it was made"
            may_change = False
        if plain not in self.originals:
            assert born >= self.begun_ns, f"{path!r}: born before it was made"
        self.births[plain] = born, may_change

    def _birth(self, tree: str, path: str) -> tuple[int, int]:
        outcome, born = self.comparison.call("apply_to", tree, "birth", (path,))
        assert outcome == "ok"
        assert born[1] is not None, f"{path!r} in {tree}: no time of birth"
        return cast("tuple[int, int]", born)

    @rule(choice=anywhere, uid=actors)
    def stat(self, choice: Choice, uid: int) -> None:
        self.do("stat", self.path(choice), uid=uid)

    @rule(choice=existing, mode=modes, uid=actors)
    def chmod(self, choice: Choice, mode: int, uid: int) -> None:
        path = self.path(choice)
        if path != ".":
            self.do("chmod", path, mode, uid=uid)

    @rule(
        choice=existing,
        owner=st.sampled_from([(1000, 1000), (-1, 1000), (0, -1), (-1, -1)]),
        uid=actors,
    )
    def chown(self, choice: Choice, owner: tuple[int, int], uid: int) -> None:
        if self.comparison.all_ids:
            self.do("chown", self.path(choice), *owner, uid=uid)

    @rule(choice=existing, mtime_ns=st.sampled_from([0, -1_500_000_000, 10**15 + 1]), uid=actors)
    def utime(self, choice: Choice, mtime_ns: int, uid: int) -> None:
        self.do("utime", self.path(choice), 10**9, mtime_ns, uid=uid)

    @rule(
        choice=existing,
        name=st.sampled_from(XATTRS),
        value=contents,
        flags=st.sampled_from([0, os.XATTR_CREATE, os.XATTR_REPLACE]),
        uid=actors,
    )
    def setxattr(self, choice: Choice, name: str, value: bytes, flags: int, uid: int) -> None:
        # ext4 keeps a file's attributes in one block, which our bookkeeping shares.
        self.do("setxattr", self.path(choice), name, value[:200], flags, uid=uid)

    @rule(choice=anywhere, name=st.sampled_from(XATTRS), uid=actors)
    def getxattr(self, choice: Choice, name: str, uid: int) -> None:
        self.do("getxattr", self.path(choice), name, uid=uid)

    @rule(choice=existing, name=st.sampled_from(XATTRS), uid=actors)
    def removexattr(self, choice: Choice, name: str, uid: int) -> None:
        self.do("removexattr", self.path(choice), name, uid=uid)

    # --- descriptors held over other operations

    @rule(
        slot=slots,
        choice=existing,
        flags=st.sampled_from([os.O_RDONLY, os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC]),
    )
    def hold(self, slot: int, choice: Choice, flags: int) -> None:
        self.do("hold", slot, self.path(choice), flags)

    @rule(slot=slots, offset=offsets)
    def held_read(self, slot: int, offset: int) -> None:
        self.do("held_read", slot, offset, 4096)

    @rule(slot=slots, offset=offsets, content=contents)
    def held_write(self, slot: int, offset: int, content: bytes) -> None:
        self.do("held_write", slot, offset, content)

    @rule(slot=slots, size=st.sampled_from([0, 7, 5000]))
    def held_truncate(self, slot: int, size: int) -> None:
        self.do("held_truncate", slot, size)

    @rule(slot=slots)
    def held_stat(self, slot: int) -> None:
        self.do("held_stat", slot)

    @rule(slot=slots, mode=modes)
    def held_chmod(self, slot: int, mode: int) -> None:
        # The kernel changes the upper file behind a descriptor that it keeps reading from the
        # lower; so do we, seen or not.
        self.do("held_chmod", slot, mode)

    # --- the whole

    @rule(really=st.integers(0, 1))
    @precondition(lambda self: self.begun)
    def remount(self, really: int) -> None:
        if really == 0:
            self.mount_again()

    def teardown(self) -> None:
        if not self.begun or not self.comparison.alive:
            return
        try:
            self.compare()
            self.mount_again()
        finally:
            self.comparison.call("end")


def _brief(values: tuple[object, ...]) -> tuple[object, ...]:
    """The same with long content cut short, for a reader."""
    return tuple(
        f"{value[:8]!r}... of {len(value)}"
        if isinstance(value, bytes) and len(value) > 20
        else value
        for value in values
    )


def _without_directory_nlink(status: Any) -> Any:
    """The kernel's overlayfs says 1 for a merged directory."""
    mode, nlink, *rest = status
    return (mode, None if mode & 0o170000 == 0o040000 else nlink, *rest)


@pytest.fixture(params=["device", "device, owners as data", "pyfuse3"])
def comparison(request: pytest.FixtureRequest) -> Iterator[Comparison]:
    found = Comparison(os.environ.get("ROOTLESS_TEST_UNION", request.param))
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.needs("userns", "fuse", "overlay")
def test_union_does_what_plain_directory_and_kernel_overlayfs_do(comparison: Comparison) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        lambda: Differential(comparison), settings=settings(suppress_health_check=checks)
    )
