"""The changes of an upper, as docker diff lists them and as a layer archive holds them; and the whole merged tree as
an archive.

The upper's own listing is the list of what may have changed, so the cost follows the change and
not the tree. Three things of an upper have no counterpart in an archive and are translated:

* a directory of a lower that was renamed is a mark in the upper. Here it is itself and everything
  that is visible in it, opaque where the lowers have a directory at the new place;
* a file of several names below that was changed has one copy in the upper, which stands for all of
  them. Here every name is listed, the first with the contents and the others as links to it;
* a whiteout counts only where the lowers have something of that name.

Entries come in the order of names, a directory before what is in it.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import NamedTuple, cast

from unionfs.directory.chain import ChainedUpper, UpperChain
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.layer import Layer, LayerEntry, Mark, OpenFile, UpperLayer
from unionfs.logs.metadata import without_records
from unionfs.merge import split_ino
from unionfs.nodes import UPPER, Directory, Node
from unionfs.ops.deferred_metadata import begin_deferring
from unionfs.ops.lazy_copyup import open_again
from unionfs.ops.tree import Tree, UnionOptions
from unionfs.tar.layer import IndexedLayer
from unionfs.tar.writer import ArchiveMember, TarEntry, archive, contents, opaque, whiteout
from unionfs.xattr_names import with_acl_in_step

_LINK_LIMIT = 40  # the kernel's own (path_resolution(7))
_NANOSECONDS = 1_000_000_000


class Kind(Enum):
    """Docker's letters."""

    ADDED = "A"
    CHANGED = "C"
    DELETED = "D"


class Change(NamedTuple):
    """One path, relative, that is not as the lowers have it. `node` is None for what was
    deleted."""

    path: bytes
    kind: Kind
    node: Node | None = None
    is_opaque: bool = False
    """A directory that hides one of the lowers."""
    is_repeated: bool = False
    """Not changed, but listed because it is another name of a file that has moved, or a directory
    above such a name."""


