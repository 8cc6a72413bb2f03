"""Nodes: the union's state of an object as long as the kernel or a listing refers to it; and the table of node
numbers.

A node outlives its names: a file that is unlinked while the kernel refers to it keeps its
descriptor until FORGET. A node that nothing refers to lives only in the listing of its
directory, and goes with it: when the last node below a directory is forgotten, the directory's
listing is dropped and read again when it is next asked for.
"""

from __future__ import annotations

from _bisect import bisect_right

from unionfs.journal_kinds import Kind
from unionfs.model import LOOKED_UP_ROOT, ROOT_NODE, ROOT_NODES, Attributes, NodeId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from unionfs.copy_up_stats import CopyUpRecord
    from unionfs.journal import Journal
    from unionfs.layer import OpenFile, PlainListing, Ref
    from unionfs.lazy.file import LazyFile, LazyState

UPPER = 0
"""The upper's position in the stack; the lowers follow from 1, top first."""

SPARE_NODES: int = LOOKED_UP_ROOT
"""Node numbers from here on are given where a live node has the number that the object's
`st_ino` would give it."""

_SHRINK_AFTER = 1024
"""Nodes forgotten before the table is looked at for room to give back."""

_KEPT_NAMES = 512
"""A listing longer than this is dropped when no node of it is referred to, though its directory
is."""


class Backing:
    """An open file under a node. `start` is where byte 0 lies in the descriptor's file, `unsynced` how many bytes an fsync(2)
    may have to write."""

    __slots__ = ("fd", "file", "lazy", "pinned", "start", "unsynced", "writable")

    def __init__(
        self,
        fd: int,
        *,
        start: int = 0,
        file: OpenFile | None = None,
        writable: bool = False,
        unsynced: int = 0,
    ) -> None:
        self.fd = fd
        self.start = start
        self.file = file
        self.lazy: LazyFile | None = None
        """The file has not all its data yet: only through this may it be read and written."""
        self.writable = writable
        self.unsynced = unsynced
        self.pinned = False
        """The only way to the file is this descriptor: it is not closed to save descriptors."""


class Node:
    """An object that is not a directory. Satisfies `filesystem.Entry`."""

    __slots__ = (
        "__dict__",  # what few nodes have: made with the first such attribute
        "attributes",
        "backing",
        "has_capabilities",
        "layer",
        "lookups",
        "name",
        "nodeid",
        "parent",
        "ref",
        "stale",
    )

    aliases: list[tuple[Directory, bytes, Ref]] | None = None
    """Further names that have been seen."""
    stash: Ref | None = None
    """A hidden name in the upper of a file that has lost all others."""
    owner: tuple[int, int] | None = None
    """The true owner where another one is shown."""
    indexed = False
    """An upper file that stands for names in the lowers too."""
    lazy: LazyState | None = None
    """Not all data of the file are in the upper yet."""
    kept_path: bytes | None = None
    """Where the lowers have an object of theirs that has lost all names."""
    copy_up_record: CopyUpRecord | None = None
    """It has been copied up since the mount."""

    def __init__(
        self, parent: Directory | None, name: bytes, layer: int, ref: Ref, attributes: Attributes
    ) -> None:
        self.nodeid: NodeId = attributes[0]  # type: ignore[assignment] # a call, at run time
        self.attributes = attributes
        self.parent = parent
        """The directory of the name by which the object is reached; None when it has no name
        left."""
        self.name = name
        self.layer = layer
        self.ref: Ref | None = ref
        """None when the object is reached by its descriptor only."""
        self.lookups = 0
        self.backing: Backing | None = None
        self.stale = False
        """`attributes` have to be read again before they are shown."""
        self.has_capabilities: bool | None = None
        """Whether there is a `security.capability`, if that is known."""

    @property
    def held(self) -> bool:
        return self.lookups > 0

    @property
    def number(self) -> int:
        """The number by which the kernel knows the node, or will."""
        return self.nodeid if self.lookups else self.attributes.ino

    @property
    def true_owner(self) -> tuple[int, int]:
        return self.owner or (self.attributes.uid, self.attributes.gid)

    def directories(self) -> Iterator[Directory]:
        """Every directory in whose listing the node is."""
        if self.parent is not None:
            yield self.parent
        for directory, _, _ in self.aliases or ():
            yield directory

    def path(self) -> bytes:
        """One path of the object in the union; of one without a name, that of nothing."""
        names: list[bytes] = []
        at: Node | None = self
        while at is not None and at.parent is not None:
            names.append(at.name)
            at = at.parent
        return b"/" + b"/".join(reversed(names))

    def add_name(self, directory: Directory, name: bytes, ref: Ref) -> None:
        """One more name of a file is known. The caller inserts it in the listing."""
        if self.parent is None:
            self.parent, self.name = directory, name
            if self.layer == UPPER and not self.indexed:
                self.ref = ref
            return
        if self.aliases is None:
            self.aliases = []
        self.aliases.append((directory, name, ref))

    def drop_name(self, directory: Directory, name: bytes) -> None:
        """A name of a file is gone, or its listing is. The caller removes it from the listing."""
        if self.parent is directory and self.name == name:
            if self.aliases:
                self.parent, self.name, ref = self.aliases.pop(0)
            else:
                self.parent, ref = None, None
            if self.layer == UPPER and not self.indexed:
                self.ref = ref if self.parent is not None else self.stash
            return
        for index, (place, other, _) in enumerate(self.aliases or ()):
            if place is directory and other == name and self.aliases is not None:
                del self.aliases[index]
                break


