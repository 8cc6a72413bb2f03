"""The names of an archive that is being indexed: the node number by directory and name.

Up to a limit they are kept in memory, beyond it they are moved to the index, so that memory is bounded
for every archive: a name in memory takes about 180 bytes, and there are archives with millions. Archives
list one directory after the other, so names in the index are seldom looked up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from unionfs.tar.index import IMPLIED, OPAQUE, WHITEOUT

if TYPE_CHECKING:
    import sqlite3

GONE: Final = 0
"""The node number of a whiteout."""

_DIRECTORY: Final = 64
_IN_INDEX: Final = 128
_MARKS: Final = OPAQUE | IMPLIED
_HIDING: Final = 8
"""In the column `flags` of names that are not final: the archive also removes the name."""
_BATCH: Final = 1000


class Name(NamedTuple):
    """The node of a name. `hiding`: the archive has a whiteout of the name, too, before or after it."""

    ino: int
    hiding: bool


class NameTable:
    """Names by directory. The caller assigns node numbers, in ascending order."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._recent: dict[int, dict[bytes, int]] = {}
        self._states = bytearray(2)
        self._spilled = False
        self.in_memory = 0
        """Number of names in memory."""

    # Directories.

    def add_directory(self, ino: int, marks: int) -> None:
        """Add an empty directory."""
        self._reach(ino)
        self._states[ino] = _DIRECTORY | marks

    def is_directory(self, ino: int) -> bool:
        """Whether this is the number of a directory that has not been removed."""
        return ino < len(self._states) and bool(self._states[ino] & _DIRECTORY)

    def marks(self, ino: int) -> int:
        """The flags of a directory: OPAQUE and IMPLIED."""
        return self._states[ino] & _MARKS

    def set_marks(self, ino: int, marks: int) -> None:
        """Replace the flags of a directory."""
        self._states[ino] = self._states[ino] & ~_MARKS | marks

    def remove_directory(self, ino: int) -> None:
        """Remove a directory that is empty."""
        self._states[ino] = 0

    # Names.

    def get(self, parent: int, name: bytes) -> Name | None:
        """Look up a name; None if there is none."""
        recent = self._recent.get(parent)
        if recent is not None and (found := recent.get(name)) is not None:
            return Name(found >> 1, bool(found & 1))
        if self._states[parent] & _IN_INDEX:
            row = self._database.execute(
                "SELECT ino, flags FROM entry WHERE parent = ? AND name = ?", (parent, name)
            ).fetchone()
            return row and Name(row[0], bool(row[1] & _HIDING))
        return None

    def put(self, parent: int, name: bytes, ino: int, *, hiding: bool) -> None:
        """Add a name, or replace it."""
        recent = self._recent.setdefault(parent, {})
        if name not in recent:
            self.in_memory += 1
        recent[name] = ino << 1 | hiding

    def take_some(self, parent: int) -> list[int]:
        """Remove some names of a directory. Returns their nodes, none if the directory is empty."""
        recent = self._recent.pop(parent, None)
        if recent:
            self.in_memory -= len(recent)
            if not self._states[parent] & _IN_INDEX:
                return [each >> 1 for each in recent.values()]
            self._store(self._rows(parent, recent))
        if not self._states[parent] & _IN_INDEX:
            return []
        found = self._database.execute(
            "SELECT name, ino FROM entry WHERE parent = ? LIMIT ?", (parent, _BATCH)
        ).fetchall()
        self._database.executemany(
            "DELETE FROM entry WHERE parent = ? AND name = ?", ((parent, name) for name, _ in found)
        )
        return [ino for _, ino in found]

    # The index.

    def spill(self) -> None:
        """Move all names to the index, without their final flags."""
        self._spilled = True
        self._store(
            row
            for parent in sorted(self._recent)
            for row in self._rows(parent, self._recent[parent])
        )
        for parent in self._recent:
            self._states[parent] |= _IN_INDEX
        self._recent.clear()
        self.in_memory = 0

    def finish(self) -> None:
        """Move all names to the index, with their final flags."""
        # In the order of the primary key, so that SQLite appends pages instead of splitting them.
        self._store(
            (parent, name, each >> 1, self._flags(each >> 1))
            for parent in sorted(self._recent)
            for name, each in sorted(self._recent[parent].items())
        )
        if self._spilled:
            self._database.create_function("flags_of", 1, self._flags, deterministic=True)
            self._database.execute(
                "UPDATE entry SET flags = flags_of(ino) WHERE flags != flags_of(ino)"
            )

    def subdirectories(self) -> Iterator[tuple[int, int]]:
        """Number and count of subdirectories of each directory that has any. Call after `finish`."""
        current, count = 0, 0
        for parent, ino in self._database.execute("SELECT parent, ino FROM entry ORDER BY parent"):
            if parent != current:
                if count:
                    yield current, count
                current, count = parent, 0
            count += self.is_directory(ino)
        if count:
            yield current, count

    def _rows(self, parent: int, names: dict[bytes, int]) -> Iterator[tuple[int, bytes, int, int]]:
        return (
            (parent, name, each >> 1, _HIDING if each & 1 else 0)
            for name, each in sorted(names.items())
        )

    def _store(self, rows: Iterator[tuple[int, bytes, int, int]]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", rows)

    def _flags(self, ino: int) -> int:
        if ino == GONE:
            return WHITEOUT
        return self._states[ino] & _MARKS if ino < len(self._states) else 0

    def _reach(self, ino: int) -> None:
        if ino >= len(self._states):
            self._states.extend(bytes(ino + 1 - len(self._states) + _BATCH))
