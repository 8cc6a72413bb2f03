"""Copies a directory of one union into another, by their own operations: no mount, no namespace, and
owners, modes, times, extended attributes, links and holes as the source has them.
"""

from __future__ import annotations

import errno
import os
import stat

from unionfs.model import ROOT_NODE, Attributes, Caller, NodeId, SetAttributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.union import Union

_PIECE = 1 << 20
_LINK_LIMIT = 40  # the kernel's own (path_resolution(7))
_ROOT = Caller(0, 0)
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EPERM, errno.ENODATA, errno.EINVAL})


def find_directory(union: Union, path: str) -> NodeId | None:
    """The node of a path, beneath the root, symbolic links followed; None if there is nothing.

    Raises NotADirectoryError if it is something else.
    """
    found = find_node(union, path)
    if found is not None and not stat.S_ISDIR(union.getattr(found).mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return found


def find_node(union: Union, path: str) -> NodeId | None:
    """The node of a path, beneath the root, symbolic links followed; None if there is nothing."""
    stack = [ROOT_NODE]
    rest = [name for name in reversed(os.fsencode(path).split(b"/")) if name]
    links = 0
    while rest:
        name = rest.pop()
        if name == b".":
            continue
        if name == b"..":
            if len(stack) > 1:
                stack.pop()
            continue
        if not stat.S_ISDIR(union.getattr(stack[-1]).mode):
            return None
        entry = union.lookup(stack[-1], name)
        if entry is None:
            return None
        if not stat.S_ISLNK(entry.attributes.mode):
            stack.append(entry.nodeid)
            continue
        links += 1
        if links > _LINK_LIMIT:
            return None
        target = union.readlink(entry.nodeid)
        if target.startswith(b"/"):
            del stack[1:]
        rest += [name for name in reversed(target.split(b"/")) if name]
    return stack[-1]


class UnionCopy:
    """One copy from `source` into `target`. `has_devices`: whether the target can have device nodes; else
    they are left out."""

    def __init__(self, source: Union, target: Union, *, has_devices: bool = True) -> None:
        self._source = source
        self._target = target
        self._has_devices = has_devices
        self._links: dict[NodeId, NodeId] = {}

    def copy(self, source: NodeId, target: NodeId) -> None:
        """Copy what is in a directory, and its attributes, to a directory that is empty. Raises OSError."""
        # Forgetting a name may drop the listing that is being read.
        for name in [each.name for each in self._source.readdir(source, 0)]:
            self._copy_child(source, target, name)
        self._finish(source, target)

    def _copy_child(self, source_parent: NodeId, parent: NodeId, name: bytes) -> None:
        entry = self._source.lookup(source_parent, name)
        if entry is None:
            return
        node, attributes = entry.nodeid, entry.attributes
        if stat.S_ISDIR(attributes.mode):
            made = self._target.mkdir(parent, name, 0o700, _ROOT).nodeid
            self.copy(node, made)
            return
        if node in self._links:
            self._target.link(self._links[node], parent, name)
            return
        if stat.S_IFMT(attributes.mode) in (stat.S_IFCHR, stat.S_IFBLK) and not self._has_devices:
            return
        made = self._make(node, attributes, parent, name)
        self._finish(node, made)
        if attributes.nlink > 1:
            self._links[node] = made
        else:
            # The unions keep what is referred to: memory for each file of an image.
            self._source.forget(node, 1)
            self._target.forget(made, 1)

    def _make(self, node: NodeId, attributes: Attributes, parent: NodeId, name: bytes) -> NodeId:
        if stat.S_ISLNK(attributes.mode):
            target = self._source.readlink(node)
            return self._target.symlink(parent, name, target, _ROOT).nodeid
        if not stat.S_ISREG(attributes.mode):
            made = self._target.mknod(parent, name, attributes.mode, attributes.rdev, _ROOT)
            return made.nodeid
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        made = self._target.create(parent, name, 0o600, flags, _ROOT)
        self._copy_data(node, attributes.size, made.nodeid)
        self._target.release(made.nodeid)
        return made.nodeid

    def _copy_data(self, source: NodeId, size: int, target: NodeId) -> None:
        at = 0
        while at < size:
            try:
                at = self._source.lseek(source, at, os.SEEK_DATA)
                end = self._source.lseek(source, at, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            while at < end:
                data = self._source.read(source, at, min(_PIECE, end - at))
                if not data:
                    break
                self._target.write(target, at, data)
                at += len(data)
        self._target.setattr(target, SetAttributes(size=size))

    def _finish(self, source: NodeId, target: NodeId) -> None:
        """Owner, attributes, mode and times, in the order in which none undoes another."""
        found = self._source.getattr(source)
        self._target.setattr(target, SetAttributes(uid=found.uid, gid=found.gid))
        for name in self._source.listxattr(source):
            try:
                self._target.setxattr(target, name, self._source.getxattr(source, name), 0)
            except OSError as error:
                if error.errno not in _NO_XATTRS:
                    raise
        if not stat.S_ISLNK(found.mode):
            self._target.setattr(target, SetAttributes(mode=stat.S_IMODE(found.mode)))
        times = SetAttributes(atime_ns=found.atime_ns, mtime_ns=found.mtime_ns)
        self._target.setattr(target, times)
