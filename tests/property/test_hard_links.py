"""Objects of several names: hypothesis links, unlinks, renames, changes and remounts; a table of names
says what has to be there.

Most of it begins in a lower whose files, symbolic links and FIFOs have several names. Whatever
happens, each name leads to its object, the link count is the number of names, owner and contents are
those that were given last, and no two objects have one inode number.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from tests.support.state_machines import run_examples, variants
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE
from unionfs.union import Union, UnionOptions

DIRECTORIES = [b"", b"d", b"e"]
names = st.tuples(
    st.sampled_from(DIRECTORIES), st.sampled_from([b"a", b"b", b"c", b"s", b"t", b"p"])
)
LAYER = [
    # Each object of the lower by its names: a file, links, a FIFO, and some with one name.
    (stat.S_IFREG, [(b"", b"a"), (b"", b"b"), (b"d", b"a")]),
    (stat.S_IFREG, [(b"d", b"b"), (b"e", b"b")]),
    (stat.S_IFLNK, [(b"", b"s"), (b"d", b"s"), (b"e", b"t")]),
    (stat.S_IFIFO, [(b"", b"p"), (b"e", b"p")]),
    (stat.S_IFREG, [(b"e", b"a")]),
    (stat.S_IFLNK, [(b"", b"t")]),
]

Name = tuple[bytes, bytes]


@dataclass(eq=False)
class Object:
    kind: int
    content: bytes
    owner: tuple[int, int]
    ino: int | None = None
    names: set[Name] = field(default_factory=set)


class HardLinks(RuleBasedStateMachine):
    ownership = Ownership.DATA
    lazy_min_size: int | None = None
    defers_metadata = False

    def __init__(self) -> None:
        super().__init__()
        self.top = os.fsencode(tempfile.mkdtemp())
        self.table: dict[Name, Object] = {}
        self.held: list[tuple[int, Object]] = []
        is_data = self.ownership is Ownership.DATA
        self.owner = (0, 0) if is_data else (os.getuid(), os.getgid())
        self.caller = Caller(*self.owner)

    @initialize(lowers=st.booleans())
    def begin(self, lowers: bool) -> None:
        lower = self.top + b"/lower"
        for directory in DIRECTORIES:
            os.makedirs(os.path.join(lower, directory), exist_ok=True)
        for number, (kind, places) in enumerate(LAYER if lowers else []):
            first, *others = (os.path.join(lower, *place) for place in places)
            content = b"content %d" % number
            if kind == stat.S_IFLNK:
                os.symlink(content, first)
            elif kind == stat.S_IFIFO:
                os.mkfifo(first)
                content = b""
            else:
                with open(first, "wb") as file:
                    file.write(content)
            for other in others:
                os.link(first, other, follow_symlinks=False)
            each = Object(kind, content, self.owner, names=set(places))
            self.table.update(dict.fromkeys(places, each))
        self.union = self.mount()

    def mount(self) -> Union:
        upper, work = self.top + b"/upper", self.top + b"/work"
        return Union(
            [DirectoryLayer(self.top + b"/lower", ownership=self.ownership)],
            DirectoryUpper(upper, work, ownership=self.ownership),
            UnionOptions(
                descriptors=2,
                volatile=True,
                lazy_min_size=self.lazy_min_size,
                defers_metadata=self.defers_metadata,
            ),
        )

    def teardown(self) -> None:
        self.union.destroy()
        shutil.rmtree(self.top)

    def directory(self, name: bytes) -> int:
        if not name:
            return ROOT_NODE
        entry = self.union.lookup(ROOT_NODE, name)
        assert entry is not None
        return entry.nodeid

    def node(self, name: Name) -> int:
        entry = self.union.lookup(self.directory(name[0]), name[1])
        assert entry is not None, name
        return entry.nodeid

    def lose(self, name: Name) -> None:
        each = self.table.pop(name)
        each.names.discard(name)

    def gain(self, name: Name, each: Object) -> None:
        self.table[name] = each
        each.names.add(name)

    # Operations

    @rule(old=names, new=names)
    def link(self, old: Name, new: Name) -> None:
        if old in self.table and new not in self.table:
            self.union.link(self.node(old), self.directory(new[0]), new[1])
            self.gain(new, self.table[old])

    @rule(name=names)
    def unlink(self, name: Name) -> None:
        if name in self.table:
            self.union.unlink(self.directory(name[0]), name[1])
            self.lose(name)

    @rule(old=names, new=names, flags=st.sampled_from([0, 0, RENAME_EXCHANGE]))
    def rename(self, old: Name, new: Name, flags: int) -> None:
        if old not in self.table or (flags and new not in self.table):
            return
        self.union.rename(self.directory(old[0]), old[1], self.directory(new[0]), new[1], flags)
        moved, target = self.table[old], self.table.get(new)
        if moved is target:
            return
        if target is not None:
            self.lose(new)
        self.lose(old)
        self.gain(new, moved)
        if flags and target is not None:
            self.gain(old, target)

    @rule(name=names, content=st.binary(min_size=30, max_size=40))
    def write(self, name: Name, content: bytes) -> None:
        if name in self.table and self.table[name].kind == stat.S_IFREG:
            self.union.write(self.node(name), 0, content)
            each = self.table[name]
            each.content = content + each.content[len(content) :]

    @rule(name=names, owner=st.sampled_from([(5, 6), (7, 0), (0, 0)]))
    def chown(self, name: Name, owner: tuple[int, int]) -> None:
        if name not in self.table:
            return
        if self.ownership is Ownership.REAL:
            owner = self.owner
        self.union.setattr(self.node(name), SetAttributes(uid=owner[0], gid=owner[1]))
        self.table[name].owner = owner

    @rule(name=names, time=st.integers(0, 1 << 33))
    def touch(self, name: Name, time: int) -> None:
        if name in self.table:
            self.union.setattr(self.node(name), SetAttributes(atime_ns=time, mtime_ns=time))

    @rule(name=names, kind=st.sampled_from([stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO]))
    def make(self, name: Name, kind: int) -> None:
        if name in self.table:
            return
        parent, content = self.directory(name[0]), b""
        if kind == stat.S_IFLNK:
            content = b"to nowhere"
            self.union.symlink(parent, name[1], content, self.caller)
        else:
            self.union.mknod(parent, name[1], kind | 0o600, 0, self.caller)
        self.gain(name, Object(kind, content, self.owner))

    @rule(name=names)
    def hold(self, name: Name) -> None:
        """The kernel goes on using a file, whatever becomes of its names."""
        if name in self.table and self.table[name].kind == stat.S_IFREG:
            self.held.append((self.node(name), self.table[name]))

    @rule()
    def forget(self) -> None:
        held = {node for node, _ in self.held}
        for nodeid, node in list(self.union._nodes.items()):
            if nodeid not in held:
                self.union.forget(nodeid, node.lookups)

    @rule()
    def remount(self) -> None:
        self.held.clear()
        self.union.destroy()
        self.union = self.mount()

    # Comparison

    @invariant()
    def names_lead_to_their_objects(self) -> None:
        if not hasattr(self, "union"):
            return
        numbers: dict[int, Object] = {}
        for directory in DIRECTORIES:
            parent = self.directory(directory)
            found = {item.name: item.entry for item in self.union.readdir(parent, 0)}
            found = {name: entry for name, entry in found.items() if name not in DIRECTORIES}
            assert found.keys() == {name for where, name in self.table if where == directory}
            for name, entry in found.items():
                self.union.remember(entry)
                self.compare((directory, name), entry.nodeid, numbers)
        for nodeid, each in self.held:
            assert self.union.getattr(nodeid).nlink == len(each.names)
            assert self.union.read(nodeid, 0, 99) == each.content

    def compare(self, name: Name, nodeid: int, numbers: dict[int, Object]) -> None:
        each, shown = self.table[name], self.union.getattr(nodeid)
        assert stat.S_IFMT(shown.mode) == each.kind, name
        assert shown.nlink == len(each.names), name
        assert (shown.uid, shown.gid) == each.owner, name
        assert numbers.setdefault(shown.ino, each) is each, "one number for two objects"
        if each.kind == stat.S_IFREG:
            assert self.union.read(nodeid, 0, 99) == each.content, name
            assert each.ino in (None, shown.ino), f"{name}: another number"
        elif each.kind == stat.S_IFLNK:
            assert self.union.readlink(nodeid) == each.content, name
        each.ino = shown.ino


MACHINES = variants(HardLinks, ownership=Ownership.REAL, lazy_min_size=1, defers_metadata=True)


@pytest.mark.parametrize("machine", MACHINES)
def test_names_of_one_object_stay_names_of_one_object(machine) -> None:
    run_examples(machine, int(os.environ.get("UNION_EXAMPLES", "40")))


def test_link_count_of_a_lower_file_outlives_a_remount(tmp_path) -> None:
    lower, places = tmp_path / "lower", (bytes(tmp_path / "upper"), bytes(tmp_path / "work"))
    lower.mkdir()
    (lower / "a").write_bytes(b"x")
    (lower / "b").hardlink_to(lower / "a")

    def mount() -> Union:
        upper = DirectoryUpper(*places, ownership=Ownership.REAL)
        return Union([DirectoryLayer(bytes(lower))], upper)

    union = mount()
    union.unlink(ROOT_NODE, b"a")
    union.link(union.lookup(ROOT_NODE, b"b").nodeid, ROOT_NODE, b"c")
    union.destroy()
    union = mount()
    assert [union.lookup(ROOT_NODE, name).attributes.nlink for name in (b"b", b"c")] == [2, 2]
    union.unlink(ROOT_NODE, b"b")
    left = union.lookup(ROOT_NODE, b"c")
    assert left.attributes.nlink == 1
    union.link(left.nodeid, ROOT_NODE, b"d")
    union.unlink(ROOT_NODE, b"c")
    union.unlink(ROOT_NODE, b"d")
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        union.unlink(ROOT_NODE, b"d")
    union.destroy()
    assert os.listdir(tmp_path / "work" / "rootless.index") == []
