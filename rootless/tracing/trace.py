"""The trace of a container: the files that it has read, listed and looked for. Pure."""

from __future__ import annotations

from unionfs.light_types import Enum, NamedTuple


class Kind(Enum):
    """What was done at a path."""

    READ = "read"
    """The bytes of a file, or the target of a symbolic link."""
    LISTED = "listed"
    """The names in a directory."""
    FOUND = "found"
    """It was looked for by name and is there."""
    MISSING = "missing"
    """It was looked for by name and is not there."""


class Process(NamedTuple):
    """A process of the container, by its PID there and the last name that was seen of it; the name is empty if none
    was. The PID is 0 for the kernel and for processes of other PID namespaces."""

    pid: int
    name: str


class Access(NamedTuple):
    """All accesses of one kind to one path, as far as the kernel asked its file server.

    Args:
        path: Absolute in the container, as it was at the first access.
        requests: How often the kernel asked.
        bytes: What it asked for of a file, with what it read ahead.
        first_ns, last_ns: Nanoseconds since the epoch.
        processes: Those that asked, in the order of their first request.
    """

    path: bytes
    kind: Kind
    requests: int
    bytes: int
    first_ns: int
    last_ns: int
    processes: tuple[Process, ...]


class Trace(NamedTuple):
    """The trace of the last run of a container.

    Args:
        container: Its id.
        complete: It covers the run from the beginning: its file server was never replaced.
        finished: The run has ended.
        accesses: In the order of their first times.
    """

    container: str
    complete: bool
    finished: bool
    accesses: tuple[Access, ...]
