"""Reading directories: names become nodes, and nodes are told to the kernel.

What a cold walk costs is the work done here for each name, so plain names (files of a lower with
one name, which most are) go through no call of ours.
"""

from __future__ import annotations

from unionfs.layer import Mark
from unionfs.merge import merge_entries, merge_listings
from unionfs.nodes import UPPER, Directory, Node, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from unionfs.layer import LayerEntry, Ref
    from unionfs.merge import Found
    from unionfs.ops.tree import Tree

_FEW = 64
"""Names of lowers up to which a directory remembers them, so that removing others need not ask."""

_S_IFMT = 0o170000
_S_IFDIR = 0o040000
_new_object = object.__new__


def load(tree: Tree, directory: Directory) -> None:
    """Read the whole directory, one pass over each layer."""
    if directory.complete:
        return
    sources = list(directory.lowers)
    if directory.upper is not None:
        sources.insert(0, (UPPER, directory.upper))
    if len(sources) == 1:
        position, ref = sources[0]
        _load_one(tree, directory, position, tree.layer(position).listing(ref))
        if position != UPPER and len(directory.children) <= _FEW:
            directory.below = set(directory.children)
    else:
        _load_merged(tree, directory, sources)
    directory.complete = True
    if directory.stream is not None:
        directory.stream.extend(directory.children)


def _load_one(
    tree: Tree, directory: Directory, position: int, listing: Iterable[tuple[bytes, LayerEntry]]
) -> None:
    """What one layer alone says. Its plain names are adopted here: `Adoption.adopt`, for them."""
    children, none = directory.children, Mark.NONE
    known = bool(children)
    shows_owner = tree.shows_owner
    is_lower = position != UPPER
    others: list[tuple[bytes, LayerEntry]] = []
    for name, entry in listing:
        ref, attributes, mark, _, _, _ = entry
        if (
            attributes[2] != 1
            or attributes[1] & _S_IFMT == _S_IFDIR
            or mark is not none
            or not is_lower
            or (shows_owner is not None and not shows_owner(attributes[3:5]))
        ):
            if mark is not Mark.WHITEOUT:
                others.append((name, entry))
            continue
        if known and name in children:
            continue
        node: Node = _new_object(Node)
        node.nodeid = attributes[0]  # type: ignore[assignment] # a call, at run time
        node.attributes = attributes
        node.parent = directory
        node.name = name
        node.layer = position
        node.ref = ref
        node.lookups = 0
        node.backing = None
        node.stale = False
        node.has_capabilities = None
        children[name] = node
    for name, entry in others:
        if name not in children:
            directory.insert(name, tree.adopt(directory, name, [(position, entry)]), is_new=False)


def _load_merged(tree: Tree, directory: Directory, sources: list[tuple[int, Ref]]) -> None:
    said, directory.below = merge_listings(
        ((position, tree.layer(position).listing(ref)) for position, ref in sources), _FEW
    )
    for name, entries in said.items():
        if name in directory.children:
            continue
        found: Found = merge_entries(entries, tree.resolve)
        if found:
            directory.insert(name, tree.adopt(directory, name, found), is_new=False)


Named: TypeAlias = "tuple[int, bytes, Node]"
"""Where to go on after it, a name, and what it leads to."""


def readdir(tree: Tree, directory: Directory, cookie: int) -> Iterator[Named]:
    """The names after `cookie`, lazily."""
    return _stream(tree, directory).after(cookie, directory.children)


def fill(tree: Tree, directory: Directory, cookie: int, room: int, fixed: int) -> list[Named]:
    """The names after `cookie` of which the kernel is told at once, each counted as a reference:
    as many as fit into `room` bytes if each takes `fixed` and its length, rounded up to a multiple
    of eight.

    Raises:
        OSError: if the attributes of the first cannot be read. At another the list ends.
    """
    stream = _stream(tree, directory)
    fixed += 7
    told: list[Named] = []
    tell, nodes, remember = told.append, tree.nodes, tree.table.remember
    held = 0
    try:
        for each in stream.after(cookie, directory.children):
            _, name, node = each
            room -= fixed + len(name) & -8
            if room < 0:
                break
            if node.stale:
                tree.settle(node)
            number = node.nodeid
            if (
                node.lookups
                or number in nodes
                or node.aliases is not None
                or node.parent is not directory
                or isinstance(node, Directory)
            ):
                remember(node)
            else:
                # The same for what most are.
                nodes[number] = node
                node.lookups = 1
                held += 1
            tell(each)
    except OSError:
        if not told:
            raise
    finally:
        if held:
            directory.hold(held)
    return told


def _stream(tree: Tree, directory: Directory) -> Stream:
    load(tree, directory)
    if directory.stream is None:
        directory.stream = Stream(list(directory.children))
    return directory.stream
