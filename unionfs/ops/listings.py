"""Reads whole directories from the layers.

A walk lists far more names than it looks at, so a listed name does not become a node at once. A file
of a directory that only one lower has, with one name and no mark, stays unmaterialized: its name and
attributes lie in `Directory.unmaterialized`. The kernel may get a reference to it (`NodeTable.announced`)
and forget it again without more; the first request for it, by name or by number, materializes it. An
unmaterialized name exists as much as one in `Directory.children`.
"""

from __future__ import annotations

from unionfs.layer import LayerEntry, SupportsPlainListing
from unionfs.merge import merge_entries, merge_listings
from unionfs.nodes import UPPER, Directory, Node, NodeTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.layer import Ref
    from unionfs.merge import Found
    from unionfs.ops.layer_stack import LayerStack
    from unionfs.ops.make_node import NodeMaker
    from unionfs.ops.shown_attributes import ShownAttributes

_KEPT_LISTINGS = 256
"""Listings that are kept though the kernel knows none of their names. It costs the kernel, and so the
container, less to hold a directory than the server to hold its listing."""

_KEPT_NAMES = 100_000
"""Names in all of them, as long as there are more than `_KEPT_LARGE_LISTINGS`: those are being read."""

_KEPT_LARGE_LISTINGS = 8

_FEW = 64
"""Names of lowers up to which a directory remembers them, so that removing others need not ask."""


class Listings:
    """Fills `Directory.children` and `Directory.unmaterialized`."""

    def __init__(
        self, layers: LayerStack, table: NodeTable, maker: NodeMaker, shown: ShownAttributes
    ) -> None:
        self._layers = layers
        self._table = table
        self._maker = maker
        self._shown = shown
        self._loaded: dict[Directory, int] = {}
        """How many names each listing had when it was loaded or became idle, oldest first."""
        self._loaded_names = 0
        self.after_load: Callable[[Directory], None] | None = None
        """Called when the names of a directory have been read."""
        self.has_excess = False
        """Whether the oldest listings are to be dropped, if they are idle: see `excess`."""

    def note_idle(self, directory: Directory) -> None:
        """The kernel knows no name of this listing: it is dropped when there are newer ones enough."""
        self._loaded_names -= self._loaded.pop(directory, 0)
        count = len(directory.children) + len(directory.unmaterialized)
        self._loaded[directory] = count
        self._loaded_names += count
        self._count()

    def _count(self) -> None:
        loaded = len(self._loaded)
        self.has_excess = loaded > _KEPT_LISTINGS or (
            self._loaded_names > _KEPT_NAMES and loaded > _KEPT_LARGE_LISTINGS
        )

    def excess(self) -> list[Directory]:
        """The oldest listings; each is noted again when it becomes idle once more."""
        found = []
        while self.has_excess:
            directory = next(iter(self._loaded))
            self._loaded_names -= self._loaded.pop(directory)
            found.append(directory)
            self._count()
        return found

    def load(self, directory: Directory) -> None:
        """Read the whole directory, one pass over each layer. Raises OSError."""
        if directory.complete:
            return
        sources = list(directory.lowers)
        if directory.upper is not None:
            sources.insert(0, (UPPER, directory.upper))
        if len(sources) == 1:
            position, ref = sources[0]
            self._load_one(directory, position, ref)
            count = len(directory.children) + len(directory.unmaterialized)
            if position != UPPER and count <= _FEW:
                directory.below = {*directory.children, *directory.unmaterialized}
        else:
            layers = self._layers
            listings = ((at, layers.layer(at).listing(ref)) for at, ref in sources)
            entries_of, directory.below = merge_listings(listings, _FEW)
            for name, entries in entries_of.items():
                self._insert(directory, name, merge_entries(entries, layers.resolve))
        directory.complete = True
        self.note_idle(directory)
        if directory.stream is not None:
            directory.stream.extend((*directory.children, *directory.unmaterialized))
        if self.after_load is not None:
            self.after_load(directory)

    def _load_one(self, directory: Directory, position: int, ref: Ref) -> None:
        plain_listing = None if position == UPPER else self._layers.plain_listings[position - 1]
        resolve = self._layers.resolve
        if plain_listing is None:
            for name, entry in self._layers.layer(position).listing(ref):
                self._insert(directory, name, merge_entries([(position, entry)], resolve))
            return
        plain, others = plain_listing.plain_listing(ref)
        for name in directory.children:
            # These have been looked up before.
            plain.pop(name, None)
        if self._shown.view is not None:
            owners = {attributes[3:5] for attributes in plain.values()}
            hidden = set(self._shown.hidden_owners(owners))
            if hidden:
                for name, attributes in list(plain.items()):
                    if attributes[3:5] in hidden:
                        del plain[name]
                        here = plain_listing.plain_ref(ref, name, attributes)
                        others.append((name, LayerEntry(here, attributes)))
        directory.unmaterialized = plain
        for name, entry in others:
            self._insert(directory, name, merge_entries([(position, entry)], resolve))

    def _insert(self, directory: Directory, name: bytes, found: Found) -> None:
        if found and name not in directory.children:
            node = self._maker.make_node(directory, name, found)
            directory.insert(name, node, is_new=False)

    def materialize(self, directory: Directory, name: bytes) -> Node:
        """Make an unmaterialized name a node."""
        attributes = directory.unmaterialized.pop(name)
        position, above = directory.lowers[0]
        ref = self._plain_listing(position).plain_ref(above, name, attributes)
        node = Node(directory, name, position, ref, attributes)
        directory.children[name] = node
        table = self._table
        if table.announced.pop(node.nodeid, None) is not None:
            node.lookups = 1
            table.nodes[node.nodeid] = node
        return node

    def materialize_all(self, directory: Directory) -> None:
        for name in list(directory.unmaterialized):
            self.materialize(directory, name)

    def _plain_listing(self, position: int) -> SupportsPlainListing:
        layer = self._layers.plain_listings[position - 1]
        if layer is None:
            raise AssertionError("only a layer with plain listings leaves names unmaterialized")
        return layer
