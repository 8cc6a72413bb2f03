"""A server killed between two system calls of a change to an object of several names: the names lead to
one object at the next mount, and its link count is not too small."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

import pytest

from unionfs.directory import (
    DirectoryLayer,
    DirectoryUpper,
    attribute_store,
    creating,
    link_index,
    upper,
    work,
)
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

OWNER = Caller(os.getuid(), os.getgid())
CHANGES = ("link", "rename", "unlink", "symlink", "mknod", "setxattr", "removexattr", "rmdir")
"""The system calls that change a tree, after any of which the server may be killed."""


def make_lower(path: str) -> None:
    os.makedirs(f"{path}/d")
    with open(f"{path}/a", "wb") as file:
        file.write(b"regular")
    os.symlink("symbolic", f"{path}/s")
    for name in ("b", "d/a"):
        os.link(f"{path}/a", f"{path}/{name}")
    for name in ("t", "d/s"):
        os.link(f"{path}/s", f"{path}/{name}", follow_symlinks=False)


def mount(top: str, ownership: Ownership) -> Union:
    places = os.fsencode(f"{top}/upper"), os.fsencode(f"{top}/work")
    lower = DirectoryLayer(os.fsencode(f"{top}/lower"), ownership=ownership)
    return Union([lower], DirectoryUpper(*places, ownership=ownership), UnionOptions(volatile=True))


def node(union: Union, path: bytes) -> int:
    at = ROOT_NODE
    for name in path.split(b"/"):
        entry = union.lookup(at, name)
        assert entry is not None, path
        at = entry.nodeid
    return at


def operations(ownership: Ownership) -> Iterator[Callable[[Union], object]]:
    owner = (7, 8) if ownership is Ownership.DATA else OWNER[:2]
    yield lambda u: u.unlink(ROOT_NODE, b"a")
    yield lambda u: u.link(node(u, b"b"), ROOT_NODE, b"c")
    yield lambda u: u.unlink(node(u, b"d"), b"a")
    yield lambda u: u.rename(ROOT_NODE, b"b", node(u, b"d"), b"moved", 0)
    yield lambda u: u.unlink(ROOT_NODE, b"c")
    yield lambda u: u.setattr(node(u, b"s"), SetAttributes(uid=owner[0], gid=owner[1]))
    yield lambda u: u.unlink(ROOT_NODE, b"t")
    yield lambda u: u.link(node(u, b"d/s"), ROOT_NODE, b"u")
    yield lambda u: u.rename(ROOT_NODE, b"s", ROOT_NODE, b"u", 0)
    yield lambda u: u.unlink(ROOT_NODE, b"s")
    yield lambda u: u.symlink(ROOT_NODE, b"own", b"upper", OWNER)
    yield lambda u: u.setattr(node(u, b"own"), SetAttributes(uid=owner[0], gid=owner[1]))
    yield lambda u: u.link(node(u, b"own"), ROOT_NODE, b"own-too")
    yield lambda u: u.unlink(ROOT_NODE, b"own")


class Killing:
    """`os` for the modules of the upper: the process ends instead of the call number `at`."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __getattr__(self, name: str) -> object:
        found = getattr(os, name)
        if name not in CHANGES:
            return found

        def call(*arguments: object, **options: object) -> object:
            self._left -= 1
            if self._left == 0:
                os._exit(3)
            return found(*arguments, **options)

        return call


def run_until_killed(top: str, ownership: Ownership, stop: int, at: int) -> bool:
    """Do `stop` operations, and the next up to its call number `at`. True if it has that many calls."""
    child = os.fork()
    if child == 0:
        try:
            union = mount(top, ownership)
            for number, operation in enumerate(operations(ownership)):
                if number == stop:
                    killing = Killing(at)
                    for module in (attribute_store, creating, upper, work, link_index):
                        module.os = killing  # type: ignore[assignment]
                    operation(union)
                    os._exit(0)
                operation(union)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 3)
    return os.waitstatus_to_exitcode(status) == 3


def names_of(union: Union) -> dict[bytes, list[tuple[int, bytes]]]:
    """By contents: the numbers and link counts under which an object is shown, and its names."""
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for prefix, parent in ((b"", ROOT_NODE), (b"d/", node(union, b"d"))):
        for item in list(union.readdir(parent, 0)):
            union.remember(item.entry)
            known = item.entry.attributes
            if stat.S_ISDIR(known.mode):
                continue
            is_link = stat.S_ISLNK(known.mode)
            content = (
                union.readlink(item.entry.nodeid)
                if is_link
                else union.read(item.entry.nodeid, 0, 99)
            )
            found.setdefault(content, []).append((known.ino, prefix + item.name))
    return found


@pytest.mark.parametrize("ownership", list(Ownership), ids=["real", "data"])
def test_kill_between_two_calls_leaves_one_object_with_enough_links(tmp_path, ownership) -> None:
    cases = 0
    for stop in range(len(list(operations(ownership)))):
        at = 1
        while True:
            top = f"{tmp_path}/{stop}-{at}"
            make_lower(f"{top}/lower")
            if not run_until_killed(top, ownership, stop, at):
                break
            union = mount(top, ownership)
            numbers = []
            for content, places in names_of(union).items():
                where = f"operation {stop}, call {at}: {content!r}"
                shown = {ino for ino, _ in places}
                assert len(shown) == 1, f"{where} has the numbers {shown}"
                numbers += shown
                nlink = union.getattr(node(union, places[0][1])).nlink
                assert nlink - len(places) in (0, 1), f"{where} has {nlink} links, {places}"
            assert len(numbers) == len(set(numbers)), f"operation {stop}, call {at}: {numbers}"
            for places in names_of(union).values():
                for _, path in places:
                    directory, _, name = path.rpartition(b"/")
                    union.unlink(node(union, directory) if directory else ROOT_NODE, name)
            assert names_of(union) == {}
            union.destroy()
            cases += 1
            at += 1
    assert cases > 20
