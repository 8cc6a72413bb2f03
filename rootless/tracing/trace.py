"""The trace of a container: the files that it has read, listed and looked for. Pure."""

from __future__ import annotations

from unionfs.light_types import Enum, NamedTuple


class Kind(Enum):
    """The kind of an access to a path."""

    READ = "read"
    """The bytes of a file, or the target of a symbolic link."""
    LISTED = "listed"
    """The names in a directory."""
    FOUND = "found"
    """It was looked for by name and is there."""
    MISSING = "missing"
    """It was looked for by name and is not there."""


class Process(NamedTuple):
    """A process of the container: its PID there and its last known name, which may be empty. The PID is 0 for
    the kernel and for processes of other PID namespaces.
    """

    pid: int
    name: str


class Access(NamedTuple):
    """All accesses of one kind to one path, as far as the kernel asked its file server.

    Args:
        path: Absolute in the container, as it was at the first access.
        requests: How often the kernel asked.
        bytes: The bytes that it read of a file, read-ahead included.
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
