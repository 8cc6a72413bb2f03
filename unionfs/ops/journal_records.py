"""Replays the records of a journal into their final state."""

from __future__ import annotations

from unionfs.journal import Journal, Record, pack_lower
from unionfs.journal_kinds import Kind
from unionfs.model import with_owner
from unionfs.nodes import SPARE_NODES, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class JournalRecords:
    """By node number. `is_empty`: there are no records, and so there was no other server."""

    def __init__(self, journal: Journal) -> None:
        self.directories: dict[int, tuple[int, bytes]] = {}
        self.named: dict[int, tuple[int, bytes]] = {}
        self.stashed: dict[int, bytes] = {}
        self.lower: dict[int, bytes] = {}
        self.gone: dict[int, bytes] = {}
        self.streams: dict[int, bytes] = {}
        self.is_empty = True
        for kind, nodeid, parent, name in journal.records():
            self.is_empty = False
            if kind is Kind.STREAM:
                self.streams[nodeid] = name
                continue
            if kind in (Kind.DIRECTORY, Kind.NAMED):
                places = self.directories if kind is Kind.DIRECTORY else self.named
                places.pop(nodeid, None)  # the latest come last
                places[nodeid] = parent, name
                continue
            for each in (self.named, self.stashed, self.lower, self.gone):
                each.pop(nodeid, None)
            if kind is Kind.FORGOTTEN and nodeid > SPARE_NODES:
                self.directories.pop(nodeid, None)
            if kind is Kind.STASHED:
                self.stashed[nodeid] = name
            elif kind is Kind.LOWER:
                self.lower[nodeid] = name
            elif kind is Kind.GONE:
                self.gone[nodeid] = name
                self.directories.pop(nodeid, None)

    def __iter__(self) -> Iterator[Record]:
        for kind, places in (
            (Kind.DIRECTORY, self.directories),
            (Kind.NAMED, self.named),
        ):
            for nodeid, (parent, name) in places.items():
                yield Record(kind, nodeid, parent, name)


def lower_record(node: Node, path: bytes) -> bytes:
    """Of an object that the lowers have at this path: see `pack_lower`."""
    known = node.attributes
    if node.owner is not None:
        known = with_owner(known, known.mode, *node.owner)
    return pack_lower(known, path)
