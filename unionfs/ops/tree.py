"""The state that all operations on a union share: its layers, nodes and open files."""

from __future__ import annotations

import errno
import gc
import os

from unionfs.copy_up_stats import CopyUpCauses, CopyUpStats
from unionfs.journal_kinds import Kind
from unionfs.layer import Layer, LayerEntry, SupportsRelease, UpperLayer
from unionfs.light_types import NamedTuple
from unionfs.model import ROOT_NODE, Attributes, with_nlink, with_owner
from unionfs.nodes import UPPER, Directory, Node, NodeTable
from unionfs.ops.layer_stack import LayerStack
from unionfs.ops.listings import Listings
from unionfs.ops.make_node import NodeMaker, show_lazy
from unionfs.ops.open_files import LazyCopies, OpenFiles
from unionfs.ops.shown_attributes import ShownAttributes
from unionfs.ownership import IdView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from unionfs.directory.chain import UpperChain
    from unionfs.journal import Journal
    from unionfs.light_types import Protocol
    from unionfs.nodes import Stream
    from unionfs.ops.first_seen import FirstSeen

    class Restoring(Protocol):
        """Finds the nodes of numbers that another server gave (`ops.recovery`)."""

        def restore(self, nodeid: int) -> Node: ...
        def stream(self, directory: Directory) -> Stream | None: ...

    class Deferring(Protocol):
        """Changes of metadata that are logged (`ops.deferred_metadata`)."""

        nodes: dict[Node, None]

        def can_take(self, node: Node) -> bool: ...
        def change(self, node: Node, attributes: Attributes) -> None: ...
        def note_copied(self, node: Node) -> None: ...
        def kept(self, nodeid: int, count: int) -> int: ...
        def show_waiting(self, directory: Directory) -> None: ...
        def show_all(self) -> None: ...
        def empty_log(self) -> None: ...


NAME_MAX = 255

_PROBES = 4
"""Names of a small directory that are looked up one by one before its whole listing is read."""

_SMALL = 4096
"""Bytes of a small directory: a block of ext4. In a larger one, whose listing takes longer, one more
name is looked up first for each `1 << _SHIFT` bytes."""

_SHIFT = 7

_KEPT_IDLE = 4096
"""Nodes of a directory without a reference by the kernel that are kept while others have one."""


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class UnionOptions(NamedTuple):
    """How a union behaves. The defaults suit an upper that only this union reads."""

    view: IdView | None = None
    """Which ids exist inside the mount; None: all do."""
    redirect: bool = True
    """Whether directories of a lower can be renamed, by an attribute that only this union reads. If
    not, renaming one is EXDEV, as in kernel overlayfs, and the kernel can read the upper (under
    `Ownership.REAL`)."""
    descriptors: int = 512
    """How many files are kept open, besides those that only a descriptor leads to."""
    volatile: bool = False
    """Copies are not synced: faster, and possibly incomplete after a loss of power."""
    own_numbers: bool = False
    """The layers' own inode numbers are unique over all of them, and are shown unchanged. Only for a
    union without an upper, which has to recognize its lowers by the composed numbers."""
    static_nlink: bool = False
    """Directories are shown with one link, so that their subdirectories are not counted."""
    lazy_min_size: int | None = None
    """Files of at least this many bytes are copied up lazily where the data cannot be shared
    (`unionfs.lazy.file`). Until all copies are complete, only this union, with these lowers, can
    read the upper. None: never."""
    complete_at_end: bool = False
    """`Union.destroy` completes lazy copies. A write is then ENOSPC if there would be no room for
    them."""
    background_rate: int | None = None
    """Bytes per second at which a thread completes lazy copies, as long as the file system does not
    become full; None: no thread."""
    defers_metadata: bool = False
    """Whether chmod(2), chown(2) and utimensat(2) of files that only a lower has are written to a log
    of the upper, and the files copied up when something else changes (`ops.deferred_metadata`). Then
    only this union, with these lowers, can read the upper."""
    notes_first_seen: bool = False
    """Whether the upper keeps what was seen of what it takes over or hides (`unionfs.logs.first_seen`): for a lower that
    others may change."""
    frozen: UpperChain | None = None
    """The former uppers of this union, merged (`unionfs.directory.chain`): between the upper and the lowers."""
    journal: Journal | None = None
    """What another server of the mount will need if this one is killed; with what one has left."""