class Directory(Node):
    """A directory, as the layers that contribute to it: `upper`, and `lowers` from the top."""

    __slots__ = (
        "below",
        "children",
        "complete",
        "default_acl",
        "live",
        "lowers",
        "probes",
        "redirect",
        "stream",
        "subdirs",
        "unmaterialized",
        "upper",
    )

    def __init__(
        self, parent: Directory | None, name: bytes, layer: int, ref: Ref, attributes: Attributes
    ) -> None:
        super().__init__(parent, name, layer, ref, attributes)
        self.upper: Ref | None = None
        self.lowers: tuple[tuple[int, Ref], ...] = ()
        self.children: dict[bytes, Node] = {}
        self.unmaterialized: PlainListing = {}
        """Names of the only lower that have been listed and not asked for: see ops/listings.py."""
        self.complete = False
        """Whether `children` and `unmaterialized` are all there are."""
        self.below: set[bytes] | None = None
        """The names that the lowers have an entry for, if they are few and have been listed."""
        self.probes = 0
        self.live = 0
        """How many children are held."""
        self.redirect: bytes | None = None
        """Where the lowers know this directory, if not at its path."""
        self.subdirs = 0
        """How many children are directories, when `complete`."""
        self.stream: Stream | None = None
        self.default_acl: bytes | None = None
        """As stored (unionfs.posix_acl); empty: none; None: not read yet."""

    @property
    def held(self) -> bool:
        return self.lookups > 0 or self.live > 0

    @property
    def is_merged(self) -> bool:
        return len(self.lowers) + (self.upper is not None) > 1

    def lower_path(self) -> bytes:
        """Where the lowers know a directory that some of them contribute to."""
        names: list[bytes] = []
        at: Directory | None = self
        while at is not None and at.parent is not None and at.redirect is None:
            names.append(at.name)
            at = at.parent
        start = b"" if at is None or at.redirect is None else at.redirect.rstrip(b"/")
        return b"/".join([start, *reversed(names)])

    def insert(self, name: bytes, node: Node, *, is_new: bool = True) -> None:
        """A name that is new, or was there and had not been read."""
        self.children[name] = node
        self.subdirs += isinstance(node, Directory)
        if is_new and self.stream is not None:
            self.stream.add(name)
        if node.held:
            self.hold()

    def discard(self, name: bytes) -> None:
        """A name that is gone."""
        node = self.children.pop(name)
        self.subdirs -= isinstance(node, Directory)
        if node.held:
            self.let_go()

    def hold(self, count: int = 1) -> None:
        """`count` more children are held: they keep this listing, and those of all directories
        above."""
        at: Directory | None = self
        while at is not None:
            was_held = at.held
            at.live += count
            at, count = (None if was_held else at.parent), 1

    def let_go(self) -> None:
        at: Directory | None = self
        while at is not None:
            at.live -= 1
            at = None if at.held else at.parent

    def is_droppable(self) -> bool:
        return self.live == 0 and (
            self.lookups == 0 or len(self.children) + len(self.unmaterialized) > _KEPT_NAMES
        )


