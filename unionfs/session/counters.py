"""The counters of a session: requests, times and bytes by operation."""

from __future__ import annotations

from unionfs.light_types import NamedTuple
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.copy_up_stats import CopyUpStats

STATISTICS = b"user.rootless.stats"
"""The extended attribute of the root whose value is the counters, for the owner of the mount. No listing
shows it."""

FINISH = b"user.rootless.finish"
"""The extended attribute of the root whose reading completes every lazy copy, for the owner of the mount;
the value is the number of bytes copied. No listing shows it."""

CONTROLS = frozenset((STATISTICS, FINISH))

FREEZE = b"user.rootless.freeze:"
"""How the name of the extended attribute of the root begins whose reading freezes the tree, as its owner has prepared; the
rest of the name is the owner's word for it (`unionfs.filesystem.Mount.request_freeze`). Any process may read it."""

_ROOM = 40 << 10
"""Bytes of the statistics that list copies: a value has at most 64 KiB (xattr(7))."""

_SLOTS = max(Opcode) + 1

BUCKET_BITS = 6
"""A number of nanoseconds has at most 63 bits."""


class OperationCount(NamedTuple):
    """`nanoseconds` is from the request read to its reply written; `bytes` are those of file data
    read or written. `histogram` has pairs (bits, requests): requests that took from 2 ** (bits - 1)
    up to 2 ** bits nanoseconds, ascending."""

    operation: str
    requests: int
    nanoseconds: int
    bytes: int
    histogram: list[tuple[int, int]]


class Counters:
    """Indexed by opcode, so that counting is two list additions a request: `buckets` by
    `opcode << BUCKET_BITS | nanoseconds.bit_length()`, the others by opcode."""

    __slots__ = ("buckets", "bytes", "errors", "faults", "nanoseconds")

    def __init__(self) -> None:
        self.buckets = [0] * (_SLOTS << BUCKET_BITS)
        self.nanoseconds = [0] * _SLOTS
        self.bytes = [0] * _SLOTS
        self.errors = 0
        """Replies with an errno: most are ordinary answers."""
        self.faults = 0
        """Requests that ended in an exception which is not an OSError: each was logged."""

    @property
    def requests(self) -> list[int]:
        """By opcode: how many have been answered."""
        return [sum(self._buckets_of(opcode)) for opcode in range(_SLOTS)]

    def count(self, opcode: int, nanoseconds: int) -> None:
        """One request has been answered."""
        self.buckets[opcode << BUCKET_BITS | nanoseconds.bit_length()] += 1
        self.nanoseconds[opcode] += nanoseconds

    def lengthen(self, opcode: int, nanoseconds: int) -> None:
        """A request that was counted when a thread took it over has been answered, so much later.
        Those are the quickest of their opcode until then."""
        self.nanoseconds[opcode] += nanoseconds
        counts = self._buckets_of(opcode)
        first = next((bits for bits, count in enumerate(counts) if count), None)
        if first is not None:
            self.buckets[opcode << BUCKET_BITS | first] -= 1
            self.buckets[opcode << BUCKET_BITS | nanoseconds.bit_length()] += 1

    def by_operation(self) -> list[OperationCount]:
        """Every operation that occurred, in order of opcode."""
        found = []
        for opcode in Opcode:
            counts = self._buckets_of(opcode)
            if any(counts):
                histogram = [(bits, count) for bits, count in enumerate(counts) if count]
                found.append(
                    OperationCount(
                        opcode.name.lower(),
                        sum(counts),
                        self.nanoseconds[opcode],
                        self.bytes[opcode],
                        histogram,
                    )
                )
        return found

    def _buckets_of(self, opcode: int) -> list[int]:
        start = opcode << BUCKET_BITS
        return self.buckets[start : start + (1 << BUCKET_BITS)]

    def document(self, session: str, copy_up_stats: CopyUpStats) -> bytes:
        """The value of `STATISTICS`: JSON."""
        from json import dumps

        return dumps(
            {
                "session": session,
                "errors": self.errors,
                "faults": self.faults,
                "operations": [count._asdict() for count in self.by_operation()],
                "copies": {
                    "files": copy_up_stats.files,
                    "size": copy_up_stats.size,
                    "copied": copy_up_stats.copied,
                    "changed": copy_up_stats.changed,
                    "records": _records(copy_up_stats),
                },
            }
        ).encode()


def _records(copy_up_stats: CopyUpStats) -> list[dict[str, object]]:
    """The copies, those that cost most first, as many as an attribute has room for."""
    from json import dumps

    records: list[dict[str, object]] = []
    room = _ROOM
    for each in sorted(copy_up_stats, key=lambda record: -record.copied):
        record = each.document()
        room -= len(dumps(record)) + 2
        if room < 0:
            break
        records.append(record)
    return records
