"""A union that records accesses to its lowers (`unionfs.traced.trace`).

It is sound for a kernel that asks for each name, listing and page at least once in the life of the mount,
which the kernel does because its caches begin empty. Three rules follow from what the kernel caches:

* The attributes in the reply to a LOOKUP answer every later stat(2), so a name that was looked up counts
  as one whose attributes were seen. A session of a traced union does not announce attributes with
  listings (`ServeOptions.readdirplus`): everything that is listed would count so.
* The pages of a file are read ahead, so one READ counts as reading all of the file.
* The number of links of a directory tells how many directories are in it. All are shown with one link, as
  kernel overlayfs shows those that are merged.

A change counts as an access to what it takes over from a lower: a file that is copied up takes over content
and attributes, a directory its attributes, a directory that is renamed everything below it.
"""

from __future__ import annotations

import os
import stat

from unionfs.layer import Layer, UpperLayer
from unionfs.model import Attributes, Caller, NodeId, SetAttributes
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.attributes import is_gone
from unionfs.ops.copyup import BackgroundCopy
from unionfs.syscalls.files import RENAME_EXCHANGE
from unionfs.traced.trace import Access, Trace
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unionfs.filesystem import DirEntry, Entry
    from unionfs.ops.transfers import Transfer

_CONTENT, _NAMES, _XATTRS = int(Access.CONTENT), int(Access.NAMES), int(Access.XATTRS)
_LOOKUP, _TREE = int(Access.LOOKUP), int(Access.TREE)
_ONLY_TIMES = (None, None, None, None)
_lookup = Union.lookup
_read_into = Union.read_into
_source = Union.source
_write = Union.write