class Snapshot:
    """A union that does not change: `lowers`, top first, under an upper that no server writes to
    meanwhile. Without one, the merged lowers. Closes the layers with itself. `frozen`: former uppers, which count as lowers;
    `known_log` is the log of metadata that was theirs (`unionfs.layer.MetadataLog`)."""

    def __init__(
        self,
        lowers: Sequence[Layer],
        upper: ReadOnlyUpper | ChainedUpper | None,
        frozen: UpperChain | None = None,
        known_log: bytes = b"",
    ) -> None:
        self._upper = upper
        self._linked_names: dict[int, dict[int, list[bytes]]] = {}
        """Of objects with several names, by layer and number."""
        # Of an upper that is never changed the tree asks the reading half only.
        self._tree = Tree(
            lowers,
            cast("UpperLayer | None", upper),
            UnionOptions(descriptors=64, volatile=True, frozen=frozen),
        )
        if upper is not None and (log := upper.metadata_log()):
            begin_deferring(self._tree, without_records(log, known_log) if known_log else log)

    def close(self) -> None:
        self._tree.close()

    @property
    def merged(self) -> Tree:
        """The merged tree. It is only read."""
        return self._tree

    @property
    def upper(self) -> ReadOnlyUpper | ChainedUpper | None:
        """The layer with the changes; None for the merged lowers alone."""
        return self._upper

    def changes(self, mountpoints: Collection[bytes] = ()) -> list[Change]:
        """Everything that the upper changes. Of `mountpoints`, absolute paths, those are left out
        that had to be made to mount on, and the directories that had to be made for them."""
        if self._upper is None:
            return []
        found: dict[bytes, Change] = {}
        if self._has_changed_root(self._upper):
            found[b""] = Change(b"", Kind.CHANGED, self._tree.root)
        deferred = self._tree.deferred
        if deferred is not None:
            deferred.show_all()
        self._collect(self._tree.root, found)
        if deferred is not None:
            self._add_deferred(deferred.nodes, found)
        self._add_other_names(found)
        _Pruning(self, found, mountpoints).run()
        return sorted(found.values(), key=lambda change: change.path.split(b"/"))

    def _has_changed_root(self, upper: ReadOnlyUpper | ChainedUpper) -> bool:
        """The upper's root begins bare, or with owner and mode of the root below."""
        if upper.is_bare_root():
            return False
        shown, below = upper.root().attributes, self._tree.layers.lowers[0].root().attributes
        return (shown.mode, shown.uid, shown.gid) != (below.mode, below.uid, below.gid)

    def _collect(self, root: Directory, found: dict[bytes, Change]) -> None:
        pending = [(b"", root)]
        while pending:
            path, directory = pending.pop()
            upper = cast("ReadOnlyUpper | ChainedUpper", self._upper)
            below_path = path + b"/" if path else b""
            for name, entry in upper.listing(directory.upper):
                here = below_path + name
                below = self._tree.layers.below(directory, name)
                if entry.mark is Mark.WHITEOUT:
                    if below is not None:
                        found[here] = Change(here, Kind.DELETED)
                    continue
                node = self._tree.existing(directory, name)
                kind = Kind.ADDED if below is None else Kind.CHANGED
                if not isinstance(node, Directory):
                    found[here] = Change(here, kind, node)
                    continue
                moved = entry.redirect is not None and entry.redirect.strip(b"/") != here
                hides = _is_directory(below) and (moved or entry.mark is Mark.OPAQUE)
                found[here] = Change(here, kind, node, hides)
                if moved:
                    for inner, child in self._walk(here, node):
                        found[inner] = Change(inner, Kind.ADDED, child)
                else:
                    pending.append((here, node))

    @staticmethod
    def _add_deferred(nodes: Iterable[Node], found: dict[bytes, Change]) -> None:
        """Files of which only the metadata have changed and which the upper does not have: and, as if
        they were there, the directories above."""
        for node in nodes:
            at: Node | None = node
            while at is not None and (path := at.path()[1:]) and path not in found:
                found[path] = Change(path, Kind.CHANGED, at)
                at = at.parent

    def _walk(self, path: bytes, directory: Directory) -> Iterator[tuple[bytes, Node]]:
        """Everything visible below a directory, in order."""
        pending: list[tuple[bytes, Node]] = [(path, directory)]
        while pending:
            here, node = pending.pop()
            if node is not directory:
                yield here, node
            if isinstance(node, Directory):
                self._tree.listings.load(node)
                self._tree.listings.materialize_all(node)
                prefix = here + b"/" if here else b""
                children = [(prefix + name, child) for name, child in node.children.items()]
                # The last one is taken first.
                pending.extend(sorted(children, key=lambda child: child[0], reverse=True))

    def _add_other_names(self, found: dict[bytes, Change]) -> None:
        """The names that still lie in a lower of files that were changed by another name, or moved
        with a directory: a layer without them would split the file in two."""
        changed = {origin for origin, left in self._tree.node_maker.index.items() if left is None}
        moved = {
            change.node.attributes.ino
            for change in found.values()
            if change.node is not None
            and change.node.layer != UPPER
            and not isinstance(change.node, Directory)
            and change.node.attributes.nlink > 1
        }
        for origin in changed | moved:
            position, ino = split_ino(origin, len(self._tree.layers.lowers))
            layer = self._tree.layers.lowers[position - 1] if position != UPPER else None
            if not isinstance(layer, IndexedLayer):
                continue
            for path in layer.names(ino):
                node = self.find(path)
                if path not in found and node is not None and node.attributes.ino == origin:
                    self._add_name(path, node, found, is_repeated=origin not in changed)

    def _add_name(
        self, path: bytes, node: Node, found: dict[bytes, Change], *, is_repeated: bool
    ) -> None:
        found[path] = Change(path, Kind.CHANGED, node, is_repeated=is_repeated)
        while path := path.rpartition(b"/")[0]:
            if path not in found or (found[path].is_repeated and not is_repeated):
                above = self.find(path)
                found[path] = Change(path, Kind.CHANGED, above, is_repeated=is_repeated)

    def find(self, path: bytes) -> Node | None:
        """The object at a relative path; no link is followed."""
        node: Node | None = self._tree.root
        for name in path.split(b"/"):
            if not isinstance(node, Directory):
                return None
            if name:
                node = self._tree.child(node, name)
        return node

    def names(self, node: Node) -> list[bytes]:
        """All paths, relative, of an object of the lowers that is not a directory, in no particular order."""
        position, ino = split_ino(node.attributes.ino, len(self._tree.layers.lowers))
        layer = None if position == UPPER else self._tree.layers.lowers[position - 1]
        if not isinstance(layer, IndexedLayer):
            return [node.path().strip(b"/")]
        known = self._linked_names.get(position)
        if known is None:
            known = self._linked_names[position] = layer.linked_names()
        found = []
        for path in known.get(ino, ()):
            other = self.find(path)
            if other is not None and other.attributes.ino == node.attributes.ino:
                found.append(path)
        return found

    def children(self, path: bytes) -> list[tuple[bytes, Node]]:
        """The objects in the directory at a relative path, in no particular order; nothing for a path that is not a
        directory.
        """
        directory = self.find(path)
        if not isinstance(directory, Directory):
            return []
        self._tree.listings.load(directory)
        self._tree.listings.materialize_all(directory)
        return list(directory.children.items())

    def readlink(self, node: Node) -> bytes:
        """The target of a symbolic link, as stored."""
        return self._tree.layers.layer(node.layer).readlink(node.ref)

    def xattrs(self, node: Node) -> dict[bytes, bytes]:
        """Extended attributes, with those of POSIX ACLs in step with the mode."""
        found = self._tree.layers.layer(node.layer).xattrs(node.ref)
        return dict(with_acl_in_step(found, node.attributes.mode))

    def below(self, path: bytes) -> LayerEntry | None:
        """The object of the lowers alone at a relative path."""
        directory, _, name = path.rpartition(b"/")
        parent = self.find(directory)
        return self._tree.layers.below(parent, name) if isinstance(parent, Directory) else None

    def resolve(self, path: bytes) -> bytes:
        """Where an absolute path leads, relative to the root, symbolic links followed beneath it.
        A name that does not exist stays as it is."""
        done: list[bytes] = []
        left = [name for name in reversed(path.split(b"/")) if name]
        links = 0
        while left:
            name = left.pop()
            if name in (b".", b".."):
                del done[len(done) - (name == b"..") :]
                continue
            node = self.find(b"/".join([*done, name]))
            if node is None or not stat.S_ISLNK(node.attributes.mode) or links == _LINK_LIMIT:
                done.append(name)
                continue
            links += 1
            target = self._tree.layers.layer(node.layer).readlink(node.ref)
            if target.startswith(b"/"):
                done.clear()
            left.extend(part for part in reversed(target.split(b"/")) if part)
        return b"/".join(done)

    # Archives

    def layer_archive(
        self, changes: Sequence[Change], *, newest: int | None = None
    ) -> Iterator[bytes]:
        """The changes as an OCI layer, in pieces. Times after `newest`, in seconds, become
        that."""
        return archive(self.layer_members(changes, newest=newest))

    def tree_archive(self) -> Iterator[bytes]:
        """The whole merged tree as an archive, in pieces."""
        return archive(self.tree_members())

    def tree_members(self) -> Iterator[ArchiveMember]:
        """The members of `tree_archive`, each with its data."""
        return self.layer_members(self.tree())

    def tree(self) -> list[Change]:
        """The whole merged tree, as if no lower had any of it."""
        everything = [(b"", cast("Node", self._tree.root)), *self._walk(b"", self._tree.root)]
        return [Change(path, Kind.ADDED, node) for path, node in everything]

    @staticmethod
    def data_size(changes: Sequence[Change]) -> int:
        """Bytes of the contents of files in an archive of the changes, holes included: the archive has
        them whole.
        """
        nodes = [change.node for change in changes if change.node is not None]
        files = {
            node.attributes.ino: node.attributes.size
            for node in nodes
            if stat.S_ISREG(node.attributes.mode)
        }
        return sum(files.values())

    def layer_members(
        self, changes: Sequence[Change], *, newest: int | None = None, whole_seconds: bool = False
    ) -> Iterator[ArchiveMember]:
        """The members of the changes' layer. Times after `newest`, in seconds, become that; with `whole_seconds` they have no
        fractions, which take an extended header of each member."""
        first_names: dict[int, bytes] = {}
        for change in changes:
            if change.node is None:
                yield whiteout(change.path), iter(())
            elif not stat.S_ISSOCK(change.node.attributes.mode):
                entry, data = self._member(change.path, change.node, first_names)
                yield _with_time(entry, newest, whole_seconds=whole_seconds), data
                if change.is_opaque:
                    yield opaque(change.path), iter(())

    def _member(self, path: bytes, node: Node, first_names: dict[int, bytes]) -> ArchiveMember:
        attributes = node.attributes
        if not isinstance(node, Directory):
            first = first_names.setdefault(attributes.ino, path)
            if first != path:
                return TarEntry(path, attributes, hard_link=first), iter(())
        layer, ref = self._tree.layers.layer(node.layer), node.ref
        link = layer.readlink(ref) if stat.S_ISLNK(attributes.mode) else b""
        entry = TarEntry(
            path, attributes, link, None, with_acl_in_step(layer.xattrs(ref), attributes.mode)
        )
        if not stat.S_ISREG(attributes.mode):
            return entry, iter(())
        return entry, contents(partial(self.open_file, node), attributes.size)

    def open_file(self, node: Node) -> OpenFile:
        """A regular file as the union shows it: one that is not all copied up from both its
        parts."""
        if self._upper is None or node.lazy is None:
            return self._tree.layers.layer(node.layer).open(node.ref)
        return open_again(self._tree, self._upper.open_incomplete(node.ref), node.lazy)


