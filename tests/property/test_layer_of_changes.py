"""What is written into a union and committed as a layer is, over the same base, the same tree."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.tar_layers import directory, hard_link, layer_files, layer_of, member, symlink
from unionfs.changes.snapshot import Kind, Snapshot
from unionfs.directory import DirectoryUpper
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.layer import Layer
from unionfs.model import ROOT_NODE, Caller, NodeId, SetAttributes
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE
from unionfs.tar.chain import build_chain
from unionfs.tar.layer import ChainLayer
from unionfs.union import Union

BASE = [
    directory("a"),
    directory("a/b"),
    member("a/b/c", b"deep"),
    member("a/c", b"one", uid=7, gid=8, mode=0o4755),
    directory("b"),
    hard_link("b/a", "a/c"),
    directory("b/b"),
    hard_link("b/b/a", "a/c"),
    symlink("b/c", "a"),
    directory("c"),
    directory("c/a"),
    member("c/a/a", b"x"),
    directory("c/a/b"),
]
ROOT = Caller(0, 0)
NAMES = st.sampled_from([b"a", b"b", b"c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3)
STEPS = st.tuples(
    st.sampled_from(
        [
            "write",
            "create",
            "mkdir",
            "remove",
            "rename",
            "rename",
            "swap",
            "link",
            "symlink",
            "chown",
        ]
    ),
    PATHS,
    PATHS,
)


def node_at(union: Union, path: list[bytes]) -> NodeId:
    node = ROOT_NODE
    for name in path:
        entry = union.lookup(node, name)
        if entry is None:
            raise FileNotFoundError
        node = entry.nodeid
    return node


def put(union: Union, path: list[bytes], other: list[bytes]) -> None:
    node = node_at(union, path)
    if stat.S_ISREG(union.getattr(node).mode):
        union.write(node, 2, b"".join(other))


def make(union: Union, path: list[bytes], other: list[bytes]) -> None:
    entry = union.create(node_at(union, path[:-1]), path[-1], 0o640, os.O_RDWR, ROOT)
    union.write(entry.nodeid, 0, b"new" + b"".join(other))


def remove(union: Union, path: list[bytes], _: list[bytes]) -> None:
    """A whole tree, as rm -r does."""
    parent, node = node_at(union, path[:-1]), node_at(union, path)
    if not stat.S_ISDIR(union.getattr(node).mode):
        union.unlink(parent, path[-1])
        return
    for name in [item.name for item in union.readdir(node, 0) if item.name not in (b".", b"..")]:
        remove(union, [*path, name], [])
    union.rmdir(parent, path[-1])


def rename(union: Union, path: list[bytes], other: list[bytes], flags: int = 0) -> None:
    parents = node_at(union, path[:-1]), node_at(union, other[:-1])
    union.rename(parents[0], path[-1], parents[1], other[-1], flags)


ACTIONS: dict[str, Callable[[Union, list[bytes], list[bytes]], object]] = {
    "write": put,
    "create": make,
    "mkdir": lambda union, path, _: union.mkdir(
        node_at(union, path[:-1]), path[-1], 0o711, Caller(5, 6)
    ),
    "remove": remove,
    "rename": rename,
    "swap": lambda union, path, other: rename(union, path, other, RENAME_EXCHANGE),
    "link": lambda union, path, other: union.link(
        node_at(union, path), node_at(union, other[:-1]), other[-1]
    ),
    "symlink": lambda union, path, other: union.symlink(
        node_at(union, path[:-1]), path[-1], b"/".join(other), ROOT
    ),
    "chown": lambda union, path, _: union.setattr(
        node_at(union, path), SetAttributes(uid=3, gid=4, mode=0o700)
    ),
}


def tree_of(lowers: list[Layer], upper: DirectoryUpper | None) -> dict[bytes, object]:
    """Everything but times, with the names of one file told by their group."""
    union = Union(lowers, upper)
    found: dict[bytes, object] = {}
    groups: dict[int, list[bytes]] = {}
    pending = [(b"", ROOT_NODE)]
    while pending:
        path, node = pending.pop()
        for item in union.readdir(node, 0):
            if item.name in (b".", b".."):
                continue
            here = path + b"/" + item.name
            entry = union.lookup(node, item.name)
            assert entry is not None
            attributes = entry.attributes
            shown: tuple[object, ...] = (attributes.mode, attributes.uid, attributes.gid)
            if stat.S_ISDIR(attributes.mode):
                pending.append((here, entry.nodeid))
            else:
                groups.setdefault(attributes.ino, []).append(here)
            if stat.S_ISREG(attributes.mode):
                shown += (attributes.nlink, union.read(entry.nodeid, 0, 1 << 16))
            if stat.S_ISLNK(attributes.mode):
                shown += (union.readlink(entry.nodeid),)
            found[here] = shown
    union.destroy()
    for names in groups.values():
        for name in names:
            found[name] = (found[name], sorted(names))
    return found


@given(steps=st.lists(STEPS, max_size=12))
def test_committed_changes_are_the_same_tree(
    steps: list[tuple[str, list[bytes], list[bytes]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        base = layer_files(top, BASE)
        upper, work = os.fsencode(top / "upper"), os.fsencode(top / "work")
        lower = ChainLayer(base[1], [base[0]])
        union = Union([lower], DirectoryUpper(upper, work, ownership=Ownership.DATA))
        for action, path, other in steps:
            try:
                ACTIONS[action](union, path, other)
            except OSError:
                continue
        union.destroy()

        at_rest = ReadOnlyUpper(upper, work, ownership=Ownership.DATA)
        snapshot = Snapshot([ChainLayer(base[1], [base[0]])], at_rest)
        changes = snapshot.changes()
        archive = b"".join(snapshot.layer_archive(changes))
        whole = b"".join(snapshot.tree_archive())
        snapshot.close()
        added = layer_files(top, archive)
        build_chain([base[1], added[1]], top / "chain.sqlite")
        committed = ChainLayer(top / "chain.sqlite", [base[0], added[0]])
        wanted = tree_of(
            [ChainLayer(base[1], [base[0]])],
            DirectoryUpper(upper, work, ownership=Ownership.DATA),
        )
        assert tree_of([committed], None) == wanted
        assert tree_of([layer_of(top, whole)], None) == wanted
        below = tree_of([ChainLayer(base[1], [base[0]])], None)
        for change in changes:
            exists = b"/" + change.path in wanted or not change.path
            assert exists == (change.kind is not Kind.DELETED), change
            assert (b"/" + change.path in below) or change.kind is Kind.ADDED, change
