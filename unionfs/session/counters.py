"""What a session counts: requests, time and bytes by operation. Pure values; the session adds to
them as it goes."""

from __future__ import annotations

from unionfs.bases import NamedTuple
from unionfs.session.wire import Opcode

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