class _Pruning:
    """Takes out of the changes what was made for mounting on it."""

    def __init__(
        self, snapshot: Snapshot, found: dict[bytes, Change], mountpoints: Collection[bytes]
    ) -> None:
        self._snapshot = snapshot
        self._found = found
        self._mountpoints = mountpoints

    def run(self) -> None:
        if not self._mountpoints:
            return
        full = {path.rpartition(b"/")[0] for path in self._found}
        pruned = set()
        for mountpoint in self._mountpoints:
            path = self._snapshot.resolve(mountpoint)
            change = self._found.get(path)
            if change is not None and path not in full and self._was_made(change):
                pruned.add(path)
        for path in pruned:
            del self._found[path]
        for path in sorted(pruned, key=len, reverse=True):
            self._prune_parents(path)

    @staticmethod
    def _was_made(change: Change) -> bool:
        if change.kind is not Kind.ADDED or change.node is None:
            return False
        attributes = change.node.attributes
        return stat.S_ISDIR(attributes.mode) or (
            stat.S_ISREG(attributes.mode) and attributes.size == 0
        )

    def _prune_parents(self, path: bytes) -> None:
        while path := path.rpartition(b"/")[0]:
            change = self._found.get(path)
            if change is None:
                continue
            if change.node is None or any(other.startswith(path + b"/") for other in self._found):
                return
            below = self._snapshot.below(path)
            if below is not None and (change.is_opaque or _differs(change.node, below)):
                return
            del self._found[path]


def _with_time(entry: TarEntry, newest: int | None, *, whole_seconds: bool) -> TarEntry:
    known = entry.attributes.mtime_ns
    mtime = known if newest is None else min(known, newest * _NANOSECONDS)
    if whole_seconds:
        mtime -= mtime % _NANOSECONDS
    if mtime == known:
        return entry
    return entry._replace(attributes=entry.attributes._replace(mtime_ns=mtime))


def _is_directory(entry: LayerEntry | None) -> bool:
    return entry is not None and stat.S_ISDIR(entry.attributes.mode)


def _differs(node: Node, below: LayerEntry) -> bool:
    """Whether a directory is not what the lowers have, times apart: making something in it changes
    those."""
    mine, theirs = node.attributes, below.attributes
    return (mine.mode, mine.uid, mine.gid) != (theirs.mode, theirs.uid, theirs.gid)
