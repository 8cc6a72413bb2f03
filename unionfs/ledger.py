"""What copying up has cost: a record for each file that was copied since the mount."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Iterator

_KEPT = 10_000
"""Records; of later files only the sums are kept."""


class CopyRecord:
    """One file. All but `changed` are known when it is copied; `changed` counts bytes written to it
    since, `copied` grows while a lazy copy is completed."""

    __slots__ = ("changed", "copied", "is_lazy", "path", "pid", "size")

    def __init__(self, path: bytes, pid: int, size: int, copied: int, *, is_lazy: bool) -> None:
        self.path = path
        self.pid = pid
        """Of the process whose request was the cause; 0 if it is not known (a write that the
        kernel had gathered)."""
        self.size = size
        self.copied = copied
        self.changed = 0
        self.is_lazy = is_lazy


class Ledger:
    """Sums, and the records in order of time."""

    def __init__(self) -> None:
        self.files = 0
        self.copied = 0
        """Bytes, those that lazy copies have added included."""
        self.size = 0
        """Bytes that plain copies of the same files would have taken."""
        self._records: list[CopyRecord] = []
        self._lock = allocate_lock()

    def __iter__(self) -> Iterator[CopyRecord]:
        return iter(self._records)

    @property
    def changed(self) -> int:
        """Bytes written to the files that have a record."""
        return sum(record.changed for record in self._records)

    def add_completed(self, size: int) -> None:
        """Bytes of a lazy copy that have been copied after all. May be called in any thread."""
        with self._lock:
            self.copied += size

    def add(self, record: CopyRecord) -> None:
        self.files += 1
        self.add_completed(record.copied)
        self.size += record.size
        if len(self._records) < _KEPT:
            self._records.append(record)
