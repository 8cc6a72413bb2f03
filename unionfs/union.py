"""The union: merges layers and implements the `FileSystem` protocol. Synchronous, independent of FUSE."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.copy_up_stats import CopyUpCauses, CopyUpStats
from unionfs.filesystem import DirEntry, Entry
from unionfs.journal_kinds import Kind
from unionfs.layer import (
    Creation,
    Layer,
    SupportsBtime,
    SupportsStatfs,
    SupportsXattrSearch,
    UpperLayer,
)
from unionfs.model import ROOT_NODES, Attributes, Caller, NodeId, SetAttributes, StatFs
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops import attributes, copyup, create, readdir, remove, rename
from unionfs.ops import data as contents
from unionfs.ops.attributes import setattr_
from unionfs.ops.tree import Tree, UnionOptions, error
from unionfs.xattr_names import ACCESS_ACL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unionfs.journal import Journal, Record
    from unionfs.ops.complete_copies import CopyCompletion
    from unionfs.ops.transfers import Transfer

__all__ = ["Union", "UnionOptions"]

_NO_FILE_SYSTEM = StatFs(4096, 4096, 0, 0, 0, 0, 0, 255)


class Union:
    """A tree merged of layers, written to in the upper one. Implements
    `unionfs.filesystem.FileSystem`.

    Args:
        lowers: read-only layers, top first. Closed with the union.
        upper: the layer that takes the writes; None for a read-only union. Closed with the
            union.
        options: see `UnionOptions`.

    Raises:
        OSError: EINVAL if the upper overlaps with a lower, or has files that are incomplete copies
            from other lowers than these.
    """

    def __init__(
        self,
        lowers: Sequence[Layer],
        upper: UpperLayer | None,
        options: UnionOptions = UnionOptions(),  # noqa: B008 - a frozen value
    ) -> None:
        if options.journal is None:
            self._tree = Tree(lowers, upper, options)
            _show_log(self._tree)
        else:
            self._tree = _tree_with_journal(lowers, upper, options, options.journal)
        self._nodes = self._tree.nodes
        self._closed = False
        self._root_lacks_acl = False
        """The kernel keeps the ACL of every inode but the root's, which it makes before it knows of ACLs
        (fuse_init_inode, and since Linux 6.16 __forget_cached_acl)."""
        self._complete_at_end = options.complete_at_end
        stored: Iterable[Layer] = lowers if upper is None else (upper,)
        self._statfs_of = next((each for each in stored if isinstance(each, SupportsStatfs)), None)
        self._btime_of: dict[int, SupportsBtime] = {} if upper is None else {UPPER: upper}
        for position, layer in enumerate(lowers, 1):
            if isinstance(layer, SupportsBtime):
                self._btime_of[position] = layer
        if options.frozen is not None:
            self._btime_of[len(lowers) + 1] = options.frozen
        self.on_freeze: Callable[[bytes], None] | None = None
        """What carries out `request_freeze`."""

    def has_xattrs(self) -> bool:
        """False if no object has an extended attribute or can get one: a session may then refuse them all."""
        layers, view = self._tree.layers, self._tree.shown.view
        if layers.upper is not None or (view is not None and view.has_one_id):
            return True  # with one id an attribute shows the owner that is stored
        return any(
            not isinstance(each, SupportsXattrSearch) or each.has_xattrs() for each in layers.lowers
        )

    # Lookup

    def lookup(self, parent: NodeId, name: bytes) -> Entry | None:
        directory = self._nodes.get(parent)
        if not isinstance(directory, Directory):
            directory = self._tree.directory(parent)
        node = directory.children.get(name)
        if node is None:
            node = self._tree.child(directory, name)
            if node is None:
                return None
        if node.stale:
            self._tree.refresh_attributes(node)
        self._tree.table.remember(node)
        return node

    def remember(self, entry: Entry) -> None:
        if not isinstance(entry, Node):
            raise error(errno.EINVAL)
        if entry.stale:
            self._tree.refresh_attributes(entry)
        self._tree.table.remember(entry)

    def forget(self, nodeid: NodeId, count: int) -> None:
        self._tree.forget(nodeid, count)

    def getattr(self, nodeid: NodeId) -> Attributes:
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        if node.stale:
            self._tree.refresh_attributes(node)
        return node.attributes

    def setattr(self, nodeid: NodeId, changes: SetAttributes) -> Attributes:
        tree = self._tree
        return setattr_(tree, self._nodes.get(nodeid) or tree.node(nodeid), changes)

    def readlink(self, nodeid: NodeId) -> bytes:
        node = self._tree.node(nodeid)
        if not stat.S_ISLNK(node.attributes.mode):
            raise error(errno.EINVAL)
        if node.ref is None:
            raise error(errno.ENOENT)
        return self._tree.layers.layer(node.layer).readlink(node.ref)

    # Names

    def mknod(self, parent: NodeId, name: bytes, mode: int, rdev: int, caller: Caller) -> Entry:
        directory = self._tree.directory(parent)
        if not stat.S_IFMT(mode):
            mode |= stat.S_IFREG
        creation = create.new(self._tree, directory, mode, caller)._replace(rdev=rdev)
        return create.make(self._tree, directory, name, creation)

    def mkdir(self, parent: NodeId, name: bytes, mode: int, caller: Caller) -> Entry:
        directory = self._tree.directory(parent)
        creation = create.new(self._tree, directory, stat.S_IFDIR | stat.S_IMODE(mode), caller)
        return self._refreshed(create.make(self._tree, directory, name, creation))

    def symlink(self, parent: NodeId, name: bytes, target: bytes, caller: Caller) -> Entry:
        directory = self._tree.directory(parent)
        owner = create.new(self._tree, directory, stat.S_IFREG, caller)
        creation = Creation(stat.S_IFLNK | 0o777, owner.uid, owner.gid, target=target)
        return create.make(self._tree, directory, name, creation)

    def link(self, nodeid: NodeId, new_parent: NodeId, new_name: bytes) -> Entry:
        return create.link(
            self._tree, self._tree.node(nodeid), self._tree.directory(new_parent), new_name
        )

    def unlink(self, parent: NodeId, name: bytes) -> None:
        tree = self._tree
        remove.unlink(tree, tree.directory(parent), name)

    def rmdir(self, parent: NodeId, name: bytes) -> None:
        tree = self._tree
        remove.rmdir(tree, tree.directory(parent), name)

    def rename(
        self, parent: NodeId, name: bytes, new_parent: NodeId, new_name: bytes, flags: int
    ) -> None:
        tree = self._tree
        old = tree.directory(parent), name
        rename.rename(tree, old, (tree.directory(new_parent), new_name), flags)

    def create(self, parent: NodeId, name: bytes, mode: int, flags: int, caller: Caller) -> Entry:
        tree = self._tree
        return create.create(tree, tree.directory(parent), name, mode, flags=flags, caller=caller)

    def tmpfile(self, parent: NodeId, mode: int, flags: int, caller: Caller) -> Entry:  # noqa: ARG002 - protocol
        return create.tmpfile(self._tree, self._tree.directory(parent), mode, caller)

    # Data

    def open(self, nodeid: NodeId, flags: int) -> None:
        node = self._tree.node(nodeid)
        if flags & os.O_ACCMODE != os.O_RDONLY and node.layer != UPPER:
            self._tree.copy_up_causes.expect(node.attributes.ino)
        create.open_(self._tree, node, flags)

    def release(self, nodeid: NodeId) -> None:
        """Nothing to do: files are kept open by use, and let go by FORGET."""

    def read(self, nodeid: NodeId, offset: int, size: int) -> bytes:
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        return contents.read(self._tree, node, offset, size)

    def read_into(self, nodeid: NodeId, offset: int, buffer: memoryview) -> int:
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        return contents.read_into(self._tree, node, offset, buffer)

    def source(self, nodeid: NodeId, offset: int, size: int) -> tuple[int, int, int] | None:
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        return contents.source(self._tree, node, offset, size)

    def write(
        self,
        nodeid: NodeId,
        offset: int,
        data: bytes | memoryview,
        *,
        kill_privileges: bool = False,
    ) -> int:
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        return contents.write(self._tree, node, offset, data, kill_privileges)

    def fsync(self, nodeid: NodeId, datasync: bool) -> None:
        from unionfs.ops import transfers

        transfers.run(self.begin_fsync(nodeid, datasync))

    def flush(self, nodeid: NodeId) -> None:
        from unionfs.ops import transfers

        if (transfer := self.begin_flush(nodeid)) is not None:
            transfers.run(transfer)

    def fallocate(
        self, nodeid: NodeId, mode: int, offset: int, length: int, *, drop_set_id: int = 0
    ) -> None:
        contents.fallocate(
            self._tree, self._tree.node(nodeid), mode, offset, length, drop_set_id=drop_set_id
        )

    def lseek(self, nodeid: NodeId, offset: int, whence: int) -> int:
        return contents.lseek(self._tree, self._tree.node(nodeid), offset, whence)

    def copy_file_range(
        self,
        source: NodeId,
        source_offset: int,
        target: NodeId,
        target_offset: int,
        length: int,
        *,
        drop_set_id: int = 0,
    ) -> int:
        from unionfs.ops import transfers

        return transfers.run(
            self.begin_copy_range(
                source, source_offset, target, target_offset, length, drop_set_id=drop_set_id
            )
        )

    # The same for a session with threads: begin, `Transfer.run` in any thread, `Transfer.finish`

    def begin_fsync(self, nodeid: NodeId, datasync: bool) -> Transfer:
        from unionfs.ops import transfers

        return transfers.begin_fsync(self._tree, self._tree.node(nodeid), datasync)

    def begin_flush(self, nodeid: NodeId) -> Transfer | None:
        from unionfs.ops import transfers

        return transfers.begin_flush(self._tree, self._tree.node(nodeid))

    def begin_syncfs(self) -> Transfer:
        from unionfs.ops import transfers

        return transfers.begin_syncfs(self._tree)

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
        from unionfs.ops import transfers

        tree = self._tree
        return transfers.begin_copy(
            tree,
            (tree.node(source), source_offset),
            (tree.node(target), target_offset),
            length,
            drop_set_id=drop_set_id,
        )

    # Listings

    def readdir(self, nodeid: NodeId, cookie: int) -> Iterator[DirEntry]:
        # `remember` refreshes stale attributes.
        for each in readdir.readdir(self._tree, self._tree.directory(nodeid), cookie):
            yield DirEntry(*each)

    def readdirplus(
        self, nodeid: NodeId, cookie: int, room: int, fixed: int
    ) -> list[tuple[int, bytes, NodeId, Attributes]]:
        return readdir.fill(self._tree, self._tree.directory(nodeid), cookie, room, fixed)

    def parent(self, nodeid: NodeId) -> Attributes:
        directory = self._tree.directory(nodeid)
        above = directory.parent or directory
        if above.stale:
            self._tree.refresh_attributes(above)
        return above.attributes

    # Extended attributes

    def getxattr(self, nodeid: NodeId, name: bytes) -> bytes:
        try:
            return attributes.get_xattr(self._tree, self._tree.node(nodeid), name)
        except OSError as refused:
            if name == ACCESS_ACL and nodeid in ROOT_NODES and refused.errno == errno.ENODATA:
                self._root_lacks_acl = True
            raise

    def lacks_acl(self, nodeid: NodeId) -> bool:
        return nodeid in ROOT_NODES and self._root_lacks_acl

    def lacks_capabilities(self, nodeid: NodeId) -> bool:
        node = self._nodes.get(nodeid)
        if node is None:
            return False
        if node.layer != UPPER:
            self._tree.copy_up_causes.expect(node.attributes.ino)
        return node.has_capabilities is False

    def listxattr(self, nodeid: NodeId) -> list[bytes]:
        return attributes.xattr_names(self._tree, self._tree.node(nodeid))

    def setxattr(self, nodeid: NodeId, name: bytes, value: bytes, flags: int) -> None:
        self._root_lacks_acl = False
        attributes.set_xattr(self._tree, self._tree.node(nodeid), name, value, flags)

    def removexattr(self, nodeid: NodeId, name: bytes) -> None:
        attributes.remove_xattr(self._tree, self._tree.node(nodeid), name)

    def adopt(self, parent: NodeId, prepared: bytes, name: bytes) -> None:
        from unionfs.ops import adopt

        adopt.adopt(self._tree, self._tree.directory(parent), prepared, name)

    # The rest

    @property
    def defers_errors(self) -> bool:
        upper = self._tree.upper
        return upper is not None and upper.defers_errors

    def statfs(self) -> StatFs:
        """Of the file system that takes the writes; without one, of the topmost layer's."""
        return _NO_FILE_SYSTEM if self._statfs_of is None else self._statfs_of.statfs()

    def statx(self, nodeid: NodeId) -> tuple[Attributes, int | None]:
        node = self._tree.node(nodeid)
        known = self.getattr(nodeid)
        layer = self._btime_of.get(node.layer)
        if layer is None:
            return known, None
        fd = -1 if node.backing is None or node.layer != UPPER else node.backing.fd
        if node.ref is None and fd < 0:
            return known, None
        return known, layer.btime(node.ref, fd)

    def after_reply(self) -> None:
        self._tree.after_reply()

    def destroy(self) -> None:
        if not self._closed:
            self._closed = True
            if self._complete_at_end:
                try:
                    if self._tree.upper is not None:
                        self._tree.upper.announce_end()
                    self.complete_copies()
                except OSError:
                    # Incomplete copies stay marked, and the next mount goes on with them.
                    pass
            self._tree.close()

    # Copy-up by a session that runs copies in threads

    def known(self, parent: NodeId, name: bytes) -> NodeId:
        directory = self._nodes.get(parent)
        if not isinstance(directory, Directory):
            return NodeId(0)
        node = directory.children.get(name)
        if node is None and name in directory.unmaterialized:
            node = self._tree.listings.materialize(directory, name)
        return node.nodeid if node is not None and node.held else NodeId(0)

    def pending_copy(self, nodeid: NodeId, *, times_only: bool = False) -> int:
        """How many bytes a write to this file, or a change of its times, would copy first; 0 if it
        is in the upper, or is no file."""
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        if node.layer == UPPER or not stat.S_ISREG(node.attributes.mode):
            return 0
        if times_only and attributes.is_gone(node):
            return 0
        return 0 if self._tree.lazy_copies.applies(node) else node.attributes.size

    def begin_copy(self, nodeid: NodeId) -> copyup.BackgroundCopy:
        """Begin to copy up a file of a lower: then `BackgroundCopy.copy`, in any thread, then
        `publish` or `abandon`. Until then the file may be read, renamed and removed, but must not be
        written to."""
        return copyup.BackgroundCopy(
            self._tree, copyup.plan_copy(self._tree, self._tree.node(nodeid))
        )

    # Freezing

    def request_freeze(self, request: bytes) -> None:
        """As of `unionfs.filesystem.Mount`."""
        if self.on_freeze is None:
            raise error(errno.EOPNOTSUPP)
        self.on_freeze(request)

    def freeze(self, saved: bytes, move: Callable[[], tuple[bytes, bytes]]) -> None:
        """Put a new upper over the one that takes the writes, which becomes a layer that is only read, with all that is
        below it. To be called between two operations.

        Args:
            saved: a directory to be made, for what another upper over the same layers needs: see
                `unionfs.directory.frozen`.
            move: moves the tree of the upper elsewhere on its file system, and makes an empty directory in its place;
                returns the paths of both.

        Raises:
            OSError: EIO if a lazy copy cannot be completed; as `move` does. The union goes on with its upper.
        """
        from unionfs.ops import freeze

        self._tree.layers.writable()
        self.complete_copies()
        freeze.prepare(self._tree, saved)
        freeze.freeze(self._tree, *move())
        frozen = self._tree.layers.frozen
        if frozen is not None:
            self._btime_of[self._tree.layers.frozen_at] = frozen

    def take_root(self) -> None:
        """Give the top directory of a new upper over frozen ones the attributes of theirs. Raises OSError."""
        from unionfs.ops import freeze

        freeze.take_root(self._tree)

    # Lazy copies

    def complete_copies(self) -> int:
        """Copy what lazy copies have left: then the upper can do without the lowers. Returns the
        number of bytes.

        Raises:
            OSError: EIO if a lower is no longer what it was. The other files are complete then.
        """
        completion = self.begin_complete_copies()
        while (transfer := completion.next()) is not None:
            raised: OSError | None = None
            try:
                transfer.run()
            except OSError as failed:
                raised = failed
            completion.done(transfer, raised)
        if completion.failed is not None:
            raise completion.failed
        return completion.copied

    def begin_complete_copies(self) -> CopyCompletion:
        from unionfs.ops.complete_copies import CopyCompletion

        return CopyCompletion(self._tree)

    def pending(self) -> int:
        """How many bytes `finish` would add to the upper, about: for quotas."""
        from unionfs.ops import lazy_copyup

        return lazy_copyup.pending(self._tree)

    @property
    def copy_up_stats(self) -> CopyUpStats:
        """The statistics of copy-up since the mount."""
        return self._tree.copy_up_stats

    @property
    def copy_up_causes(self) -> CopyUpCauses:
        """The processes that cause copy-ups."""
        return self._tree.copy_up_causes

    def path(self, nodeid: NodeId) -> bytes | None:
        """A path of an object, absolute in the union; None if it has lost its names."""
        node = self._tree.node(nodeid)
        return None if node.parent is None and nodeid not in ROOT_NODES else node.path()

    def place(self, nodeid: NodeId) -> tuple[NodeId, bytes] | None:
        """The directory and the name of an object that the kernel knows; None if it has none."""
        node = self._nodes.get(nodeid) or self._tree.node(nodeid)
        parent = node.parent
        return None if parent is None else (parent.nodeid, node.name)

    def know_callers(self, ask: Callable[[], int]) -> None:
        self._tree.copy_up_causes.ask = ask

    def name_callers(self, name_of: Callable[[int], str]) -> None:
        """`name_of` returns the name of a process of the PID namespace that the session's numbers
        belong to, if that is not the server's."""
        self._tree.copy_up_causes.name_of = name_of

    @property
    def changed(self) -> frozenset[int]:
        """`st_ino` of the objects whose contents or attributes have been changed since the
        mount."""
        return frozenset(self._tree.changed)

    def changed_paths(self) -> Iterator[bytes]:
        """Where in the upper those objects are that are left of `changed`, by path from its root,
        `/` first; not the names that have gone. A directory comes before what is in it."""
        from unionfs.ops import tree_changes

        return tree_changes.changed_paths(self._tree)

    def _refreshed(self, node: Node) -> Node:
        return self._tree.refresh_attributes(node) if node.stale else node


def _show_log(tree: Tree) -> None:
    if tree.upper is not None and (log := tree.upper.metadata_log()):
        from unionfs.ops.deferred_metadata import begin_deferring

        begin_deferring(tree, log)


def _tree_with_journal(
    lowers: Sequence[Layer], upper: UpperLayer | None, options: UnionOptions, journal: Journal
) -> Tree:
    """A tree that goes on where a killed server was, if there was one."""
    from unionfs.ops.journal_records import JournalRecords

    records = JournalRecords(journal)
    tree = Tree(lowers, upper, options, records.stashed.values())
    _show_log(tree)

    def live() -> Iterator[Record]:
        from unionfs.ops.recovery import live_records

        return live_records(tree)

    journal.live = live
    if records.is_empty:
        # From here on there is a server to continue.
        journal.add(Kind.FORGOTTEN, 0)
        return tree
    from unionfs.ops.recovery import Recovery

    recovery = Recovery(tree, records)
    tree.recovery = recovery
    recovery.restore_nameless()
    return tree