_FIRST_COOKIE = 1 << 30
"""The cookie of the first name of a fresh stream. Names that come later get smaller ones, down to 1;
all fit into a 32-bit off_t."""


class Stream:
    """The order of a directory's names for readdir. A name's cookie is given once and never
    means another name.

    A name that is added stands before all others, where only a reader that begins anew finds it; one
    that is removed and comes back stands where it stood. So a reader is given each name at most once,
    whatever happens to it meanwhile, and ends.

    Deleted names stay in the list until `compact`."""

    __slots__ = ("_added", "_cookies", "_known", "_names", "_next", "is_recorded")

    def __init__(self, names: list[bytes]) -> None:
        self._names = names
        """In the order of cookies; after them `_added`, latest first, comes before them."""
        self._cookies: list[int] | None = None
        """Of `_names`; None: consecutive from `_FIRST_COOKIE` on."""
        self._added: list[bytes] = []
        """Added since, oldest first, with consecutive cookies downwards that end above `_next`."""
        self._next = _FIRST_COOKIE - 1
        self._known: set[bytes] | None = None
        """All of both lists; made when it is needed first."""
        self.is_recorded = False
        """The journal has it: see `unionfs.journal`."""

    @classmethod
    def restored(cls, pairs: list[tuple[int, bytes]]) -> Stream:
        """The stream of another server: its names with their cookies, in ascending order."""
        stream = cls([name for _, name in pairs])
        stream._cookies = [at for at, _ in pairs]
        stream._next = min([_FIRST_COOKIE, *stream._cookies]) - 1
        stream.is_recorded = True
        return stream

    def add(self, name: bytes) -> None:
        """A name is new, or has come back."""
        known = self._known
        if known is None:
            known = self._known = {*self._names, *self._added}
        if name in known:
            return
        if self._next <= 0:
            self._renumber()
        known.add(name)
        self._added.append(name)
        self._next -= 1

    def extend(self, names: Iterable[bytes]) -> None:
        """Add all that are new, after the listing was read again."""
        for name in names:
            self.add(name)

    def after(self, cookie: int) -> Iterator[tuple[int, bytes]]:
        """The names after `cookie`, deleted ones included: (cookie, name). 0: from the start."""
        # The lists may be replaced or grow while an iterator is open; it goes on with its own.
        names, cookies, added = self._names, self._cookies, self._added
        at = self._next + 1
        oldest = at + len(added) - 1
        # Those of `added` after the cookie: its first items, since cookies fall along it.
        for index in range(min(len(added), oldest - cookie) - 1, -1, -1):
            yield oldest - index, added[index]
        if cookies is None:
            start = max(cookie - _FIRST_COOKIE + 1, 0)
            yield from enumerate(names[start:] if start else names, _FIRST_COOKIE + start)
            return
        for index in range(bisect_right(cookies, cookie), len(names)):
            yield cookies[index], names[index]

    def is_sparse(self, live: int) -> bool:
        """Whether deleted names outnumber the `live` ones by far."""
        return len(self._names) + len(self._added) > 2 * live + 1024

    def compact(self, present: Container[bytes]) -> None:
        """Drop the names that are not `present`."""
        kept = [(at, name) for at, name in self.after(0) if name in present]
        self._cookies = [at for at, _ in kept]
        self._names = [name for _, name in kept]
        self._added = []
        self._known = None

    def _renumber(self) -> None:
        """After a thousand million additions: a reader that is under way may see names again."""
        self._names = [*reversed(self._added), *self._names]
        self._cookies, self._added, self._next = None, [], _FIRST_COOKIE - 1


