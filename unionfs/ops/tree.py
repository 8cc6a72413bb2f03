"""The merged tree: finding nodes, and the state that all operations share."""

from __future__ import annotations

import errno
import gc
import os
import stat

from unionfs.copy_up_stats import Causes, Ledger
from unionfs.layer import Layer, LayerEntry, Ref, UpperLayer
from unionfs.merge import Found, merge_entries
from unionfs.model import ROOT_NODE, Attributes, with_nlink, with_owner
from unionfs.nodes import UPPER, Directory, Node, NodeTable
from unionfs.ops.adoption import Adoption, show_lazy
from unionfs.ops.listings import load, wake
from unionfs.ops.open_files import LazyFiles, OpenFiles
from unionfs.ownership import IdView
from unionfs.syscalls.memory import malloc_trim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAME_MAX = 255

_PROBES = 4
"""So many names of a small directory are looked up one by one before its whole listing is read."""

_SMALL = 4096
"""Bytes of a small directory: a block of ext4. Of a larger one, whose listing takes longer, one name
more is looked up for each `1 << _SHIFT`."""

_SHIFT = 7


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Tree:
    """The layers, the nodes and the open files.

    Args:
        lowers: read-only layers, top first.
        upper: the layer that takes the writes; without one every change is EROFS.
        redirect: whether directories that live in a lower can be renamed, by an attribute that
            only this union reads.
        descriptors: how many files are kept open.
        volatile: whether copies need not survive a loss of power.
        view, static_nlink: how objects are shown: see `Adoption`.
        own_numbers: whether the layers' inode numbers are shown as they are.
        lazy: from how many bytes on a file is copied up lazily; None: never.
    """

    def __init__(
        self,
        lowers: Sequence[Layer],
        upper: UpperLayer | None,
        *,
        view: IdView | None,
        redirect: bool,
        descriptors: int,
        volatile: bool,
        own_numbers: bool = False,
        static_nlink: bool = False,
        lazy: int | None = None,
    ) -> None:
        self.upper = upper
        self.lowers = tuple(lowers)
        self.view = view
        self.redirect = redirect
        self.volatile = volatile
        self.files = OpenFiles(descriptors)
        self.changed: set[int] = set()
        """`st_ino` of what has been changed in the upper since the mount."""
        self.lazies = LazyFiles(self.lowers, lazy)
        self.causes = Causes()
        self.touched: Directory | None = None
        """In which a name has come or gone last."""
        self.ledger = Ledger()
        if upper is not None:
            upper.refuse_overlap(self.lowers)
            upper.clean()
            self.lazies.require_lowers(upper)
        if not own_numbers:
            for tag, layer in enumerate(reversed(self.lowers), 1):
                layer.number_from(tag)
            if upper is not None:
                upper.number_from(0)
        adoption = Adoption(
            upper,
            self.lazies,
            view=view,
            static_nlink=static_nlink,
        )
        self.linked, self.index = adoption.linked, adoption.index
        self.adopt, self.adopt_new = adoption.adopt, adoption.adopt_new
        self._show, self.shows_owner = adoption.show, adoption.shows_owner
        self.set_attributes, self.stored_ids = adoption.set_attributes, adoption.stored_ids
        self._static_nlink = static_nlink
        self.root = self._make_root()
        self.table = NodeTable(self.root)
        self.nodes = self.table.nodes

    def _make_root(self) -> Directory:
        roots: Found = [(i + 1, layer.root()) for i, layer in enumerate(self.lowers)]
        if self.upper is not None:
            roots.insert(0, (UPPER, self.upper.root()))
        if not roots:
            raise OSError(errno.EINVAL, "a union needs a layer")
        position, top = roots[0]
        root = Directory(None, b"", position, top.ref, top.attributes)
        root.upper = top.ref if position == UPPER else None
        root.lowers = tuple((number, entry.ref) for number, entry in roots if number != UPPER)
        self._show(root, top.attributes, ROOT_NODE)
        root.stale = True
        return root

    # Nodes

    def node(self, nodeid: int) -> Node:
        node = self.nodes.get(nodeid)
        if node is None:
            told = self.table.told.get(nodeid)
            if told is None:
                raise error(errno.ESTALE)
            return wake(self, *told)
        return node

    def directory(self, nodeid: int) -> Directory:
        node = self.nodes.get(nodeid)
        if node is None:
            node = self.node(nodeid)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        return node

    def layer(self, position: int) -> Layer:
        if position == UPPER:
            return self.writable()
        return self.lowers[position - 1]

    def writable(self) -> UpperLayer:
        """The upper; EROFS if there is none."""
        if self.upper is None:
            raise error(errno.EROFS)
        return self.upper

    def child(self, directory: Directory, name: bytes) -> Node | None:
        node = directory.children.get(name)
        if node is not None:
            return node
        if name in directory.dormant:
            return wake(self, directory, name)
        if len(name) > NAME_MAX:
            raise error(errno.ENAMETOOLONG)
        if directory.complete:
            return None
        directory.probes += 1
        size = directory.attributes[6]
        if directory.probes > (_PROBES if size <= _SMALL else size >> _SHIFT):
            try:
                load(self, directory)
            except PermissionError:
                # Searching is allowed where reading is not (path_resolution(7)): go on probing.
                directory.probes = -(1 << 62)
            else:
                return self.child(directory, name)
        return self._probe(directory, name)

    def existing(self, directory: Directory, name: bytes) -> Node:
        """The child of this name; ENOENT if there is none."""
        node = self.child(directory, name)
        if node is None:
            raise error(errno.ENOENT)
        return node

    def _probe(self, directory: Directory, name: bytes) -> Node | None:
        found = merge_entries(self._said(directory, name), self.resolve)
        if not found:
            return None
        node = self.adopt(directory, name, found)
        directory.insert(name, node, is_new=False)
        return node

    def _said(self, directory: Directory, name: bytes) -> Iterator[tuple[int, LayerEntry]]:
        if directory.upper is not None:
            entry = self.writable().lookup(directory.upper, name)
            if entry is not None:
                yield UPPER, entry
        yield from self._said_below(directory.lowers, name)

    def _said_below(
        self, lowers: Iterable[tuple[int, Ref]], name: bytes
    ) -> Iterator[tuple[int, LayerEntry]]:
        for position, ref in lowers:
            entry = self.lowers[position - 1].lookup(ref, name)
            if entry is not None:
                yield position, entry

    def below(self, directory: Directory, name: bytes) -> LayerEntry | None:
        """What the lowers alone show under this name."""
        if not directory.lowers:
            return None
        if directory.below is not None and name not in directory.below:
            return None
        found = merge_entries(self._said_below(directory.lowers, name), self.resolve)
        return found[0][1] if found else None

    def resolve(self, path: bytes, position: int) -> Found:
        """What is at `path`, absolute, in the layers below `position`."""
        found: Found = [
            (i + 1, layer.root()) for i, layer in enumerate(self.lowers) if i + 1 > position
        ]
        for name in path.split(b"/"):
            if name:
                lowers = [(number, entry.ref) for number, entry in found]
                found = merge_entries(self._said_below(lowers, name), self.resolve)
                if not found or not stat.S_ISDIR(found[0][1].attributes.mode):
                    return []
        return found

    def find_below(self, path: bytes) -> tuple[int, LayerEntry] | None:
        """What the lowers alone show at `path`, absolute in them: (position, entry)."""
        above, _, name = path.rpartition(b"/")
        lowers = [(number, entry.ref) for number, entry in self.resolve(above, UPPER)]
        found = merge_entries(self._said_below(lowers, name), self.resolve)
        return found[0] if found else None

    # Attributes

    def settle(self, node: Node) -> Node:
        """Bring stale attributes up to date. If that fails they stay stale."""
        backing, known, upper = node.backing, node.attributes, self.upper
        if backing is not None and backing.writable and node.owner is None and upper is not None:
            # A file of the upper that is open and whole, which is what most are.
            fresh = upper.refresh(None, backing.fd, known)
            if fresh[3:5] == known[3:5]:
                node.attributes = fresh
            else:
                self.set_attributes(node, fresh)
            node.stale = False
            return node
        if node.owner is not None:
            known = with_owner(known, known.mode, *node.owner)
        if isinstance(node, Directory):
            known = self._settle_directory(node, known)
        elif node.layer == UPPER and (node.ref is not None or node.backing is not None):
            fd = -1 if node.backing is None else node.backing.fd
            if node.lazy is None:
                known = self.writable().refresh(node.ref, fd, known)
            else:
                with node.lazy.lock:
                    known = self.writable().refresh(node.ref, fd, known)
        if known is not node.attributes:
            self.set_attributes(node, known)
            if node.lazy is not None:
                show_lazy(node)
        node.stale = False
        return node

    def _settle_directory(self, node: Directory, known: Attributes) -> Attributes:
        if node.parent is None and node is not self.root:
            return with_nlink(known, 0)
        if node.upper is not None:
            known = self.writable().refresh(node.upper, -1, known)
        if not node.complete and node.is_merged:
            try:
                load(self, node)
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
        if nodeid in self.table.told:
            directory = self.table.forget_told(nodeid)
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
        places = (parent,) if node.aliases is None else tuple(node.places())
        if parent is None or (backing is not None and backing.pinned and node.ref is not None):
            self._release(node)
        if isinstance(node, Directory):
            self._drop(node)
        for directory in places:
            if directory is not None and directory.live == 0:
                self._drop(directory)

    def _shrink(self) -> None:
        """Give back what was there for the many that have gone. The memory for small objects comes in
        pieces of a megabyte, and one object keeps a piece: so listings that would be kept, and
        descriptors, go too."""
        self.table.shrink()
        for node in list(self.nodes.values()):
            if isinstance(node, Directory) and node.live == 0:
                self._drop(node, is_kept=False)
        for layer in (*self.lowers, *([] if self.upper is None else [self.upper])):
            if hasattr(layer, "relax"):
                layer.relax()
        # That lets go of what the interpreter keeps for tuples and the like to come.
        gc.collect()
        malloc_trim(0)

    def _release(self, node: Node) -> None:
        self.files.close(node)
        if node.stash is not None:
            self.writable().drop_stash(node.stash)
            node.stash = None
        if self.linked.get(node.attributes.ino) is node:
            del self.linked[node.attributes.ino]
        if node.lazy is not None and node.attributes.nlink == 0:
            self.lazies.end(node.attributes.ino, node.lazy)

    def _drop(self, directory: Directory, *, is_kept: bool = True) -> None:
        """Drop a listing that nothing refers to; if it `is_kept`, not a short one of a directory that
        the kernel knows."""
        if is_kept and not directory.is_droppable():
            return
        if directory.lookups == 0:
            directory.stream = None
        for name, node in directory.children.items():
            if isinstance(node, Directory):
                continue
            if node.aliases or node.attributes.nlink > 1:
                node.drop_name(directory, name)
                if node.parent is None:
                    self._release(node)
            elif node.backing is not None:
                self.files.close(node)
        directory.children.clear()
        directory.dormant = {}
        directory.below = None
        directory.complete = False
        directory.probes = 0
        directory.subdirs = 0

    # After and between requests

    def tidy(self) -> None:
        """After an answer: close what is too much, and read again the attributes of the directory
        that has changed, which the kernel asks for at the next way through it (fuse_dir_changed,
        fs/fuse/dir.c). While the client runs, that costs nobody's time."""
        files = self.files
        if len(files.kept) > files.bound:
            files.close_excess()
        directory, upper = self.touched, self.upper
        if directory is None:
            return
        self.touched = None
        if not directory.complete or directory.upper is None or directory.owner is not None:
            return
        known = directory.attributes
        try:
            if upper is None or directory.parent is None:
                self.settle(directory)
                return
            fresh = upper.refresh(directory.upper, -1, known)
        except OSError:
            # Whoever asks for them is told.
            return
        if fresh[2] != 2 + directory.subdirs:
            fresh = with_nlink(fresh, 2 + directory.subdirs)
        if self._static_nlink or fresh[3:5] != known[3:5]:
            self.set_attributes(directory, fresh)
        else:
            directory.attributes = fresh
        directory.stale = False

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.lazies.close()
        for node in list(self.files.kept):
            self.files.close(node)
        for node in list(self.nodes.values()):
            self.files.close(node)
        if self.upper is not None:
            self.upper.close()
        for layer in self.lowers:
            layer.close()
