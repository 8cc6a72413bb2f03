"""A server that is killed between any two requests, and one that takes over: every number that the kernel
holds names the same object as before, with the same data, and every name leads to the same number."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.plain_disk import make_index
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.journal import Journal
from unionfs.model import ROOT_NODE, Attributes, Caller, NodeId, SetAttributes
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE
from unionfs.union import Union, UnionOptions

CALLER = Caller(0, 0)
NAMES = [b"a", b"b", b"one", b"two", b"link", b"d", b"e", b"f"]


class Kernel:
    """Holds references as the kernel does: to what it was given, and counts them."""

    def __init__(self, top: Path, choices: random.Random, *, defers_metadata: bool) -> None:
        self.top = top
        self.defers_metadata = defers_metadata
        self.random = choices
        self.memory = os.memfd_create("journal")
        self.counts: dict[int, int] = {ROOT_NODE: 1}
        self.content: dict[int, bytes] = {}
        self.linkable: set[int] = set()
        self.names: dict[tuple[int, bytes], int] = {}
        """The dentries: a directory and a name in it, and the node."""
        self.union = self.open()

    def open(self) -> Union:
        self.journal = Journal(self.memory)
        return Union(
            [DirectoryLayer(bytes(self.top / "lower"), ownership=Ownership.DATA)],
            DirectoryUpper(
                bytes(self.top / "upper"), bytes(self.top / "work"), ownership=Ownership.DATA
            ),
            UnionOptions(volatile=True, journal=self.journal, defers_metadata=self.defers_metadata),
        )

    def kill(self) -> None:
        """The descriptors of a killed process are closed, and nothing else is done."""
        tree = self.union._tree
        for node in list(tree.nodes.values()):
            tree.files.close(node)
        tree.layers.close()
        self.journal.close()
        self.union = self.open()

    def close(self) -> None:
        self.union.destroy()
        os.close(self.memory)

    def given(self, nodeid: int, place: tuple[int, bytes] | None = None) -> int:
        self.counts[nodeid] = self.counts.get(nodeid, 0) + 1
        if place is not None:
            self.names[place] = nodeid
        return nodeid

    def look_up(self, parent: int, name: bytes) -> int | None:
        """As the kernel, which asks only for names that it does not know."""
        known = self.names.get((parent, name))
        if known is not None:
            return known
        entry = self.union.lookup(NodeId(parent), name)
        return None if entry is None else self.given(entry.nodeid, (parent, name))

    def directory(self) -> int:
        at = ROOT_NODE
        for name in self.random.choice([(), (), (b"d",), (b"e",), (b"d", b"e"), (b"e", b"d")]):
            below = self.look_up(at, name)
            if below is None or not self.is_directory(below):
                break
            at = NodeId(below)
        return at

    def is_directory(self, nodeid: int) -> bool:
        return stat.S_ISDIR(self.union.getattr(NodeId(nodeid)).mode)

    def can_be_linked(self, nodeid: int) -> bool:
        """vfs_link: not a directory, and with a name, or made without one."""
        known = self.union.getattr(NodeId(nodeid))
        return not stat.S_ISDIR(known.mode) and (known.nlink > 0 or nodeid in self.linkable)

    def some(self) -> int:
        """A node with or without a name, or one that is looked up."""
        held = [each for each in self.counts if each != ROOT_NODE]
        if held and self.random.random() < 0.4:
            return self.random.choice(held)
        found = self.look_up(self.directory(), self.random.choice(NAMES))
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "none")
        return found

    def regular(self) -> int:
        node = self.some()
        if not stat.S_ISREG(self.union.getattr(NodeId(node)).mode):
            raise OSError(errno.EINVAL, "not regular")
        return node

    def step(self) -> None:
        union, choose = self.union, self.random
        name, other = choose.choice(NAMES), choose.choice(NAMES)

        def make(how: Callable[[NodeId], int]) -> None:
            parent = self.directory()
            if self.look_up(parent, name) is None:
                self.given(how(NodeId(parent)), (parent, name))

        def create(parent: NodeId) -> int:
            node = union.create(parent, name, 0o644, os.O_RDWR, CALLER).nodeid
            self.content[node] = b""
            return node

        def link() -> None:
            node, parent = self.some(), self.directory()
            if self.look_up(parent, name) is None and self.can_be_linked(node):
                self.given(union.link(NodeId(node), NodeId(parent), name).nodeid, (parent, name))
                self.linkable.discard(node)

        def remove() -> None:
            parent = self.directory()
            node = self.look_up(parent, name)
            if node is not None:
                how = union.rmdir if self.is_directory(node) else union.unlink
                how(NodeId(parent), name)
                del self.names[parent, name]

        def rename(flags: int) -> None:
            old, new = self.directory(), self.directory()
            source, target = self.look_up(old, name), self.look_up(new, other)
            if source is None or (flags and target is None):
                return
            union.rename(NodeId(old), name, NodeId(new), other, flags)
            if source == target:
                return
            self.names[new, other] = source
            if flags:
                self.names[old, name] = target  # type: ignore[assignment]
            else:
                del self.names[old, name]

        def write() -> None:
            node = self.regular()
            data = choose.randbytes(10)
            old = union.read(NodeId(node), 0, 1 << 16)
            offset = choose.choice([0, 5, 4000])
            union.write(NodeId(node), offset, data)
            self.content[node] = old.ljust(offset, b"\0")[:offset] + data + old[offset + 10 :]

        def forget() -> None:
            """Of a node without dentries, as at its eviction."""
            free = (
                set(self.counts) - set(self.names.values()) - {parent for parent, _ in self.names}
            )
            for node in free - {ROOT_NODE}:
                union.forget(NodeId(node), self.counts.pop(node))
                self.content.pop(node, None)
                self.linkable.discard(node)

        def drop() -> None:
            """Memory is short: a dentry without children goes."""
            parents = {parent for parent, _ in self.names}
            free = [place for place, node in self.names.items() if node not in parents]
            if free:
                del self.names[choose.choice(free)]

        def read() -> None:
            node = self.regular()
            self.content[node] = union.read(NodeId(node), 0, 1 << 16)

        def special(parent: NodeId) -> int:
            if choose.random() < 0.5:
                return union.symlink(parent, name, b"target", CALLER).nodeid
            return union.mknod(parent, name, stat.S_IFIFO | 0o600, 0, CALLER).nodeid

        def tmpfile() -> None:
            node = union.tmpfile(NodeId(self.directory()), 0o600, os.O_RDWR, CALLER).nodeid
            self.linkable.add(self.given(node))
            self.content[node] = b""

        def change_mode() -> None:
            node = self.some()
            known = union.getattr(NodeId(node))
            if known.nlink and not stat.S_ISLNK(known.mode):
                mode = choose.choice([0o640, 0o600, 0o444])
                union.setattr(NodeId(node), SetAttributes(mode=mode, uid=choose.choice([None, 7])))

        actions: list[Callable[[], None]] = [
            lambda: make(create),
            lambda: make(create),
            lambda: make(lambda parent: union.mkdir(parent, name, 0o755, CALLER).nodeid),
            lambda: make(special),
            link,
            remove,
            remove,
            lambda: rename(0),
            lambda: rename(0),
            lambda: rename(RENAME_EXCHANGE),
            write,
            write,
            read,
            forget,
            drop,
            tmpfile,
            change_mode,
            change_mode,
        ]
        try:
            choose.choice(actions)()
        except OSError as failed:
            if failed.errno in (errno.ESTALE, errno.EIO):
                raise AssertionError("a node is lost") from failed

    def known(self) -> dict[int, Attributes]:
        return {node: self.union.getattr(NodeId(node)) for node in self.counts}


def comparable(attributes: Attributes) -> tuple[object, ...]:
    """Without times, and the sizes of directories and of what is gone."""
    ino, mode, nlink, uid, gid, rdev, size, *_ = attributes
    regular = stat.S_ISREG(mode)
    links = nlink if not stat.S_ISDIR(mode) or not nlink else 2
    return ino, mode, links, uid, gid, rdev, size if regular else 0


def populate(top: Path) -> None:
    lower = top / "lower"
    (lower / "d" / "e").mkdir(parents=True)
    (lower / "a").write_bytes(b"a" * 9000)
    (lower / "d" / "b").write_bytes(b"b" * 5000)
    (lower / "d" / "e" / "f").write_bytes(b"f")
    (lower / "one").write_bytes(b"shared")
    os.link(lower / "one", lower / "two")
    (lower / "link").symlink_to("d")


@pytest.mark.parametrize("defers_metadata", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_objects_keep_their_numbers_and_data_whenever_the_server_is_killed(
    tmp_path: Path, seed: int, *, defers_metadata: bool
) -> None:
    populate(tmp_path)
    if seed % 4 == 3:
        make_index(bytes(tmp_path / "work"))
    kernel = Kernel(tmp_path, random.Random(seed), defers_metadata=defers_metadata)
    for _ in range(150):
        kernel.step()
        if kernel.random.random() < 0.1:
            before = {node: comparable(known) for node, known in kernel.known().items()}
            kernel.kill()
            if kernel.random.random() < 0.5:
                after = {node: comparable(known) for node, known in kernel.known().items()}
                assert after == before
            for node, content in kernel.content.items():
                assert kernel.union.read(NodeId(node), 0, 1 << 16) == content
            for (parent, name), node in kernel.names.items():
                entry = kernel.union.lookup(NodeId(parent), name)
                assert entry is not None
                assert entry.nodeid == node
                kernel.counts[node] += 1
    kernel.close()


@pytest.mark.parametrize("looks_first", [False, True])
def test_directory_whose_rename_was_not_recorded_any_more_is_found(
    tmp_path: Path, *, looks_first: bool
) -> None:
    populate(tmp_path)
    kernel = Kernel(tmp_path, random.Random(0), defers_metadata=False)
    work = kernel.union.mkdir(ROOT_NODE, b"work", 0o755, CALLER).nodeid
    moved = kernel.union.mkdir(work, b"old", 0o755, CALLER).nodeid
    inner = kernel.union.mkdir(moved, b"inner", 0o755, CALLER).nodeid
    file = kernel.union.create(inner, b"file", 0o644, os.O_RDWR, CALLER).nodeid
    kernel.union.write(file, 0, b"data")
    kernel.kill()
    (tmp_path / "upper/work/old").rename(tmp_path / "upper/work/new")
    kernel.kill()
    if looks_first:
        entry = kernel.union.lookup(work, b"new")
        assert entry is not None
        assert entry.nodeid == moved
        kernel.union.forget(moved, 1)
    for _ in range(2):
        for node in (file, moved, inner):
            kernel.union.getattr(node)
        assert kernel.union.read(file, 0, 100) == b"data"
        assert kernel.union.path(file) == b"/work/new/inner/file"
        kernel.kill()
    kernel.close()
