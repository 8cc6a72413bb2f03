"""The files at given paths of a tree, in a form that can be compared with another tree."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from rootless.store.step_reads import Seen
from unionfs.changes.snapshot import Snapshot
from unionfs.nodes import Directory, Node
from unionfs.traced.trace import Access, Record

_PIECE = 1 << 20
_TYPES = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_ANYTHING = Access.LOOKUP | Access.CONTENT | Access.NAMES | Access.XATTRS


class SeenFiles:
    """Looks at the merged files of layers. `archives`: the diffIDs of these by the (device, inode) of their
    archives. Closes nothing."""

    def __init__(self, snapshot: Snapshot, archives: Mapping[tuple[int, int], str]) -> None:
        self._snapshot = snapshot
        self._archives = archives
        self._diff_ids: dict[int, str] = {}

    def seen(self, records: Iterable[Record]) -> Iterator[Seen]:
        """The files of these accesses, each path once, in order. Raises OSError."""
        for record in self._with_other_names(_by_path(records)):
            yield self._seen(record, self._snapshot.find(record.path))

    def difference(self, expected: Iterable[Seen]) -> str:
        """The first of these that is another here, in words; empty if none is. Raises OSError."""
        for each in expected:
            reason = self._difference(each)
            if reason:
                return f"/{os.fsdecode(each.path)}, {reason}"
        return ""

    # What is compared

    def _seen(self, record: Record, node: Node | None) -> Seen:
        path, access = record
        if node is None:
            return Seen(path, "")
        content = place = names = xattrs = ""
        if access & Access.CONTENT and stat.S_ISREG(node.attributes.mode):
            content, place = self._digest(node), self._place(node)
        if access & Access.NAMES and isinstance(node, Directory):
            names = self._names(path)
        if access & Access.XATTRS:
            xattrs = self._xattrs(node)
        return Seen(path, self._state(node), content, place, names, xattrs)

    def _difference(self, expected: Seen) -> str:
        node = self._snapshot.find(expected.path)
        if node is None:
            return "which it found, is not there" if expected.state else ""
        if not expected.state:
            return "which it did not find, is there"
        if self._state(node) != expected.state:
            return "of which it saw the attributes, has others"
        if expected.names and self._names(expected.path) != expected.names:
            return "which it listed, has other names in it"
        if expected.xattrs and self._xattrs(node) != expected.xattrs:
            return "of which it saw the extended attributes, has others"
        if expected.content:
            is_same = expected.place and self._place(node) == expected.place
            if not is_same and self._digest(node) != expected.content:
                return "which it read, has another content"
        return ""

    def _state(self, node: Node) -> str:
        """Times are not part of it, as nowhere in the cache; nor are inode numbers, which differ with every
        layer, and link counts of directories, which a traced union does not show."""
        attributes = node.attributes
        kind = stat.S_IFMT(attributes.mode)
        fields: list[object] = [
            _TYPES.get(kind, ""),
            f"{stat.S_IMODE(attributes.mode):04o}",
            attributes.uid,
            attributes.gid,
        ]
        if kind == stat.S_IFLNK:
            fields.append(os.fsdecode(self._snapshot.readlink(node)))
        elif kind == stat.S_IFREG:
            fields.append(attributes.size)
        elif kind in {stat.S_IFCHR, stat.S_IFBLK}:
            fields.append(attributes.rdev)
        if not isinstance(node, Directory) and attributes.nlink > 1:
            # The count itself depends on whether the layers are read by a merged index.
            names = sorted(self._snapshot.names(node))
            if len(names) > 1:
                fields.append(hashlib.sha256(b"\0".join(names)).hexdigest())
        return " ".join(map(str, fields))

    def _names(self, path: bytes) -> str:
        listed = sorted(
            (name, stat.S_IFMT(node.attributes.mode))
            for name, node in self._snapshot.children(path)
        )
        hashed = hashlib.sha256()
        for name, kind in listed:
            hashed.update(b"%s\0%o\n" % (name, kind))
        return hashed.hexdigest()

    def _xattrs(self, node: Node) -> str:
        hashed = hashlib.sha256()
        for name, value in sorted(self._snapshot.xattrs(node).items()):
            hashed.update(b"%s\0%d\0%s" % (name, len(value), value))
        return hashed.hexdigest()

    def _digest(self, node: Node) -> str:
        hashed = hashlib.sha256()
        file = self._snapshot.open_file(node)
        try:
            for offset in range(0, node.attributes.size, _PIECE):
                hashed.update(file.read(offset, _PIECE))
        finally:
            file.close()
        return hashed.hexdigest()

    def _place(self, node: Node) -> str:
        """Where the data lie in the layers; empty for what does not lie in one piece."""
        file = self._snapshot.open_file(node)
        try:
            where = file.backing()
            if where is None:
                return ""
            descriptor, offset = where
            diff_id = self._diff_ids.get(descriptor)
            if diff_id is None:
                status = os.fstat(descriptor)
                diff_id = self._archives.get((status.st_dev, status.st_ino), "")
                self._diff_ids[descriptor] = diff_id
            return f"{diff_id}+{offset}" if diff_id else ""
        finally:
            file.close()

    # Which paths

    def _with_other_names(self, accesses: dict[bytes, int]) -> list[Record]:
        """Records of these paths, of all that is below those that were seen as trees, and of the directories
        in which other names of the files are: a layer that changes a file holds all its names, and the
        directories above them (`Snapshot.changes`)."""
        for path in [path for path, access in accesses.items() if access & Access.TREE]:
            self._add_tree(path, accesses)
        for path in list(accesses):
            node = self._snapshot.find(path)
            if node is None or isinstance(node, Directory) or node.attributes.nlink < 2:
                continue
            for name in self._snapshot.names(node):
                while name := name.rpartition(b"/")[0]:
                    accesses[name] = accesses.get(name, 0) | Access.LOOKUP | Access.XATTRS
        return [Record(path, accesses[path]) for path in sorted(accesses)]

    def _add_tree(self, path: bytes, accesses: dict[bytes, int]) -> None:
        pending = [path]
        while pending:
            at = pending.pop()
            accesses[at] = accesses.get(at, 0) | _ANYTHING
            prefix = at + b"/" if at else b""
            pending += [prefix + name for name, _ in self._snapshot.children(at)]


def _by_path(records: Iterable[Record]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for path, access in records:
        found[path] = found.get(path, 0) | access
    return found
