"""One step of an apply, and the lines of its journal. Pure."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple


class Fingerprint(NamedTuple):
    """By what an object of the host is recognized. `mode` has the type of file."""

    mode: int
    uid: int
    gid: int
    size: int
    ino: int
    mtime_ns: int
    ctime_ns: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def is_same(self, other: Fingerprint | None) -> bool:
        """Whether nothing but the time of the last change of the inode differs, which a link changes; of directories,
        neither what is in them."""
        if other is None:
            return False
        if self.is_directory and other.is_directory:
            return self.ino == other.ino
        return self._replace(ctime_ns=0) == other._replace(ctime_ns=0)


class Restored(NamedTuple):
    """An object that an undo has put back, and the one before the apply: the same but for numbers and the time of
    the last change.
    """

    now: Fingerprint
    before: Fingerprint


class Attributes(NamedTuple):
    """The attributes of a new object. Extended attributes by name, in base64."""

    mode: int
    mtime_ns: int
    target: str = ""
    xattrs: Mapping[str, str] = {}


class Action(Enum):
    """The action of a step at its path."""

    DIRECTORY = "directory"
    """Make a directory."""
    FILE = "file"
    """Put a regular file there, complete, in the place of what is there."""
    CONTENT = "content"
    """Write into the file that is there, because it has further names."""
    OBJECT = "object"
    """Make a symbolic link or a fifo, in the place of what is there."""
    LINK = "link"
    """Give the file at `source` this name too."""
    MOVE = "move"
    """Move what is at `source` there."""
    ATTRIBUTES = "attributes"
    """Set mode, extended attributes and time of modification."""
    REMOVE = "remove"
    """Remove a file, or a directory that is empty by then."""


class Step(NamedTuple):
    """`path` and `source` are relative to the root of the host's tree. `change`: the path of the change that the step
    is for. `data`: the file with the contents, relative to the container's directory. `given`: what the object has
    afterwards. `expected`: what was there when the plan was made; None for nothing, and for what a step before it
    puts there if `is_later`.
    """

    action: Action
    path: bytes
    change: bytes
    source: bytes = b""
    data: str = ""
    given: Attributes | None = None
    expected: Fingerprint | None = None
    is_later: bool = False


def to_plain(step: Step) -> dict[str, Any]:
    """For JSON: bytes as Latin-1."""
    found: dict[str, Any] = {
        "action": step.action.value,
        "path": step.path.decode("latin-1"),
        "change": step.change.decode("latin-1"),
    }
    if step.source:
        found["source"] = step.source.decode("latin-1")
    if step.data:
        found["data"] = step.data
    if step.given is not None:
        found["given"] = list(step.given)
    if step.expected is not None:
        found["expected"] = list(step.expected)
    if step.is_later:
        found["later"] = True
    return found


def from_plain(plain: dict[str, Any]) -> Step:
    """The inverse of `to_plain`. Raises LookupError, TypeError or ValueError for anything else."""
    return Step(
        Action(plain["action"]),
        plain["path"].encode("latin-1"),
        plain["change"].encode("latin-1"),
        plain.get("source", "").encode("latin-1"),
        plain.get("data", ""),
        attributes_in(plain.get("given")),
        fingerprint_in(plain.get("expected")),
        plain.get("later", False),
    )


def attributes_in(plain: list[Any] | None) -> Attributes | None:
    return None if plain is None else Attributes(*plain)


def fingerprint_in(plain: list[int] | None) -> Fingerprint | None:
    return None if plain is None else Fingerprint(*plain)
