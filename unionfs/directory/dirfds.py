"""The position of objects in a tree, and descriptors of its directories.

A `PathNode` is a name in a directory, which is a `PathNode` again; no path is ever put together, so
that depth has no limit and a renamed directory takes everything below it along. Opening goes
component by component with O_NOFOLLOW: a name has no slash in it, so nothing leads out of the
tree.
"""

from __future__ import annotations

import os

from unionfs.light_types import OrderedDict
from unionfs.syscalls.files import bounded_descriptors

_PATH_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_KEPT_COMPONENTS = 8
"""Of a longer path only the last directories are kept open, so that one deep path does not push out
all others."""


class PathNode:
    """A name in a directory. Compared by identity; that of a root has no parent."""

    __slots__ = ("is_bare", "name", "parent")

    def __init__(self, parent: PathNode | None, name: bytes) -> None:
        self.parent = parent
        self.name = name
        self.is_bare = False
        """The directory had no extended attributes when it was looked up."""


class DirfdCache:
    """Open descriptors (O_PATH) of directories, at most `limit` besides the roots, or fewer where the process may
    open few; those longest unused go first."""

    def __init__(self, limit: int) -> None:
        self._limit = bounded_descriptors(limit, 6)
        self._roots: dict[PathNode, int] = {}
        self._open: OrderedDict[PathNode, int] = OrderedDict()

    def add_root(self, fd: int) -> PathNode:
        """A place of which `fd`, taken over, is the descriptor."""
        path_node = PathNode(None, b"")
        self._roots[path_node] = fd
        return path_node

    def fd(self, path_node: PathNode) -> int:
        """A descriptor that stays valid until eight others have been asked for."""
        fd = self._open.get(path_node)
        if fd is not None:
            self._open.move_to_end(path_node)
            return fd
        way: list[PathNode] = []
        at = path_node
        while at.parent is not None and (fd := self._open.get(at)) is None:
            way.append(at)
            at = at.parent
        if fd is None:
            fd = self._roots[at]
        if len(way) > _KEPT_COMPONENTS:
            fd = self._descend(fd, way[_KEPT_COMPONENTS - 1 :])
            self._keep(way[_KEPT_COMPONENTS - 1], fd)
            del way[_KEPT_COMPONENTS - 1 :]
        for step in reversed(way):
            fd = os.open(step.name, _PATH_DIRECTORY, dir_fd=fd)
            self._keep(step, fd)
        return fd

    def reader(self, path_node: PathNode) -> tuple[int, bool]:
        """A descriptor to list a directory by, and whether it is the caller's to close.

        A descriptor that is opened for this is kept for the directory: a listing is usually followed
        by the use of what is in it."""
        parent = path_node.parent
        if parent is None or path_node in self._open:
            return os.open(b".", READ_DIRECTORY, dir_fd=self.fd(path_node)), True
        fd = os.open(path_node.name, READ_DIRECTORY, dir_fd=self.fd(parent))
        self._keep(path_node, fd)
        return fd, False

    def _descend(self, fd: int, way: list[PathNode]) -> int:
        opened = -1
        try:
            for step in reversed(way):
                following = os.open(step.name, _PATH_DIRECTORY, dir_fd=fd)
                if opened >= 0:
                    os.close(opened)
                fd = opened = following
        except OSError:
            if opened >= 0:
                os.close(opened)
            raise
        return fd

    def _keep(self, path_node: PathNode, fd: int) -> None:
        self._open[path_node] = fd
        if len(self._open) > self._limit:
            os.close(self._open.popitem(last=False)[1])

    def drop(self, path_node: PathNode) -> None:
        """Close the descriptor of a directory that is gone."""
        fd = self._open.pop(path_node, None)
        if fd is not None:
            os.close(fd)

    def close_all(self) -> None:
        """Close what can be opened again."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def close(self) -> None:
        for fd in (*self._open.values(), *self._roots.values()):
            os.close(fd)
        self._open.clear()
        self._roots.clear()
