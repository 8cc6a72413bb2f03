"""The union against a plain directory: the same operations on both, and after each the same trees,
errors and numbers.

The lowers hold whiteouts, opaque directories, hard links, symbolic links and names in several
layers. `st_ino` of every object is held against the plain directory's: as long as the one stays the
same, so must the other, over copy-up, rename and remount.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.plain_disk import make_index
from tests.support.state_machines import run_fixed_examples, variants
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from unionfs.union import Union, UnionOptions

CALLER = Caller(os.geteuid(), os.getegid())
LOCAL_DISK = os.environ.get("UNION_LOCAL_DISK")
"""Where the plain directory is, if the other temporary files are on a network file system: a file that is removed there while
it is open keeps a name."""
NAMES = [b"a", b"b", b"c", b"\xff\xfe"]

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple)
modes = st.sampled_from([0o600, 0o644, 0o755, 0o700, 0o4755, 0o2711])
times = st.sampled_from([-1, 0, 1_700_000_000_123_456_789, -(10**9) - 5, 4_000_000_000 * 10**9 + 7])


def build_layers(top: bytes) -> list[bytes]:
    """Three lowers, bottom last."""
    bottom, middle, upmost = (os.path.join(top, name) for name in (b"l1", b"l2", b"l3"))
    for directory in (b"a/a", b"a/b", b"b/c", b"c"):
        os.makedirs(os.path.join(bottom, directory))
    for name in (b"a/c", b"a/a/a", b"a/b/b", b"b/a", b"b/c/a", b"c/a", b"\xff\xfe"):
        _write(os.path.join(bottom, name), b"bottom " + name)
    os.link(os.path.join(bottom, b"b/a"), os.path.join(bottom, b"c/b"))
    os.link(os.path.join(bottom, b"b/a"), os.path.join(bottom, b"a/\xff\xfe"))
    os.symlink(b"../b/a", os.path.join(bottom, b"c/\xff\xfe"))
    os.makedirs(os.path.join(middle, b"a/b"))
    os.makedirs(os.path.join(middle, b"b/c"))
    try:
        os.setxattr(os.path.join(middle, b"b/c"), b"user.overlay.opaque", b"y")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        _write(os.path.join(middle, b"b/c/.wh..wh..opq"), b"")
    _write(os.path.join(middle, b"b/c/b"), b"middle")
    os.mknod(os.path.join(middle, b"a/a"), stat.S_IFCHR, 0)
    _write(os.path.join(middle, b"c"), b"a file over a directory")
    os.makedirs(os.path.join(upmost, b"a/a/c"))
    _write(os.path.join(upmost, b"a/a/.wh.zz"), b"")
    _write(os.path.join(upmost, b"a/.wh.c"), b"")
    os.makedirs(os.path.join(upmost, b"c"))
    os.truncate(os.path.join(upmost, b"a/a/.wh.zz"), 0)
    with open(os.path.join(upmost, b"c/a"), "wb") as sparse:
        sparse.write(b"start")
        sparse.truncate(1 << 20)
    return [upmost, middle, bottom]


def build_model(top: bytes) -> bytes:
    """What the three lowers make together, as a plain directory."""
    model = os.path.join(top, b"model")
    for directory in (b"a/a/c", b"a/b", b"b/c", b"c"):
        os.makedirs(os.path.join(model, directory))
    for name in (b"a/b/b", b"b/a", b"\xff\xfe"):
        _write(os.path.join(model, name), b"bottom " + name)
    os.link(os.path.join(model, b"b/a"), os.path.join(model, b"a/\xff\xfe"))
    # The name in the hidden directory counts as a link of the file, as it does in every union.
    os.link(os.path.join(model, b"b/a"), os.path.join(top, b"hidden-link"))
    _write(os.path.join(model, b"b/c/b"), b"middle")
    with open(os.path.join(model, b"c/a"), "wb") as sparse:
        sparse.write(b"start")
        sparse.truncate(1 << 20)
    return model


def _write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


class UnionMachine(RuleBasedStateMachine):
    ownership = Ownership.DATA
    is_indexed = False
    """The upper keeps attributes in an index, as on a disk that has none."""
    defers_metadata = False

    def __init__(self) -> None:
        super().__init__()
        self.umask = os.umask(0)
        self.top = os.fsencode(tempfile.mkdtemp())
        self.lowers = build_layers(self.top)
        self.plain = os.fsencode(tempfile.mkdtemp(dir=LOCAL_DISK))
        self.model = build_model(self.plain)
        if self.is_indexed:
            make_index(self.top + b"/work")
        self.union = self.mount()
        self.numbers: dict[int, int] = {}
        self.handles: list[tuple[int, int]] = []

    def mount(self) -> Union:
        upper = DirectoryUpper(
            os.path.join(self.top, b"upper"),
            os.path.join(self.top, b"work"),
            ownership=self.ownership,
            base_owner=CALLER[:2],
        )
        return Union(
            [DirectoryLayer(path) for path in self.lowers],
            upper,
            self.options(),
        )

    def options(self) -> UnionOptions:
        return UnionOptions(descriptors=2, volatile=True, defers_metadata=self.defers_metadata)

    def teardown(self) -> None:
        for _, fd in self.handles:
            os.close(fd)
        self.union.destroy()
        os.umask(self.umask)
        shutil.rmtree(self.top)
        shutil.rmtree(self.plain)

    # Both sides

    def node(self, path: tuple[bytes, ...]) -> int:
        at = ROOT_NODE
        for name in path:
            if not stat.S_ISDIR(self.union.getattr(at).mode):
                raise OSError(errno.ENOTDIR, "not a directory")
            entry = self.union.lookup(at, name)
            if entry is None:
                raise OSError(errno.ENOENT, "no such name")
            at = entry.nodeid
        return at

    def directory(self, path: tuple[bytes, ...]) -> int:
        node = self.node(path)
        if not stat.S_ISDIR(self.union.getattr(node).mode):
            raise OSError(errno.ENOTDIR, "not a directory")
        return node

    def path(self, path: tuple[bytes, ...]) -> bytes:
        for depth in range(1, len(path)):
            if os.path.islink(os.path.join(self.model, *path[:depth])):
                raise OSError(errno.ENOTDIR, "on this side links are not followed either")
        return os.path.join(self.model, *path)

    def both(self, ours, theirs) -> None:
        outcomes = []
        for act in (theirs, ours):
            try:
                outcomes.append(("done", act()))
            except OSError as failed:
                outcomes.append(("errno", errno.errorcode[failed.errno]))
        assert outcomes[0] == outcomes[1], f"plain directory {outcomes[0]}, union {outcomes[1]}"

    # Operations

    @rule(path=paths, mode=modes, content=st.binary(max_size=20))
    def create(self, path, mode, content) -> None:
        def ours():
            flags = os.O_RDWR | os.O_EXCL
            entry = self.union.create(self.directory(path[:-1]), path[-1], 0o600, flags, CALLER)
            self.union.write(entry.nodeid, 0, content)
            self.union.setattr(entry.nodeid, SetAttributes(mode=mode))

        def theirs():
            fd = os.open(self.path(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
            os.write(fd, content)
            os.fchmod(fd, mode)
            os.close(fd)

        self.both(ours, theirs)

    def is_fifo(self, path: tuple[bytes, ...]) -> bool:
        """Opening one would wait for a partner, and what goes through it is the kernel's affair."""
        try:
            return stat.S_ISFIFO(os.lstat(self.path(path)).st_mode)
        except OSError:
            return False

    @rule(path=paths, offset=st.integers(0, 100_000), content=st.binary(min_size=1, max_size=50))
    def write(self, path, offset, content) -> None:
        if self.is_fifo(path):
            return

        def ours():
            self.union.write(self.regular(path), offset, content, kill_privileges=True)

        def theirs():
            fd = os.open(self.path(path), os.O_WRONLY | os.O_NOFOLLOW)
            os.pwrite(fd, content, offset)
            os.close(fd)

        self.both(ours, theirs)

    def regular(self, path: tuple[bytes, ...]) -> int:
        node = self.node(path)
        mode = self.union.getattr(node).mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "a directory")
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "a symbolic link")
        return node

    @rule(path=paths, size=st.sampled_from([0, 3, 10_000]))
    def truncate(self, path, size) -> None:
        if self.is_fifo(path):
            return

        def ours():
            changes = SetAttributes(size=size, kill_privileges=True)
            self.union.setattr(self.regular(path), changes)

        def theirs():
            fd = os.open(self.path(path), os.O_WRONLY | os.O_NOFOLLOW)
            os.ftruncate(fd, size)
            os.close(fd)

        self.both(ours, theirs)

    @rule(path=paths)
    def mkdir(self, path) -> None:
        self.both(
            lambda: self.union.mkdir(self.directory(path[:-1]), path[-1], 0o755, CALLER) and None,
            lambda: os.mkdir(self.path(path), 0o755),
        )

    @rule(path=paths)
    def rmdir(self, path) -> None:
        self.both(
            lambda: self.union.rmdir(self.directory(path[:-1]), path[-1]),
            lambda: os.rmdir(self.path(path)),
        )

    @rule(path=paths)
    def unlink(self, path) -> None:
        self.both(
            lambda: self.union.unlink(self.directory(path[:-1]), path[-1]),
            lambda: os.unlink(self.path(path)),
        )

    @rule(path=paths, points_to=st.sampled_from([b"x", b"../b/a", b"t" * 300]))
    def symlink(self, path, points_to) -> None:
        self.both(
            lambda: (
                self.union.symlink(self.directory(path[:-1]), path[-1], points_to, CALLER) and None
            ),
            lambda: os.symlink(points_to, self.path(path)),
        )

    @rule(path=paths)
    def mkfifo(self, path) -> None:
        mode = stat.S_IFIFO | 0o644
        self.both(
            lambda: self.union.mknod(self.directory(path[:-1]), path[-1], mode, 0, CALLER) and None,
            lambda: os.mkfifo(self.path(path), 0o644),
        )

    @rule(old=paths, new=paths)
    def link(self, old, new) -> None:
        def ours():
            node = self.node(old)
            parent = self.directory(new[:-1])
            self.union.link(node, parent, new[-1])

        def theirs():
            # The kernel looks the old name up first; `path` must not speak of the new one before.
            os.lstat(self.path(old))
            os.link(self.path(old), self.path(new), follow_symlinks=False)

        self.both(ours, theirs)

    @rule(old=paths, new=paths, flags=st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]))
    def rename(self, old, new, flags) -> None:
        if new[: len(old)] == old or old[: len(new)] == new:
            return  # The kernel answers those before a file system is asked (lock_rename).

        def ours():
            parents = self.directory(old[:-1]), self.directory(new[:-1])
            self.union.rename(parents[0], old[-1], parents[1], new[-1], flags)

        def theirs():
            # As for link; of the old name only the directory is looked up first.
            os.stat(os.path.dirname(self.path(old)))
            renameat2(-100, self.path(old), -100, self.path(new), flags)

        self.both(ours, theirs)

    @rule(path=paths, mode=modes)
    def chmod(self, path, mode) -> None:
        def ours():
            node = self.node(path)
            if not stat.S_ISLNK(self.union.getattr(node).mode):
                self.union.setattr(node, SetAttributes(mode=mode | 0o700))

        def theirs():
            if not os.path.islink(self.path(path)):
                os.chmod(self.path(path), mode | 0o700)

        self.both(ours, theirs)

    @rule(path=paths, atime=times, mtime=times)
    def utimes(self, path, atime, mtime) -> None:
        def ours():
            known = self.union.setattr(
                self.node(path), SetAttributes(atime_ns=atime, mtime_ns=mtime)
            )
            return known.atime_ns, known.mtime_ns

        def theirs():
            os.utime(self.path(path), ns=(atime, mtime), follow_symlinks=False)
            found = os.lstat(self.path(path))
            return found.st_atime_ns, found.st_mtime_ns

        self.both(ours, theirs)

    @rule(
        path=paths,
        name=st.sampled_from([b"user.one", b"user.overlay.opaque"]),
        value=st.binary(max_size=9),
    )
    def setxattr(self, path, name, value) -> None:
        def ours():
            self.union.setxattr(self.regular(path), name, value, 0)

        def theirs():
            os.close(os.open(self.path(path), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
            os.setxattr(self.path(path), name, value)

        if stat.S_ISREG(self.kind(path)):
            self.both(ours, theirs)

    def kind(self, path) -> int:
        try:
            return os.lstat(self.path(path)).st_mode
        except OSError:
            return 0

    @rule(path=paths)
    def hold_open(self, path) -> None:
        if stat.S_ISREG(self.kind(path)) and len(self.handles) < 4:
            self.handles.append((self.node(path), os.open(self.path(path), os.O_RDWR)))

    @rule(index=st.integers(0, 3), content=st.binary(min_size=1, max_size=9))
    def write_held(self, index, content) -> None:
        if index < len(self.handles):
            node, fd = self.handles[index]
            self.both(
                lambda: self.union.write(node, 2, content, kill_privileges=True),
                lambda: os.pwrite(fd, content, 2),
            )

    @rule()
    def remount(self) -> None:
        for _, fd in self.handles:
            os.close(fd)
        self.handles.clear()
        self.union.destroy()
        self.union = self.mount()

    @rule()
    def forget_all(self) -> None:
        held = {node for node, _ in self.handles}
        for nodeid, node in list(self.union._nodes.items()):
            if nodeid not in held:
                self.union.forget(nodeid, node.lookups)

    # Comparison

    @invariant()
    def same_trees(self) -> None:
        numbers: dict[int, int] = {}
        self.compare(ROOT_NODE, self.model, numbers)
        assert len(set(numbers.values())) == len(numbers), "two objects with one number"
        for theirs, ours in numbers.items():
            assert self.numbers.get(theirs, ours) == ours, "a number has changed"
        self.numbers = numbers
        for node, fd in self.handles:
            assert self.union.read(node, 0, 1 << 20) == os.pread(fd, 1 << 20, 0)
            assert self.union.getattr(node).nlink == os.fstat(fd).st_nlink

    def compare(self, node: int, path: bytes, numbers: dict[int, int]) -> None:
        entries = {item.name: item.entry for item in self.union.readdir(node, 0)}
        assert sorted(entries) == sorted(os.listdir(path))
        for name, listed in entries.items():
            entry = self.union.lookup(node, name)
            assert entry is listed
            theirs = os.lstat(os.path.join(path, name))
            ours = entry.attributes
            where = os.path.join(path, name)
            assert stat.filemode(ours.mode) == stat.filemode(theirs.st_mode), where
            assert ours.nlink == theirs.st_nlink, where
            assert numbers.setdefault(theirs.st_ino, ours.ino) == ours.ino, (
                "one object with two numbers"
            )
            assert (ours.uid, ours.gid) == (theirs.st_uid, theirs.st_gid), where
            if stat.S_ISREG(ours.mode):
                assert ours.size == theirs.st_size, where
                with open(where, "rb") as file:
                    assert self.union.read(entry.nodeid, 0, 2 << 20) == file.read()
                assert sorted(self.union.listxattr(entry.nodeid)) == sorted(
                    map(os.fsencode, os.listxattr(where))
                )
            elif stat.S_ISLNK(ours.mode):
                assert self.union.readlink(entry.nodeid) == os.readlink(where)
            elif stat.S_ISDIR(ours.mode):
                self.compare(entry.nodeid, where, numbers)
                assert self.union.parent(entry.nodeid).ino == self.union.getattr(node).ino
            self.union.forget(entry.nodeid, 1)


MACHINES = variants(UnionMachine, is_indexed=True, ownership=Ownership.REAL, defers_metadata=True)


@pytest.mark.parametrize("machine", MACHINES)
def test_union_behaves_as_a_plain_directory(machine: type[UnionMachine]) -> None:
    run_fixed_examples(machine, 25)
