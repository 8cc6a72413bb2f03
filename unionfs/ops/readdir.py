"""readdir and readdirplus: the names of a directory in the order of their cookies."""

from __future__ import annotations

from unionfs.nodes import Directory, Node, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from unionfs.model import Attributes, NodeId
    from unionfs.ops.tree import Tree

Announcement: TypeAlias = "tuple[int, bytes, NodeId, Attributes]"
"""The cookie after which to go on, a name, and the number and attributes of its object."""


def readdir(tree: Tree, directory: Directory, cookie: int) -> Iterator[tuple[int, bytes, Node]]:
    """The names after `cookie`, lazily: (cookie, name, node)."""
    stream = _stream(tree, directory)
    children, unmaterialized = directory.children, directory.unmaterialized
    for at, name in stream.after(cookie):
        if name in unmaterialized:
            yield at, name, tree.listings.materialize(directory, name)
        elif name in children:
            yield at, name, children[name]


def fill(
    tree: Tree, directory: Directory, cookie: int, room: int, fixed: int
) -> list[Announcement]:
    """The names after `cookie`, each counted as a reference by the kernel: as many as fit into `room`
    bytes if each takes `fixed` and its length, rounded up to a multiple of eight.

    Raises:
        OSError: if the attributes of the first cannot be read. At another the list ends.
    """
    stream, table, nodes = _stream(tree, directory), tree.table, tree.nodes
    children, unmaterialized = directory.children, directory.unmaterialized
    announced = table.announced
    fixed += 7
    result: list[Announcement] = []
    append = result.append
    announced_count = 0
    try:
        for at, name in stream.after(cookie):
            attributes = unmaterialized.get(name)
            if attributes is not None:
                room -= fixed + len(name) & -8
                if room < 0:
                    break
                number = attributes[0]
                if number not in announced and number not in nodes:
                    announced[number] = (directory, name)
                    announced_count += 1
                    append((at, name, number, attributes))  # type: ignore[arg-type] # NodeId(number) is a call
                    continue
                node = tree.listings.materialize(directory, name)
            else:
                found = children.get(name)
                if found is None:
                    continue
                node = found
                room -= fixed + len(name) & -8
                if room < 0:
                    break
                if node.stale:
                    tree.refresh_attributes(node)
            table.remember(node)
            append((at, name, node.nodeid, node.attributes))
    except OSError:
        if not result:
            raise
    finally:
        if announced_count:
            directory.hold(announced_count)
    if room < 0 and tree.journal is not None and not stream.is_recorded:
        # There are more parts: a server that takes over has to go on in the same order.
        from unionfs.ops.recovery import stream_record

        tree.journal.add(*stream_record(directory, stream))
        stream.is_recorded = True
    return result


def _stream(tree: Tree, directory: Directory) -> Stream:
    tree.listings.load(directory)
    children, unmaterialized = directory.children, directory.unmaterialized
    stream = directory.stream
    if stream is None and tree.recovery is not None:
        stream = directory.stream = tree.recovery.stream(directory)
        if stream is not None:
            stream.extend((*children, *unmaterialized))
    if stream is None:
        stream = directory.stream = Stream([*children, *unmaterialized])
    elif stream.is_sparse(len(children) + len(unmaterialized)):
        stream.compact({*children, *unmaterialized})
    return stream
