"""The merged tree: finding nodes, reading directories, and the state that all operations share."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.bases import OrderedDict
from unionfs.layer import Layer, LayerEntry, Mark, Ref, UpperLayer
from unionfs.ledger import Ledger
from unionfs.merge import INO_BITS, Found, compose_ino, is_final, merge_entries
from unionfs.model import ROOT_NODE, Attributes, with_owner
from unionfs.nodes import UPPER, Backing, Directory, Node, NodeTable, Stream
from unionfs.ops.lazy_files import LazyFiles
from unionfs.ownership import IdView
from unionfs.syscalls.memory import malloc_trim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unionfs.filesystem import DirEntry

NAME_MAX = 255

_PROBES = 16
"""So many names of a directory are looked up one by one before its whole listing is read."""

_KEPT_OWNERS = 1024

_S_IFMT = 0o170000
_S_IFDIR = 0o040000

_FEW = 64
"""Names of lowers up to which a directory remembers them, so that removing others need not ask."""

_SLACK = 8
"""More files than are to be kept open may be until `tidy`."""


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Tree:
    """The layers, the nodes and the open files.

    Args:
        lowers: read-only layers, top first.
        upper: the layer that takes the writes; without one every change is EROFS.
        view: which ids exist inside; None if all do.
        redirect: whether directories that live in a lower can be renamed, by an attribute that
            only this union reads.
        descriptors: how many files are kept open.
        volatile: whether copies need not survive a loss of power.
        own_numbers: whether the layers' inode numbers are shown as they are.
        static_nlink: whether directories are shown with one link.
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
        self._own_numbers = own_numbers
        self._static_nlink = static_nlink
        self.files: OrderedDict[Node, Backing] = OrderedDict()
        self._shown_owners: dict[tuple[int, int], tuple[int, int]] = {}
        # copy_file_range needs two at a time.
        self._descriptors = max(descriptors, 2)
        self.pinned = 0
        """How many files are kept open because nothing else leads to them."""
        self.linked: dict[int, Node] = {}
        """Files that have, or had, several names, by `st_ino`."""
        self.index: dict[int, int | None] = {}
        self.changed: set[int] = set()
        """`st_ino` of what has been changed in the upper since the mount."""
        self.lazies = LazyFiles(self.lowers, lazy)
        self.touched: Directory | None = None
        """In which a name has come or gone last."""
        self.pid = 0
        """The process whose request is answered, if the session says."""
        self.ledger = Ledger()
        self._fingerprint: bytes | None = None
        if upper is not None:
            upper.refuse_overlap(self.lowers)
            upper.clean()
            self.index = upper.index()
            self.lazies.require_lowers(upper)
        self.root = self._make_root()
        self.table = NodeTable(self.root, lambda: malloc_trim(0))
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
            raise error(errno.ESTALE)
        return node

    def directory(self, nodeid: int) -> Directory:
        node = self.nodes.get(nodeid)
        if node is None:
            raise error(errno.ESTALE)
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
        if len(name) > NAME_MAX:
            raise error(errno.ENAMETOOLONG)
        if directory.complete:
            return None
        directory.probes += 1
        if directory.probes > _PROBES:
            try:
                self.load(directory)
            except PermissionError:
                # Searching is allowed where reading is not (path_resolution(7)): go on probing.
                directory.probes = -(1 << 62)
            else:
                return directory.children.get(name)
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

    # Listings

    def load(self, directory: Directory) -> None:
        """Read the whole directory, one pass over each layer."""
        if directory.complete:
            return
        sources = list(directory.lowers)
        if directory.upper is not None:
            sources.insert(0, (UPPER, directory.upper))
        if len(sources) == 1:
            position, ref = sources[0]
            children, plain = directory.children, self._adopt_plain
            for name, entry in self.layer(position).listing(ref):
                if entry.mark is Mark.WHITEOUT or name in children:
                    continue
                node = plain(directory, name, position, entry)
                if node is not None:
                    children[name] = node
                else:
                    self._insert(directory, name, [(position, entry)])
            if position != UPPER and len(children) <= _FEW:
                directory.below = set(children)
        else:
            self._load_merged(directory, sources)
        directory.complete = True
        directory.subdirs = sum(isinstance(node, Directory) for node in directory.children.values())
        if directory.stream is not None:
            directory.stream.extend(directory.children)

    def _load_merged(self, directory: Directory, sources: list[tuple[int, Ref]]) -> None:
        said: dict[bytes, Found] = {}
        final: set[bytes] = set()
        below: set[bytes] = set()
        for position, ref in sources:
            for name, entry in self.layer(position).listing(ref):
                if position != UPPER and len(below) <= _FEW:
                    below.add(name)
                if name in final:
                    continue
                have = said.get(name)
                if have is None:
                    said[name] = [(position, entry)]
                else:
                    have.append((position, entry))
                if is_final(entry):
                    final.add(name)
        for name, entries in said.items():
            if name in directory.children:
                continue
            found = merge_entries(entries, self.resolve)
            if found:
                self._insert(directory, name, found)
        directory.below = below if len(below) <= _FEW else None

    def _insert(self, directory: Directory, name: bytes, found: Found) -> None:
        directory.insert(name, self.adopt(directory, name, found), is_new=False)

    def readdir(self, directory: Directory, cookie: int) -> Iterator[DirEntry]:
        self.load(directory)
        if directory.stream is None:
            directory.stream = Stream(list(directory.children))
        return directory.stream.after(cookie, directory.children)

    # Making nodes of entries

    def adopt(self, directory: Directory, name: bytes, found: Found) -> Node:
        """The node of an object that has been found in the layers."""
        position, entry = found[0]
        attributes = entry.attributes
        if stat.S_ISDIR(attributes.mode):
            return self._adopt_directory(directory, name, found)
        if position == UPPER and entry.origin is not None:
            ino = entry.origin
        else:
            ino = self.number(position, attributes.ino)
        if attributes.nlink > 1 or (ino in self.index and position == UPPER):
            return self._adopt_linked(directory, name, position, entry, ino)
        node = Node(directory, name, position, entry.ref, attributes)
        self._show(node, attributes, ino)
        if entry.lazy is not None:
            self._is_lazy(node, entry.lazy)
        return node

    def _adopt_plain(
        self, directory: Directory, name: bytes, position: int, entry: LayerEntry
    ) -> Node | None:
        """`adopt` for what most of a listing is: a file of a lower with one name, whose owner is
        shown as it is. None for anything else."""
        attributes = entry.attributes
        number = attributes[0]
        if (
            position == UPPER
            or attributes[2] != 1
            or attributes[1] & _S_IFMT == _S_IFDIR
            or number >> INO_BITS
        ):
            return None
        if self.view is not None:
            owner = attributes[3:5]
            if owner != (self._shown_owners.get(owner) or self._shown_owner(self.view, owner)):
                return None
        if not self._own_numbers:
            number |= (len(self.lowers) - position + 1) << INO_BITS
            attributes = tuple.__new__(Attributes, (number, *attributes[1:]))
        return Node(directory, name, position, entry.ref, attributes)

    def _adopt_directory(self, parent: Directory, name: bytes, found: Found) -> Directory:
        position, entry = found[0]
        node = Directory(parent, name, position, entry.ref, entry.attributes)
        node.lowers = tuple((number, lower.ref) for number, lower in found if number != UPPER)
        source, number = position, entry.attributes.ino
        if position == UPPER:
            node.upper = entry.ref
            node.redirect = entry.redirect
            if len(found) > 1 and entry.origin is None:
                source, number = found[1][0], found[1][1].attributes.ino
        ino = (
            entry.origin
            if position == UPPER and entry.origin is not None
            else self.number(source, number)
        )
        self._show(node, entry.attributes, ino)
        node.stale = node.is_merged
        return node

    def _adopt_linked(
        self, directory: Directory, name: bytes, position: int, entry: LayerEntry, ino: int
    ) -> Node:
        node = self.linked.get(ino)
        if node is not None:
            self.add_name(node, directory, name, entry.ref)
            return node
        known = self.index.get(ino, entry.attributes.nlink)
        if known is None:
            copy = self.writable().indexed(ino)
            attributes = copy.attributes
            node = Node(directory, name, UPPER, copy.ref, attributes)
            node.indexed = True
            entry = copy
        else:
            attributes = entry.attributes._replace(nlink=known)
            node = Node(directory, name, position, entry.ref, attributes)
        self._show(node, attributes, ino)
        if entry.lazy is not None:
            self._is_lazy(node, entry.lazy)
        self.linked[ino] = node
        return node

    def _is_lazy(self, node: Node, mark: bytes) -> None:
        """A file of the upper has been found that is not all there. (One of a lower raises EIO
        when it is opened.)"""
        if node.layer != UPPER:
            return
        state = self.lazies.of_mark(node.attributes.ino, mark, node.attributes.size)
        if state is not None and not state.is_complete:
            node.lazy = state
            self._show_lazy(node)

    def _show_lazy(self, node: Node) -> None:
        # GNU tar takes a file without blocks for one without data.
        known = node.attributes
        node.attributes = known._replace(blocks=max(known.blocks, -(-known.size // 512)))

    def find_below(self, path: bytes) -> tuple[int, LayerEntry] | None:
        """What the lowers alone show at `path`, absolute in them: (position, entry)."""
        above, _, name = path.rpartition(b"/")
        lowers = [(number, entry.ref) for number, entry in self.resolve(above, UPPER)]
        found = merge_entries(self._said_below(lowers, name), self.resolve)
        return found[0] if found else None

    def number(self, position: int, ino: int) -> int:
        """`st_ino` in the union of what a layer calls `ino`."""
        if self._own_numbers:
            return ino
        return compose_ino(ino, 0 if position == UPPER else len(self.lowers) - position + 1)

    def _show(self, node: Node, attributes: Attributes, ino: int) -> None:
        if attributes.ino != ino:
            attributes = tuple.__new__(Attributes, (ino, *attributes[1:]))
        self.set_attributes(node, attributes)

    def set_attributes(self, node: Node, attributes: Attributes) -> None:
        """Attributes with the true owner: shown as far as the ids exist inside."""
        node.owner = None
        if self._static_nlink and attributes.nlink and stat.S_ISDIR(attributes.mode):
            attributes = attributes._replace(nlink=1)
        if self.view is not None:
            owner = attributes[3:5]
            shown = self._shown_owners.get(owner) or self._shown_owner(self.view, owner)
            if shown != owner:
                node.owner = owner
                attributes = with_owner(attributes, attributes.mode, *shown)
        node.attributes = attributes

    def _shown_owner(self, view: IdView, owner: tuple[int, int]) -> tuple[int, int]:
        if len(self._shown_owners) >= _KEPT_OWNERS:
            self._shown_owners.clear()
        shown = self._shown_owners[owner] = view.uid(owner[0]), view.gid(owner[1])
        return shown

    def stored_ids(self, uid: int, gid: int) -> tuple[int, int]:
        """What the upper keeps for ids as they are inside."""
        view = self.view
        return (uid, gid) if view is None else (view.stored_uid(uid), view.stored_gid(gid))

    def settle(self, node: Node) -> Node:
        """Bring stale attributes up to date. If that fails they stay stale."""
        known = node.attributes
        if node.owner is not None:
            known = with_owner(known, known.mode, *node.owner)
        if isinstance(node, Directory):
            known = self._settle_directory(node, known)
        elif node.layer == UPPER and (node.ref is not None or node.backing is not None):
            fd = -1 if node.backing is None else node.backing.fd
            known = self.writable().refresh(node.ref, fd, known)
        if known is not node.attributes:
            self.set_attributes(node, known)
            if node.lazy is not None:
                self._show_lazy(node)
        node.stale = False
        return node

    def _settle_directory(self, node: Directory, known: Attributes) -> Attributes:
        if node.parent is None and node is not self.root:
            return known._replace(nlink=0)
        if node.upper is not None:
            known = self.writable().refresh(node.upper, -1, known)
        if node.is_merged:
            try:
                self.load(node)
            except PermissionError:
                return known
        if node.complete:
            known = known._replace(nlink=2 + node.subdirs)
        return known

    def touch(self, directory: Directory) -> None:
        """A name has come or gone."""
        directory.stale = True
        self.touched = directory

    # Names

    def path(self, node: Node) -> bytes:
        """One path of the object in the union; of one without a name, that of nothing."""
        names: list[bytes] = []
        at: Node | None = node
        while at is not None and at.parent is not None:
            names.append(at.name)
            at = at.parent
        return b"/" + b"/".join(reversed(names))

    def add_name(self, node: Node, directory: Directory, name: bytes, ref: Ref) -> None:
        """One more name of a file is known. The caller inserts it in the listing."""
        if node.parent is None:
            node.parent, node.name = directory, name
            if node.layer == UPPER and not node.indexed:
                node.ref = ref
            return
        if node.aliases is None:
            node.aliases = []
        node.aliases.append((directory, name, ref))

    def drop_name(self, node: Node, directory: Directory, name: bytes) -> None:
        """A name of a file is gone, or its listing is. The caller removes it from the listing."""
        if node.parent is directory and node.name == name:
            if node.aliases:
                node.parent, node.name, ref = node.aliases.pop(0)
            else:
                node.parent, ref = None, None
            if node.layer == UPPER and not node.indexed:
                node.ref = ref if node.parent is not None else node.stash
            return
        for index, (place, other, _) in enumerate(node.aliases or ()):
            if place is directory and other == name and node.aliases is not None:
                del node.aliases[index]
                break

    # Forgetting

    def forget(self, nodeid: int, count: int) -> None:
        node = self.table.forget(nodeid, count)
        if node is None:
            return
        places = list(node.places())
        backing = node.backing
        if not places or (backing is not None and backing.pinned and node.ref is not None):
            self._release(node)
        if isinstance(node, Directory):
            self._drop(node)
        for directory in places:
            self._drop(directory)

    def _release(self, node: Node) -> None:
        self.close_backing(node)
        if node.stash is not None:
            self.writable().drop_stash(node.stash)
            node.stash = None
        if self.linked.get(node.attributes.ino) is node:
            del self.linked[node.attributes.ino]
        if node.lazy is not None and node.attributes.nlink == 0:
            self.lazies.end(node.attributes.ino, node.lazy)

    def _drop(self, directory: Directory) -> None:
        """Drop a listing that nothing refers to."""
        if not directory.is_droppable():
            return
        if directory.lookups == 0:
            directory.stream = None
        for name, node in directory.children.items():
            if isinstance(node, Directory):
                continue
            if node.aliases or node.attributes.nlink > 1:
                self.drop_name(node, directory, name)
                if node.parent is None:
                    self._release(node)
            elif node.backing is not None:
                self.close_backing(node)
        directory.children.clear()
        directory.below = None
        directory.complete = False
        directory.probes = 0
        directory.subdirs = 0

    # Open files

    def keep_open(self, node: Node, backing: Backing) -> None:
        """Make `backing` the node's open file; the one longest unused is closed if there are too
        many."""
        if node.backing is not None:
            self.close_backing(node)
        node.backing = backing
        if backing.pinned:
            return
        self.files[node] = backing
        if len(self.files) > self._descriptors + _SLACK:
            self._close_excess()

    def _close_excess(self) -> None:
        while len(self.files) > self._descriptors:
            self.close_backing(next(iter(self.files)))

    def tidy(self) -> None:
        """After an answer: close what is too much, and read again the attributes of the directory
        that has changed, which the kernel asks for at the next way through it (fuse_dir_changed,
        fs/fuse/dir.c). While the client runs, that costs nobody's time."""
        if len(self.files) > self._descriptors:
            self._close_excess()
        directory = self.touched
        if directory is None:
            return
        self.touched = None
        if directory.stale and (directory.complete or not directory.is_merged):
            try:
                self.settle(directory)
            except OSError:
                # Whoever asks for them is told.
                pass

    def pin(self, node: Node) -> None:
        """Keep the node's open file open whatever comes."""
        if node.backing is not None and not node.backing.pinned:
            node.backing.pinned = True
            self.pinned += 1
            self.files.pop(node, None)

    def close_backing(self, node: Node) -> None:
        backing = node.backing
        if backing is None:
            return
        node.backing = None
        self.pinned -= backing.pinned
        self.files.pop(node, None)
        if backing.file is not None:
            backing.file.close()
        else:
            os.close(backing.fd)

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.lazies.close()
        for node in list(self.files):
            self.close_backing(node)
        for node in list(self.nodes.values()):
            self.close_backing(node)
        if self.upper is not None:
            self.upper.close()
        for layer in self.lowers:
            layer.close()
