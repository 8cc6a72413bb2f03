"""Statistics of copy-up: a record for each file that was copied since the mount, with its cost and the process that
caused it.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_RECORDS = 10_000
"""Of later files only the sums are kept."""

_MAX_EXPECTED = 256
"""Files whose next writer is remembered."""

_NAME_SECONDS = 0.05
"""How long a process is taken to have the same name: one that copies up thousands of files is asked
for it twenty times a second."""


class CopyUpCause(NamedTuple):
    """A process: its number where the mount was made, and its name at the time. Number 0: not known,
    as of a write from the page cache; name empty: not known."""

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


def _unknown_process() -> int:
    return 0


class CopyUpCauses:
    """The processes that cause copy-ups. `ask` returns the number of the process whose request is being answered, 0
    if the session does not know it; `name_of` returns a process's name.

    The kernel collects writes in the page cache and sends them without a process. But before its
    first write(2) to a file a process asks for `security.capability` (file_remove_privs,
    fs/inode.c): `expect` records it then.
    """

    def __init__(self) -> None:
        self.ask: Callable[[], int] = _unknown_process
        self.name_of: Callable[[int], str] = _own_name
        self.expected: dict[int, int] = {}
        """Processes by the inode numbers of files to which they may be about to write."""
        self._last = UNKNOWN
        self._last_until = 0.0

    def expect(self, ino: int) -> None:
        """The process of this request may be about to write to a file of a lower."""
        expected = self.expected
        if len(expected) >= _MAX_EXPECTED:
            del expected[next(iter(expected))]
        expected[ino] = self.ask()

    def of(self, ino: int) -> CopyUpCause:
        pid = self.ask() or self.expected.pop(ino, 0)
        if not pid:
            return UNKNOWN
        now = monotonic()
        if pid != self._last.pid or now >= self._last_until:
            self._last, self._last_until = CopyUpCause(pid, self.name_of(pid)), now + _NAME_SECONDS
        return self._last


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
    """Sums, and the records, oldest first."""

    def __init__(self) -> None:
        self.files = 0
        self.copied = 0
        """Bytes, those that lazy copies have added included."""
        self.size = 0
        """Bytes that plain copies of the same files would have taken."""
        self._records: list[CopyUpRecord] = []
        self._lock = allocate_lock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=allocate_lock())

    def go_on_from(self, before: CopyUpStats) -> None:
        """Take over what was counted before any of this."""
        self.files, self.copied, self.size = before.files, before.copied, before.size
        self._records[:] = before

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
        if len(self._records) < _MAX_RECORDS:
            self._records.append(record)