def record_place(journal: Journal, node: Node, directory: Directory, name: bytes) -> None:
    """Write down a name that leads to an object which listing directories alone does not find by its
    number. To be called after the node got the number, or the name."""
    if isinstance(node, Directory):
        journal.add(Kind.DIRECTORY, node.number, directory.number, name)
    elif node.number != node.attributes.ino:
        journal.add(Kind.NAMED, node.number, directory.number, name)


class NodeTable:
    """The nodes that the kernel refers to, by number. The root is always one of them."""

    def __init__(self, root: Directory, journal: Journal | None = None) -> None:
        self._journal = journal
        root.nodeid = ROOT_NODE
        root.lookups = 1
        self.nodes: dict[int, Node] = dict.fromkeys(ROOT_NODES, root)
        self.announced: dict[int, tuple[Directory, bytes]] = {}
        """Unmaterialized names to which the kernel holds one reference each, by number."""
        self._spare = SPARE_NODES
        self._forgotten = 0
        self._is_shrunk = False

    def remember(self, node: Node) -> None:
        """The kernel gets a reference to `node`, which is numbered by its `st_ino` unless a live node
        has that number."""
        if node.lookups:
            node.lookups += 1
            return
        was_held = node.held
        number = node.attributes.ino
        if number in self.nodes or number in self.announced or number >= SPARE_NODES:
            self._spare += 1
            number = self._spare
            if self._journal is not None and node.parent is not None:
                node.nodeid, node.lookups = NodeId(number), 1
                record_place(self._journal, node, node.parent, node.name)
        node.nodeid = NodeId(number)
        self.nodes[number] = node
        node.lookups = 1
        if was_held:
            return
        if node.aliases is None:
            parent = node.parent
            if parent is not None:
                if parent.lookups > 0 or parent.live > 0:
                    # `hold`, where there is nothing to do further up.
                    parent.live += 1
                else:
                    parent.hold()
            return
        for directory in node.directories():
            directory.hold()

    def adopt(self, node: Node, nodeid: int) -> None:
        """The kernel has a reference to `node` by this number, which another server gave."""
        self._spare = max(self._spare, nodeid)
        if node.lookups:
            self.nodes[nodeid] = node
            return
        was_held = node.held
        node.nodeid = NodeId(nodeid)
        self.nodes[nodeid] = node
        node.lookups = 1
        if not was_held:
            for directory in node.directories():
                directory.hold()

    def forget(self, nodeid: int, count: int) -> Node | None:
        """Give back `count` references. Returns the node if these were the last."""
        node = self.nodes.get(nodeid)
        if node is None or nodeid in ROOT_NODES:
            return None
        node.lookups -= count
        if node.lookups > 0:
            return None
        node.lookups = 0
        del self.nodes[nodeid]
        if nodeid > SPARE_NODES and self._journal is not None:
            self._journal.add(Kind.FORGOTTEN, nodeid)
        self._forgotten += 1
        if not node.held:
            if node.aliases is not None:
                for directory in node.directories():
                    directory.let_go()
            elif node.parent is not None:
                node.parent.let_go()
        return node

    def forget_announced(self, nodeid: int) -> Directory:
        """Give back the one reference to an unmaterialized name. Returns its directory."""
        directory, _ = self.announced.pop(nodeid)
        self._forgotten += 1
        directory.let_go()
        return directory

    def has_emptied(self) -> bool:
        """Whether far more nodes have been forgotten than there are left: once, and once more when all
        are gone."""
        left = len(self.nodes) + len(self.announced)
        if self._forgotten > _SHRINK_AFTER + 4 * left:
            self._is_shrunk = True
        elif left == len(ROOT_NODES) and self._is_shrunk:
            self._is_shrunk = False
        else:
            return False
        return True

    def shrink(self) -> None:
        """A dict gives room back when it is cleared, not when items are deleted."""
        self._forgotten = 0
        for table in (self.nodes, self.announced):
            kept = dict(table)
            table.clear()
            table.update(kept)  # type: ignore[arg-type]
