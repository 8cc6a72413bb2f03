"""What copying up has cost, and who has caused it: a record for each file that was copied since
the mount."""

from __future__ import annotations

import os
from _thread import allocate_lock

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEPT = 10_000
"""Records; of later files only the sums are kept."""

_EXPECTED = 256
"""Files whose next writer is remembered."""


class CopyUpCause(NamedTuple):
    """A process: its number where the mount was made, and its name then. Number 0: not known, as of a
    write that the kernel had gathered; name empty: not known."""

    pid: int
    name: str


UNKNOWN = CopyUpCause(0, "")


def _own_name(pid: int) -> str:
    """The name of a process in the server's own PID namespace."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def _nobody() -> int:
    return 0


class CopyUpCauses:
    """Whose request makes a file be copied. `ask` tells the process of the request that is being
    answered, 0 if the session does not know; `name_of` its name.

    The kernel gathers writes, and hands them over in nobody's name. But before its first write(2) to a
    file a process asks for `security.capability` (file_remove_privs, fs/inode.c): that is noted.
    """

    def __init__(self) -> None:
        self.ask: Callable[[], int] = _nobody
        self.name_of: Callable[[int], str] = _own_name
        self._expected: dict[int, int] = {}

    def expect(self, ino: int) -> None:
        """This process may be about to write to a file of a lower."""
        expected = self._expected
        if len(expected) >= _EXPECTED:
            del expected[next(iter(expected))]
        expected[ino] = self.ask()

    def of(self, ino: int) -> CopyUpCause:
        pid = self.ask() or self._expected.pop(ino, 0)
        return CopyUpCause(pid, self.name_of(pid)) if pid else UNKNOWN


class CopyUpRecord:
    """One file. All but `changed` are known when it is copied; `changed` counts bytes written to it
    since, `copied` grows while a lazy copy is completed."""

    __slots__ = ("cause", "changed", "copied", "is_lazy", "path", "size")

    def __init__(
        self, path: bytes, cause: CopyUpCause, size: int, copied: int, *, is_lazy: bool
    ) -> None:
        self.path = path
        self.cause = cause
        self.size = size
        self.copied = copied
        self.changed = 0
        self.is_lazy = is_lazy

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "path": os.fsdecode(self.path),
            "pid": self.cause.pid,
            "process": self.cause.name,
            "size": self.size,
            "copied": self.copied,
            "changed": self.changed,
            "lazy": self.is_lazy,
        }


class CopyUpStats:
    """Sums, and the records in order of time."""

    def __init__(self) -> None:
        self.files = 0
        self.copied = 0
        """Bytes, those that lazy copies have added included."""
        self.size = 0
        """Bytes that plain copies of the same files would have taken."""
        self._records: list[CopyUpRecord] = []
        self._lock = allocate_lock()

    def __iter__(self) -> Iterator[CopyUpRecord]:
        return iter(self._records)

    @property
    def changed(self) -> int:
        """Bytes written to the files that have a record."""
        return sum(record.changed for record in self._records)

    def add_completed(self, size: int) -> None:
        """Bytes of a lazy copy that have been copied after all. May be called in any thread."""
        with self._lock:
            self.copied += size

    def add(self, record: CopyUpRecord) -> None:
        self.files += 1
        self.add_completed(record.copied)
        self.size += record.size
        if len(self._records) < _KEPT:
            self._records.append(record)
