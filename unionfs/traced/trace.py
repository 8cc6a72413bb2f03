"""The trace of a union: a record for each path of the lowers and kind of access.

Paths are those of the lowers, relative, without slashes at the ends; the root is empty. A path that was
looked up in vain has a record too. What the writer of the union made itself has none, since it is not of
the lowers. Pure: `unionfs.traced.union` makes the records.
"""

from __future__ import annotations

from unionfs.light_types import IntEnum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Access(IntEnum):
    """The kinds of accesses to a path. Flags: a record holds the sum of several."""

    LOOKUP = 1
    """Whether it exists, and its attributes; of a symbolic link the target too."""
    CONTENT = 2
    """The bytes of a regular file."""
    NAMES = 4
    """The names in a directory, with their types."""
    XATTRS = 8
    """Its extended attributes."""
    TREE = 16
    """All of the above, of the path and of everything below it."""


class Record(NamedTuple):
    """One path; `access` is a sum of `Access`."""

    path: bytes
    access: int


class Trace:
    """The accesses of one mount, by directory and name: as a union gets them."""

    def __init__(self) -> None:
        self._root = int(Access.LOOKUP)
        self._names: dict[bytes, dict[bytes, int]] = {}

    def names_in(self, directory: bytes) -> dict[bytes, int]:
        """The accesses to the names in the directory of this path. The caller adds to them."""
        return self._names.setdefault(directory, {})

    def add(self, path: bytes, access: int) -> None:
        """Note an access."""
        if not path:
            self._root |= access
            return
        directory, _, name = path.rpartition(b"/")
        names = self.names_in(directory)
        names[name] = names.get(name, 0) | access

    def records(self) -> Iterator[Record]:
        """A record for each path, in no particular order."""
        yield Record(b"", self._root)
        for directory, names in self._names.items():
            prefix = directory + b"/" if directory else b""
            for name, access in names.items():
                yield Record(prefix + name, access)


def encode(trace: Trace) -> bytes:
    """The records as bytes: for each the access as one byte, the path, and a NUL."""
    return b"".join(b"%c%s\0" % (access, path) for path, access in trace.records())


def decode(data: bytes) -> list[Record]:
    """The records that `encode` has written. Raises ValueError for anything else."""
    if not data.endswith(b"\0"):
        raise ValueError("a trace that does not end with a record")
    found = []
    for each in data[:-1].split(b"\0"):
        if not each:
            raise ValueError("a record without an access")
        found.append(Record(each[1:], each[0]))
    return found
