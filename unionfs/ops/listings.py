"""Reading directories, and telling the kernel of what is in them.

A walk lists far more names than it looks at, so a listed name is not made a node at once. A file of a
directory that only one lower has, with one name and nothing special to it, stays dormant: its name
and attributes lie in `Directory.dormant`. The kernel may be told of it (`NodeTable.told`) and forget
it again without more; the first request for it, by name or by number, wakes it. A dormant name is as
much there as one in `Directory.children`.
"""

from __future__ import annotations

from unionfs.layer import LayerEntry
from unionfs.merge import merge_entries, merge_listings
from unionfs.nodes import UPPER, Directory, Node, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from unionfs.layer import Listed, Ref
    from unionfs.merge import Found
    from unionfs.model import Attributes, NodeId
    from unionfs.ops.tree import Tree

Told: TypeAlias = "tuple[int, bytes, NodeId, Attributes]"
"""Where to go on after it, a name, and the number and attributes of what it leads to."""

_FEW = 64
"""Names of lowers up to which a directory remembers them, so that removing others need not ask."""


def load(tree: Tree, directory: Directory) -> None:
    """Read the whole directory, one pass over each layer."""
    if directory.complete:
        return
    sources = list(directory.lowers)
    if directory.upper is not None:
        sources.insert(0, (UPPER, directory.upper))
    if len(sources) == 1:
        position, ref = sources[0]
        _load_one(tree, directory, position, ref)
        if position != UPPER and len(directory.children) + len(directory.dormant) <= _FEW:
            directory.below = {*directory.children, *directory.dormant}
    else:
        said, directory.below = merge_listings(
            ((position, tree.layer(position).listing(ref)) for position, ref in sources), _FEW
        )
        for name, entries in said.items():
            _adopt(tree, directory, name, merge_entries(entries, tree.resolve))
    directory.complete = True
    if directory.stream is not None:
        directory.stream.extend((*directory.children, *directory.dormant))


def _load_one(tree: Tree, directory: Directory, position: int, ref: Ref) -> None:
    layer = tree.layer(position)
    if position == UPPER or not hasattr(layer, "plain_listing"):
        for name, entry in layer.listing(ref):
            _adopt(tree, directory, name, merge_entries([(position, entry)], tree.resolve))
        return
    listed: Listed = layer  # type: ignore[assignment] # it has what is of `Listed`
    plain, others = listed.plain_listing(ref)
    for name in directory.children:
        # What has been asked for before.
        plain.pop(name, None)
    if tree.shows_owner is not None:
        owners = {attributes[3:5] for attributes in plain.values()}
        hidden = {owner for owner in owners if not tree.shows_owner(owner)}
        if hidden:
            for name, attributes in list(plain.items()):
                if attributes[3:5] in hidden:
                    del plain[name]
                    here = listed.plain_ref(ref, name, attributes)
                    others.append((name, LayerEntry(here, attributes)))
    directory.dormant = plain
    for name, entry in others:
        _adopt(tree, directory, name, merge_entries([(position, entry)], tree.resolve))


def _adopt(tree: Tree, directory: Directory, name: bytes, found: Found) -> None:
    if found and name not in directory.children:
        directory.insert(name, tree.adopt(directory, name, found), is_new=False)


def wake(tree: Tree, directory: Directory, name: bytes) -> Node:
    """Make a dormant name a node."""
    attributes = directory.dormant.pop(name)
    position, above = directory.lowers[0]
    layer: Listed = tree.lowers[position - 1]  # type: ignore[assignment] # else nothing is dormant
    ref = layer.plain_ref(above, name, attributes)
    node = Node(directory, name, position, ref, attributes)
    directory.children[name] = node
    table = tree.table
    if table.told.pop(node.nodeid, None) is not None:
        node.lookups = 1
        table.nodes[node.nodeid] = node
    return node


def wake_all(tree: Tree, directory: Directory) -> None:
    for name in list(directory.dormant):
        wake(tree, directory, name)


def readdir(tree: Tree, directory: Directory, cookie: int) -> Iterator[tuple[int, bytes, Node]]:
    """The names after `cookie`, lazily: (cookie, name, node)."""
    stream = _stream(tree, directory)
    children, dormant = directory.children, directory.dormant
    for at, name in stream.after(cookie):
        if name in dormant:
            yield at, name, wake(tree, directory, name)
        elif name in children:
            yield at, name, children[name]


def fill(tree: Tree, directory: Directory, cookie: int, room: int, fixed: int) -> list[Told]:
    """The names after `cookie` of which the kernel is told at once, each counted as a reference:
    as many as fit into `room` bytes if each takes `fixed` and its length, rounded up to a multiple
    of eight.

    Raises:
        OSError: if the attributes of the first cannot be read. At another the list ends.
    """
    stream, table = _stream(tree, directory), tree.table
    children, dormant, told, nodes = directory.children, directory.dormant, table.told, tree.nodes
    fixed += 7
    result: list[Told] = []
    tell = result.append
    sleeping = 0
    try:
        for at, name in stream.after(cookie):
            attributes = dormant.get(name)
            if attributes is not None:
                room -= fixed + len(name) & -8
                if room < 0:
                    break
                number = attributes[0]
                if number not in told and number not in nodes:
                    told[number] = (directory, name)
                    sleeping += 1
                    tell((at, name, number, attributes))  # type: ignore[arg-type] # a call, at run time
                    continue
                node = wake(tree, directory, name)
            else:
                found = children.get(name)
                if found is None:
                    continue
                node = found
                room -= fixed + len(name) & -8
                if room < 0:
                    break
                if node.stale:
                    tree.settle(node)
            table.remember(node)
            tell((at, name, node.nodeid, node.attributes))
    except OSError:
        if not result:
            raise
    finally:
        if sleeping:
            directory.hold(sleeping)
    return result


def _stream(tree: Tree, directory: Directory) -> Stream:
    load(tree, directory)
    children, dormant = directory.children, directory.dormant
    stream = directory.stream
    if stream is None:
        stream = directory.stream = Stream([*children, *dormant])
    else:
        stream.sweep({*children, *dormant}, len(children) + len(dormant))
    return stream