class Tree:
    """The layers, the nodes and the open files of one union. `lowers`: top first; `kept_stashes`: what
    another server of the mount has stashed."""

    def __init__(
        self,
        lowers: Sequence[Layer],
        upper: UpperLayer | None,
        options: UnionOptions,
        kept_stashes: Collection[bytes] = (),
    ) -> None:
        self.upper = upper
        self.redirect = options.redirect
        self.volatile = options.volatile
        self.files = OpenFiles(options.descriptors)
        self.changed: set[int] = set()
        """`st_ino` of what has been changed in the upper since the mount."""
        self.copy_up_causes = CopyUpCauses()
        self.copy_up_stats = CopyUpStats()
        self.touched: Directory | None = None
        """The directory in which a name was last added or removed."""
        self.lazy_copies = LazyCopies(
            lowers,
            options.lazy_min_size,
            background_rate=options.background_rate,
            must_complete=options.complete_at_end,
        )
        self.journal = options.journal
        self.first_seen: FirstSeen | None = None
        if options.notes_first_seen and upper is not None:
            from unionfs.ops.first_seen import FirstSeen

            self.first_seen = FirstSeen(upper, len(lowers) + 1)
        self.recovery: Restoring | None = None
        if upper is not None:
            upper.refuse_overlap(lowers)
            upper.clean(kept_stashes)
            if upper.leaves_names:
                self.files.forbid_pins()
            # A copy must be known to be complete before it takes the original's place.
            self.volatile = options.volatile and not upper.defers_errors
            self.lazy_copies.require_lowers(upper)
        if not options.own_numbers:
            for tag, layer in enumerate(reversed(lowers), 1):
                layer.number_from(tag)
            if upper is not None:
                upper.number_from(0)
        frozen = options.frozen
        self.layers = LayerStack(lowers, upper, frozen)
        self.shown = ShownAttributes(options.view, static_nlink=options.static_nlink)
        self.node_maker = NodeMaker(upper, self.lazy_copies, self.shown)
        self.root = self._make_root()
        self.node_maker.journal = self.journal
        self.table = NodeTable(self.root, self.journal)
        self.nodes = self.table.nodes
        self.listings = Listings(self.layers, self.table, self.node_maker, self.shown)
        every: list[Layer] = [*lowers] if upper is None else [*lowers, upper]
        if frozen is not None:
            every.append(frozen)
        self.defers_metadata = options.defers_metadata
        self.deferred: Deferring | None = None
        """None: no file shows a deferred change, and the log is empty."""
        self._releasing = [layer for layer in every if isinstance(layer, SupportsRelease)]

    def _make_root(self) -> Directory:
        roots = self.layers.roots()
        if not roots:
            raise OSError(errno.EINVAL, "a union needs a layer")
        position, top = roots[0]
        root = Directory(None, b"", position, top.ref, top.attributes)
        root.upper = top.ref if position == UPPER else None
        root.lowers = tuple((number, entry.ref) for number, entry in roots if number != UPPER)
        self.shown.set_with_ino(root, top.attributes, ROOT_NODE)
        root.stale = True
        return root

    # Nodes

    def node(self, nodeid: int) -> Node:
        """The node of this number. Raises ESTALE if the kernel holds no reference to it."""
        node = self.nodes.get(nodeid)
        if node is None:
            announced = self.table.announced.get(nodeid)
            if announced is None:
                if self.recovery is not None:
                    return self.recovery.restore(nodeid)
                raise error(errno.ESTALE)
            return self.listings.materialize(*announced)
        return node

    def directory(self, nodeid: int) -> Directory:
        """The directory of this number. Raises ENOTDIR for anything else."""
        node = self.nodes.get(nodeid)
        if node is None:
            node = self.node(nodeid)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        return node

    def child(self, directory: Directory, name: bytes) -> Node | None:
        """The object of this name; None if there is none."""
        node = directory.children.get(name)
        if node is not None:
            return node
        if name in directory.unmaterialized:
            return self.listings.materialize(directory, name)
        if len(name) > NAME_MAX:
            raise error(errno.ENAMETOOLONG)
        if directory.complete:
            return None
        directory.probes += 1
        size = directory.attributes[6]
        if directory.probes > (_PROBES if size <= _SMALL else size >> _SHIFT):
            try:
                self.listings.load(directory)
            except PermissionError:
                # Searching is allowed where reading is not (path_resolution(7)): go on probing.
                directory.probes = -(1 << 62)
            else:
                return self.child(directory, name)
        return self._probe(directory, name)

    def existing(self, directory: Directory, name: bytes) -> Node:
        """The object of this name. Raises ENOENT if there is none."""
        node = self.child(directory, name)
        if node is None:
            raise error(errno.ENOENT)
        return node

    def _probe(self, directory: Directory, name: bytes) -> Node | None:
        found = self.layers.find(directory, name)
        if not found:
            return None
        node = self.node_maker.make_node(directory, name, found)
        directory.insert(name, node, is_new=False)
        if self.deferred is not None:
            self.deferred.show_waiting(directory)
        return node

    def add_from_upper(self, directory: Directory, name: bytes, entry: LayerEntry) -> None:
        """A name of the upper is known that is neither a directory nor a whiteout."""
        if name in directory.children:
            return
        node = self.node_maker.make_node(directory, name, [(UPPER, entry)])
        directory.insert(name, node, is_new=False)
        if self.deferred is not None:
            self.deferred.show_waiting(directory)

    def is_referred_to(self, node: Node) -> bool:
        """Whether the kernel is known to refer to a node: one with a deferred change is held all the
        same."""
        held = self.deferred is not None and node in self.deferred.nodes
        return node.lookups > held

    # Attributes

    def refresh_attributes(self, node: Node) -> Node:
        """Bring stale attributes up to date. If that fails they stay stale."""
        backing, known, upper = node.backing, node.attributes, self.upper
        if backing is not None and backing.writable and node.owner is None and upper is not None:
            # A file of the upper that is open and whole, which is what most are.
            fresh = upper.refresh(None, backing.fd, known)
            if fresh[3:5] == known[3:5]:
                node.attributes = fresh
            else:
                self.shown.set(node, fresh)
            node.stale = False
            return node
        if node.owner is not None:
            known = with_owner(known, known.mode, *node.owner)
        if isinstance(node, Directory):
            known = self._refresh_directory(node, known)
        elif node.layer == UPPER and (node.ref is not None or node.backing is not None):
            fd = -1 if node.backing is None else node.backing.fd
            if node.lazy is None:
                known = self.layers.writable().refresh(node.ref, fd, known)
            else:
                with node.lazy.lock:
                    known = self.layers.writable().refresh(node.ref, fd, known)
        elif self.is_unread(node):
            known = self.layers.refresh_frozen(node.ref, known)
        if known is not node.attributes:
            self.shown.set(node, known)
            if node.lazy is not None:
                show_lazy(node)
        node.stale = False
        return node

    def is_unread(self, node: Node) -> bool:
        """Whether a file that is not a directory was written to before the upper was frozen, and its attributes have not been
        read since. One that loses its last name, or whose metadata change, is read before."""
        return (
            node.stale
            and node.layer == self.layers.frozen_at
            and node.parent is not None
            and (self.deferred is None or node not in self.deferred.nodes)
        )

    def _refresh_directory(self, node: Directory, known: Attributes) -> Attributes:
        if node.parent is None and node is not self.root:
            return with_nlink(known, 0)
        if node.upper is not None:
            known = self.layers.writable().refresh(node.upper, -1, known)
        elif node.layer == self.layers.frozen_at:
            known = self.layers.refresh_frozen(node.ref, known)
        if not node.complete and node.is_merged:
            try:
                self.listings.load(node)
            except PermissionError:
                return known
        if node.complete and known[2] != 2 + node.subdirs:
            known = with_nlink(known, 2 + node.subdirs)
        return known

    def touch(self, directory: Directory) -> None:
        """A name has come or gone."""
        directory.stale = True
        self.touched = directory

    # Forgetting

    def forget(self, nodeid: int, count: int) -> None:
        if self.deferred is not None:
            count = self.deferred.kept(nodeid, count)
            if not count:
                return
        if nodeid in self.table.announced:
            directory = self.table.forget_announced(nodeid)
            if directory.live == 0:
                self._drop(directory)
        else:
            self._forget_node(nodeid, count)
        if self.table.has_emptied():
            self._shrink()

    def _forget_node(self, nodeid: int, count: int) -> None:
        node = self.table.forget(nodeid, count)
        if node is None:
            return
        parent, backing = node.parent, node.backing
        directories = (parent,) if node.aliases is None else tuple(node.directories())
        if parent is None or (backing is not None and backing.pinned and node.ref is not None):
            self._release(node)
        if isinstance(node, Directory):
            self._drop(node)
        for directory in directories:
            if directory is not None:
                if directory.live == 0:
                    self._drop(directory)
                elif len(directory.children) > _KEPT_IDLE + 8 * directory.live:
                    self._drop_idle_names(directory)

    def _shrink(self) -> None:
        """Return memory after most nodes were forgotten. The allocator takes memory for small objects
        in pieces of a megabyte, and one object keeps a piece: so idle listings and cached descriptors
        are dropped too."""
        from unionfs.syscalls.memory import malloc_trim

        self.table.shrink()
        for node in list(self.nodes.values()):
            if isinstance(node, Directory) and node.live == 0:
                self._drop(node, is_kept=False)
        for layer in self._releasing:
            layer.release_memory()
        # A full collection also empties the interpreter's free lists of tuples and the like.
        gc.collect()
        malloc_trim(0)

    def _release(self, node: Node) -> None:
        self.files.forget(node)
        if node.stash is not None:
            self.layers.writable().drop_stash(node.stash)
            node.stash = None
        if self.journal is not None and node.parent is None:
            self.journal.add(Kind.FORGOTTEN, node.nodeid)
        if self.node_maker.linked.get(node.attributes.ino) is node:
            del self.node_maker.linked[node.attributes.ino]
        if node.lazy is not None and node.attributes.nlink == 0:
            self.lazy_copies.end(node.attributes.ino, node.lazy)

    def _drop(self, directory: Directory, *, is_kept: bool = True) -> None:
        """Drop a listing of which the kernel knows no name; if `is_kept`, not yet a short one of a
        directory that the kernel knows."""
        if is_kept and not directory.is_droppable():
            self.listings.note_idle(directory)
            return
        if directory.lookups == 0:
            directory.stream = None
        for name, node in directory.children.items():
            self._drop_idle_node(directory, name, node)
        directory.children.clear()
        directory.unmaterialized = {}
        directory.below = None
        directory.complete = False
        directory.probes = 0
        directory.subdirs = 0

    def _drop_idle_node(self, directory: Directory, name: bytes, node: Node) -> None:
        """A name that the kernel does not refer to leaves its listing. The caller removes it there."""
        if isinstance(node, Directory):
            return
        if node.aliases or node.attributes.nlink > 1:
            node.drop_name(directory, name)
            if node.parent is None:
                self._release(node)
        elif node.backing is not None or self.files.lost:
            self.files.forget(node)

    def _drop_idle_names(self, directory: Directory) -> None:
        """Keep only the names of a large directory that the kernel refers to: else it could let the
        server hold a million nodes by holding one of them. The others are looked up again."""
        announced = self.table.announced
        for name, attributes in list(directory.unmaterialized.items()):
            if announced.get(attributes[0], (None,))[0] is directory:
                self.listings.materialize(directory, name)
        directory.unmaterialized = {}
        children = directory.children
        for name, node in list(children.items()):
            if not node.held:
                self._drop_idle_node(directory, name, node)
                del children[name]
        directory.complete = False
        directory.probes = 0
        directory.subdirs = sum(isinstance(node, Directory) for node in children.values())

    # After and between requests

    def after_reply(self) -> None:
        """Do what need not delay a reply: close excess files, drop excess listings, and refresh the
        attributes of the directory that has changed, which the kernel asks for the next time it
        passes through it (fuse_dir_changed, fs/fuse/dir.c)."""
        files = self.files
        if len(files.kept) > files.bound:
            files.close_excess()
        if files.unwritten:
            files.write_out()
        if self.listings.has_excess:
            self.drop_excess_listings()
        directory, upper = self.touched, self.upper
        if directory is None:
            return
        self.touched = None
        if not directory.complete or directory.upper is None or directory.owner is not None:
            return
        known = directory.attributes
        try:
            if upper is None or directory.parent is None:
                self.refresh_attributes(directory)
                return
            fresh = upper.refresh(directory.upper, -1, known)
        except OSError:
            # The request that needs the attributes reports it.
            return
        if fresh[2] != 2 + directory.subdirs:
            fresh = with_nlink(fresh, 2 + directory.subdirs)
        if self.shown.static_nlink or fresh[3:5] != known[3:5]:
            self.shown.set(directory, fresh)
        else:
            directory.attributes = fresh
        directory.stale = False

    def drop_excess_listings(self) -> None:
        """Drop the oldest listings that the kernel knows no name of, if there are too many."""
        if self.listings.has_excess:
            for each in self.listings.excess():
                if each.live == 0:
                    self._drop(each, is_kept=False)

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.lazy_copies.close()
        for node in list(self.files.kept):
            self.files.close(node)
        for node in list(self.nodes.values()):
            self.files.close(node)
        self.layers.close()
