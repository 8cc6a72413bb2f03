"""What a session counts: requests, time and bytes by operation. Pure values; the session adds to
them as it goes."""

from __future__ import annotations

from unionfs.light_types import NamedTuple
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.copy_up_stats import CopyUpStats

STATISTICS = b"user.rootless.stats"
"""The extended attribute of the root by which the mount's owner reads what has been counted. It is
not listed."""

FINISH = b"user.rootless.finish"
"""The extended attribute of the root by whose reading the mount's owner has every lazy copy completed:
its value is the number of bytes that took. It is not listed."""

CONTROLS = frozenset((STATISTICS, FINISH))

_ROOM = 48 << 10
"""Bytes of the statistics that list copies: a value has at most 64 KiB (xattr(7))."""

_SLOTS = max(Opcode) + 1


class OperationCount(NamedTuple):
    """`nanoseconds` is from the request read to its reply written; `bytes` are those of file data
    read or written."""

    operation: str
    requests: int
    nanoseconds: int
    bytes: int


class Counters:
    """Indexed by opcode, so that counting is two list additions a request."""

    __slots__ = ("bytes", "errors", "faults", "nanoseconds", "requests")

    def __init__(self) -> None:
        self.requests = [0] * _SLOTS
        self.nanoseconds = [0] * _SLOTS
        self.bytes = [0] * _SLOTS
        self.errors = 0
        """Replies with an errno: most are ordinary answers."""
        self.faults = 0
        """Requests that ended in an exception which is not an OSError: each was logged."""

    def by_operation(self) -> list[OperationCount]:
        """Every operation that occurred, in order of opcode."""
        return [
            OperationCount(
                opcode.name.lower(),
                self.requests[opcode],
                self.nanoseconds[opcode],
                self.bytes[opcode],
            )
            for opcode in Opcode
            if self.requests[opcode]
        ]

    def document(self, session: str, ledger: CopyUpStats) -> bytes:
        """What `STATISTICS` says, as JSON."""
        from json import dumps

        return dumps(
            {
                "session": session,
                "errors": self.errors,
                "faults": self.faults,
                "operations": [count._asdict() for count in self.by_operation()],
                "copies": {
                    "files": ledger.files,
                    "size": ledger.size,
                    "copied": ledger.copied,
                    "changed": ledger.changed,
                    "records": _records(ledger),
                },
            }
        ).encode()


def _records(ledger: CopyUpStats) -> list[dict[str, object]]:
    """The copies, those that cost most first, as many as an attribute has room for."""
    from json import dumps

    records: list[dict[str, object]] = []
    room = _ROOM
    for each in sorted(ledger, key=lambda record: -record.copied):
        record = each.document()
        room -= len(dumps(record)) + 2
        if room < 0:
            break
        records.append(record)
    return records
