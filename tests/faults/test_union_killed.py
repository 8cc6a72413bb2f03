"""A server killed in the middle of an operation: the next mount shows the tree before or after."""

from __future__ import annotations

import os
import random
import stat
from functools import partial

import pytest

from tests.support.killed import work_until_killed
from tests.support.plain_disk import make_index
from unionfs.directory import DirectoryUpper
from unionfs.memory import MemoryLayer, directory, regular, symlink
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.syscalls.files import RENAME_EXCHANGE
from unionfs.union import Union, UnionOptions

ROOT, OTHER = Caller(0, 0), Caller(3, 4)


def lower() -> MemoryLayer:
    shared = regular(b"shared" * 10)
    tree = {
        b"d%d" % number: directory(
            {
                b"f": regular(b"f" * 200_000),
                b"s": symlink(b"t"),
                b"e": directory({b"x": regular(b"x")}),
            }
        )
        for number in range(6)
    }
    return MemoryLayer(directory({**tree, b"one": shared, b"two": shared}))


def mount(disk: bytes, *, defers_metadata: bool) -> Union:
    upper = DirectoryUpper(disk + b"/upper", disk + b"/work", ownership=Ownership.DATA)
    return Union([lower()], upper, UnionOptions(volatile=True, defers_metadata=defers_metadata))


def node(union: Union, *path: bytes) -> int:
    at = ROOT_NODE
    for name in path:
        at = union.lookup(at, name).nodeid
    return at


def operations():
    """Each a function of the union: one change."""
    for n in range(6):
        d = b"d%d" % n
        yield lambda u, d=d: u.setattr(node(u, d, b"f"), SetAttributes(mode=0o600, uid=5))
        yield lambda u, d=d: u.setattr(node(u, d, b"e", b"x"), SetAttributes(gid=6))
        yield lambda u, d=d: u.write(node(u, d, b"f"), 7, b"written")
        yield lambda u, d=d: u.create(node(u, d), b"new", 0o4711, os.O_RDWR, OTHER)
        yield lambda u, d=d: u.setattr(node(u, d, b"new"), SetAttributes(mode=0o640))
        yield lambda u, d=d: u.rename(ROOT_NODE, d, ROOT_NODE, b"moved-" + d, 0)
        yield lambda u, d=d: u.mkdir(ROOT_NODE, d, 0o1755, OTHER)
        yield lambda u, d=d: u.unlink(node(u, b"moved-" + d, b"e"), b"x")
        yield lambda u, d=d: u.rename(node(u, b"moved-" + d), b"e", ROOT_NODE, b"e" + d, 0)
        yield lambda u, d=d: u.rename(ROOT_NODE, d, ROOT_NODE, b"e" + d, 0)
        yield lambda u, d=d: u.rename(
            ROOT_NODE, b"e" + d, ROOT_NODE, b"moved-" + d, RENAME_EXCHANGE
        )
        yield lambda u, d=d: u.setattr(node(u, b"e" + d, b"s"), SetAttributes(uid=9))
        yield lambda u, d=d: u.link(node(u, b"two"), ROOT_NODE, b"three" + d)
        yield lambda u, d=d: u.rmdir(ROOT_NODE, b"moved-" + d)
        yield lambda u, d=d: u.setattr(node(u, b"e" + d, b"f"), SetAttributes(size=0))
        yield lambda u, d=d: u.rename(ROOT_NODE, b"three" + d, node(u, b"e" + d), b"f", 0)


def snapshot(union: Union, at: int = ROOT_NODE, path: bytes = b"") -> dict[bytes, tuple]:
    found = {}
    for item in union.readdir(at, 0):
        union.remember(item.entry)
        known = item.entry.attributes
        content = b""
        if stat.S_ISREG(known.mode):
            content = union.read(item.entry.nodeid, 0, 1 << 20)
        elif stat.S_ISLNK(known.mode):
            content = union.readlink(item.entry.nodeid)
        where = path + b"/" + item.name
        found[where] = (
            known.ino if known.ino >> 48 else 0,
            known.mode,
            known.uid,
            known.gid,
            content,
        )
        if stat.S_ISDIR(known.mode):
            found |= snapshot(union, item.entry.nodeid, where)
    return found


@pytest.mark.parametrize("attributes", ["on disk", "in an index"])
@pytest.mark.parametrize("defers_metadata", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_kill_during_an_operation_shows_the_tree_before_or_after_it(
    tmp_path, seed, attributes, defers_metadata
) -> None:
    top = os.fsencode(tmp_path)
    os.makedirs(top + b"/whole")
    mount_at = partial(mount, defers_metadata=defers_metadata)
    union = mount_at(top + b"/whole")
    states = [snapshot(union)]
    for operation in operations():
        operation(union)
        states.append(snapshot(union))
    union.destroy()
    chosen = random.Random(seed).sample(range(len(states) - 1), 15)
    for stop in chosen:
        disk = top + b"/%d" % stop
        os.makedirs(disk)
        if attributes == "in an index":
            make_index(disk + b"/work")
        done = work_until_killed(partial(mount_at, disk), operations(), stop)
        union = mount_at(disk)
        seen = snapshot(union)
        union.destroy()
        assert seen in states[done : done + 2], f"killed after {done} operations"
        assert os.listdir(disk + b"/work/rootless.tmp") == []