class TracedUnion(Union):
    """As `Union`, with a trace. `trace` is None if it is incomplete, as it is where this server goes on where
    a killed one was."""

    def __init__(
        self, lowers: Sequence[Layer], upper: UpperLayer | None, options: UnionOptions
    ) -> None:
        super().__init__(lowers, upper, options._replace(static_nlink=True))
        self._trace = Trace()
        self._is_complete = self._tree.recovery is None
        self._accesses: dict[Node, dict[bytes, int]] = {}
        """The dictionaries of the trace, by directory. A directory that no lower has gets one that is not of the trace."""
        # Node numbers of which the access is in the trace. A number is never given to an object of a
        # lower after another object had it.
        self._read: set[int] = set()
        self._written: set[int] = set()
        self._xattrs_seen: set[int] = set()
        self._changed_directories: set[Directory] = set()
        self._last_names: dict[Node, tuple[Directory, bytes]] = {}
        """Of files of lowers that have lost a name."""

    @property
    def trace(self) -> Trace | None:
        return self._trace if self._is_complete else None

    # What is noted

    def _names_in(self, directory: Directory) -> dict[bytes, int]:
        """Where accesses to the names in a directory are noted."""
        names = self._accesses.get(directory)
        if names is None:
            names = {}
            if directory.lowers:
                names = self._trace.names_in(directory.lower_path().strip(b"/"))
            self._accesses[directory] = names
        return names

    def _note(self, node: Node, access: int) -> None:
        """An access to an object, unless no lower has any of it."""
        if isinstance(node, Directory):
            if node.lowers:
                self._trace.add(node.lower_path().strip(b"/"), access)
            return
        if node.layer == UPPER:
            return
        parent, name = node.parent, node.name
        if parent is None:
            if node not in self._last_names:
                self._is_complete = False
                return
            parent, name = self._last_names[node]
        names = self._accesses.get(parent)
        if names is None:
            names = self._names_in(parent)
        names[name] = names.get(name, 0) | access

    def _note_read(self, nodeid: NodeId) -> None:
        self._note(self._tree.node(nodeid), _CONTENT)
        self._read.add(nodeid)

    def _note_xattrs(self, nodeid: NodeId) -> None:
        if nodeid not in self._xattrs_seen:
            self._note(self._tree.node(nodeid), _XATTRS)
            self._xattrs_seen.add(nodeid)

    def _note_change(self, nodeid: NodeId, *, keeps_data: bool = True) -> None:
        """An object is about to be changed, and copied up if it is of a lower."""
        node = self._tree.node(nodeid)
        has_data = keeps_data and stat.S_ISREG(node.attributes.mode)
        self._note(node, _XATTRS | _CONTENT if has_data else _XATTRS)
        for directory in node.directories():
            self._note_directories(directory)

    def _note_directories(self, directory: Directory) -> None:
        """Names in a directory are about to change: it and those above it are copied up, and its default
        ACL is that of what is made in it."""
        at: Directory | None = directory
        while at is not None and at not in self._changed_directories:
            self._note(at, _XATTRS)
            self._changed_directories.add(at)
            at = at.parent

    def _note_name(self, parent: NodeId, name: bytes) -> Node | None:
        """A name is about to come or go; returns what has it."""
        directory = self._tree.directory(parent)
        self._names_in(directory).setdefault(name, _LOOKUP)
        self._note_directories(directory)
        return self._tree.child(directory, name)

    def _note_loss(self, node: Node | None) -> None:
        """An object is about to lose a name: a directory has to be empty for that."""
        if isinstance(node, Directory):
            self._note(node, _NAMES)
        elif node is not None and node.layer != UPPER and node.parent is not None:
            self._last_names[node] = node.parent, node.name

    def _note_move(self, node: Node | None) -> None:
        """An object is about to move: it takes over what the lowers have of it."""
        if node is not None:
            self._note(node, _TREE if isinstance(node, Directory) else _CONTENT | _XATTRS)

    # Lookup

    def lookup(self, parent: NodeId, name: bytes) -> Entry | None:
        names = self._accesses.get(self._nodes.get(parent))  # type: ignore[arg-type] # None is no key
        if names is None:
            names = self._names_in(self._tree.directory(parent))
        if name not in names:
            names[name] = _LOOKUP
        return _lookup(self, parent, name)

    def remember(self, entry: Entry) -> None:
        super().remember(entry)
        self._note(self._tree.node(entry.nodeid), _LOOKUP)

    def readdir(self, nodeid: NodeId, cookie: int) -> Iterator[DirEntry]:
        self._note(self._tree.directory(nodeid), _NAMES)
        return super().readdir(nodeid, cookie)

    def readdirplus(
        self, nodeid: NodeId, cookie: int, room: int, fixed: int
    ) -> list[tuple[int, bytes, NodeId, Attributes]]:
        directory = self._tree.directory(nodeid)
        self._note(directory, _NAMES)
        found = super().readdirplus(nodeid, cookie, room, fixed)
        names = self._names_in(directory)
        for _, name, _, _ in found:
            names.setdefault(name, _LOOKUP)
        return found

    # Data

    def read(self, nodeid: NodeId, offset: int, size: int) -> bytes:
        if nodeid not in self._read:
            self._note_read(nodeid)
        return super().read(nodeid, offset, size)

    def read_into(self, nodeid: NodeId, offset: int, buffer: memoryview) -> int:
        if nodeid not in self._read:
            self._note_read(nodeid)
        return _read_into(self, nodeid, offset, buffer)

    def source(self, nodeid: NodeId, offset: int, size: int) -> tuple[int, int, int] | None:
        if nodeid not in self._read:
            self._note_read(nodeid)
        return _source(self, nodeid, offset, size)

    def lseek(self, nodeid: NodeId, offset: int, whence: int) -> int:
        self._note_read(nodeid)
        return super().lseek(nodeid, offset, whence)

    def open(self, nodeid: NodeId, flags: int) -> None:
        if flags & os.O_TRUNC:
            self._note_change(nodeid, keeps_data=False)
        super().open(nodeid, flags)

    def write(
        self,
        nodeid: NodeId,
        offset: int,
        data: bytes | memoryview,
        *,
        kill_privileges: bool = False,
    ) -> int:
        if nodeid not in self._written:
            self._note_change(nodeid)
            self._written.add(nodeid)
        return _write(self, nodeid, offset, data, kill_privileges=kill_privileges)

    def fallocate(
        self, nodeid: NodeId, mode: int, offset: int, length: int, *, drop_set_id: int = 0
    ) -> None:
        self._note_change(nodeid)
        super().fallocate(nodeid, mode, offset, length, drop_set_id=drop_set_id)

    def begin_copy_range(
        self,
        source: NodeId,
        source_offset: int,
        target: NodeId,
        target_offset: int,
        length: int,
        *,
        drop_set_id: int = 0,
    ) -> Transfer:
        self._note_read(source)
        self._note_change(target)
        return super().begin_copy_range(
            source, source_offset, target, target_offset, length, drop_set_id=drop_set_id
        )

    def begin_copy(self, nodeid: NodeId) -> BackgroundCopy:
        self._note_change(nodeid)
        return super().begin_copy(nodeid)

    # Attributes

    def setattr(self, nodeid: NodeId, changes: SetAttributes) -> Attributes:
        # The times of a file that has lost its names are sent by the kernel itself, and stored nowhere.
        is_of_nothing = changes[:4] == _ONLY_TIMES and is_gone(self._tree.node(nodeid))
        if not is_of_nothing or changes.kill_privileges:
            self._note_change(nodeid, keeps_data=changes.size != 0)
        return super().setattr(nodeid, changes)

    def getxattr(self, nodeid: NodeId, name: bytes) -> bytes:
        self._note_xattrs(nodeid)
        return super().getxattr(nodeid, name)

    def lacks_capabilities(self, nodeid: NodeId) -> bool:
        self._note_xattrs(nodeid)
        return super().lacks_capabilities(nodeid)

    def lacks_acl(self, nodeid: NodeId) -> bool:
        self._note_xattrs(nodeid)
        return super().lacks_acl(nodeid)

    def listxattr(self, nodeid: NodeId) -> list[bytes]:
        self._note_xattrs(nodeid)
        return super().listxattr(nodeid)

    def setxattr(self, nodeid: NodeId, name: bytes, value: bytes, flags: int) -> None:
        self._note_change(nodeid)
        super().setxattr(nodeid, name, value, flags)

    def removexattr(self, nodeid: NodeId, name: bytes) -> None:
        self._note_change(nodeid)
        super().removexattr(nodeid, name)

    # Names

    def mknod(self, parent: NodeId, name: bytes, mode: int, rdev: int, caller: Caller) -> Entry:
        self._note_name(parent, name)
        return super().mknod(parent, name, mode, rdev, caller)

    def mkdir(self, parent: NodeId, name: bytes, mode: int, caller: Caller) -> Entry:
        self._note_name(parent, name)
        return super().mkdir(parent, name, mode, caller)

    def symlink(self, parent: NodeId, name: bytes, target: bytes, caller: Caller) -> Entry:
        self._note_name(parent, name)
        return super().symlink(parent, name, target, caller)

    def create(self, parent: NodeId, name: bytes, mode: int, flags: int, caller: Caller) -> Entry:
        existing = self._note_name(parent, name)
        if existing is not None:
            self._note(existing, _XATTRS)
        return super().create(parent, name, mode, flags, caller)

    def tmpfile(self, parent: NodeId, mode: int, flags: int, caller: Caller) -> Entry:
        self._note_directories(self._tree.directory(parent))
        return super().tmpfile(parent, mode, flags, caller)

    def link(self, nodeid: NodeId, new_parent: NodeId, new_name: bytes) -> Entry:
        self._note_change(nodeid)
        self._note_name(new_parent, new_name)
        return super().link(nodeid, new_parent, new_name)

    def unlink(self, parent: NodeId, name: bytes) -> None:
        self._note_loss(self._note_name(parent, name))
        super().unlink(parent, name)

    def rmdir(self, parent: NodeId, name: bytes) -> None:
        self._note_loss(self._note_name(parent, name))
        super().rmdir(parent, name)

    def rename(
        self, parent: NodeId, name: bytes, new_parent: NodeId, new_name: bytes, flags: int
    ) -> None:
        moved, target = self._note_name(parent, name), self._note_name(new_parent, new_name)
        self._note_move(moved)
        if flags & RENAME_EXCHANGE:
            self._note_move(target)
        else:
            self._note_loss(target)
        super().rename(parent, name, new_parent, new_name, flags)
