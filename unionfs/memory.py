"""Layers for tests: one made of literals, and one that fails on request."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from unionfs.layer import Extent, LayerEntry, Mark, OpenFile, Ref
from unionfs.merge import compose_ino
from unionfs.model import Attributes


@dataclass(slots=True)
class MemoryNode:
    """An object of a memory layer. A directory has `children`; the same node under two names is a
    hard link. `extents` are those of a sparse file; None if it is all data."""

    mode: int
    content: bytes = b""
    children: dict[bytes, MemoryNode] = field(default_factory=dict)
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    mtime_ns: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    mark: Mark = Mark.NONE
    extents: Sequence[Extent] | None = None


def directory(
    children: Mapping[bytes, MemoryNode] | None = None, *, mode: int = 0o755, opaque: bool = False
) -> MemoryNode:
    mark = Mark.OPAQUE if opaque else Mark.NONE
    return MemoryNode(stat.S_IFDIR | mode, children=dict(children or {}), mark=mark)


def regular(content: bytes = b"", *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> MemoryNode:
    return MemoryNode(stat.S_IFREG | mode, content, uid=uid, gid=gid)


def symlink(target: bytes) -> MemoryNode:
    return MemoryNode(stat.S_IFLNK | 0o777, target)


def whiteout() -> MemoryNode:
    return MemoryNode(0, mark=Mark.WHITEOUT)


class MemoryFile:
    """An open file of a memory layer."""

    def __init__(self, node: MemoryNode) -> None:
        self._node = node

    def read(self, offset: int, size: int) -> bytes:
        return self._node.content[offset : offset + size]

    def extents(self) -> Sequence[Extent]:
        if self._node.extents is not None:
            return self._node.extents
        return [Extent(0, len(self._node.content))] if self._node.content else []

    def backing(self) -> tuple[int, int] | None:
        return None

    def close(self) -> None:
        """Nothing to give back."""


class MemoryLayer:
    """A layer whose tree is `top`. Numbers and link counts are given when it is made."""

    def __init__(self, top: MemoryNode) -> None:
        self._nodes: list[MemoryNode] = []
        self._numbers: dict[int, int] = {}
        self._links: list[int] = []
        self._number_bits = 0
        self._number(top)

    def number_from(self, tag: int) -> None:
        self._number_bits = compose_ino(0, tag)

    def _number(self, node: MemoryNode) -> None:
        is_directory = stat.S_ISDIR(node.mode)
        if id(node) not in self._numbers:
            self._nodes.append(node)
            self._numbers[id(node)] = len(self._nodes)
            self._links.append(2 if is_directory else 0)
        number = self._numbers[id(node)]
        self._links[number - 1] += not is_directory
        for child in node.children.values():
            self._number(child)
            self._links[number - 1] += stat.S_ISDIR(child.mode)

    def root(self) -> LayerEntry:
        return self._entry(self._nodes[0])

    def _entry(self, node: MemoryNode) -> LayerEntry:
        size = len(node.content)
        times = (node.mtime_ns, node.mtime_ns, node.mtime_ns)
        owner = (node.uid, node.gid, node.rdev)
        number = self._numbers[id(node)]
        links = self._links[number - 1]
        ino = number | self._number_bits
        attributes = Attributes(ino, node.mode, links, *owner, size, (size + 511) // 512, *times)
        return LayerEntry(number, attributes, node.mark)

    def _node(self, ref: Ref) -> MemoryNode:
        if not isinstance(ref, int):
            raise OSError(errno.EINVAL, "not an object of a memory layer")
        return self._nodes[ref - 1]

    def lookup(self, directory: Ref, name: bytes) -> LayerEntry | None:
        child = self._node(directory).children.get(name)
        return None if child is None else self._entry(child)

    def listing(self, directory: Ref) -> Iterator[tuple[bytes, LayerEntry]]:
        for name, child in self._node(directory).children.items():
            yield name, self._entry(child)

    def readlink(self, ref: Ref) -> bytes:
        return self._node(ref).content

    def xattrs(self, ref: Ref) -> dict[bytes, bytes]:
        return dict(self._node(ref).xattrs)

    def fingerprint(self) -> Sequence[bytes]:
        top = self._nodes[0]
        return [b"memory", *(b"%b=%d" % (n, len(c.content)) for n, c in top.children.items())]

    def open(self, ref: Ref) -> OpenFile:
        return MemoryFile(self._node(ref))

    def close(self) -> None:
        """Nothing to release."""


class FaultyLayer:
    """A layer, upper or lower, that raises an errno at chosen calls and is `layer` otherwise.

    `fail("publish", errno.ENOSPC, at=2)` makes the second call of `publish` from now on fail.
    """

    def __init__(self, layer: object) -> None:
        self._layer = layer
        self._plans: dict[str, tuple[int, int]] = {}
        self.calls: list[str] = []

    def fail(self, method: str, number: int, *, at: int = 1) -> None:
        self._plans[method] = (at, number)

    def __getattr__(self, method: str) -> Callable[..., object]:
        attribute = getattr(self._layer, method)

        def call(*args: object, **kwargs: object) -> object:
            self.calls.append(method)
            left, number = self._plans.get(method, (0, 0))
            if left == 1:
                del self._plans[method]
                raise OSError(number, os.strerror(number))
            if left:
                self._plans[method] = (left - 1, number)
            return attribute(*args, **kwargs)

        return call
