"""Appends events to the log: called by commands and by monitors.

    RUNROOT/events.jsonl       an event a line
    RUNROOT/events.jsonl.1     the events before those
    RUNROOT/events.jsonl.lock  held while the one is renamed to the other

Any number of processes append at the same time: each event is one write(2) with O_APPEND. The log is
local to the machine and not durable, like the events of a docker daemon: an event is never a reason for
a command to fail or to wait.
"""

from __future__ import annotations

import os

from rootless.errors import HostSupportError
from rootless.events.event import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.events.event import Event

LIMIT = 1 << 20
"""Bytes of a file of the log, after which the next is begun."""
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class EventLog:
    """The log of one user. `runtime` is the directory of sockets and locks."""

    __slots__ = ("path", "runtime")

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.path = f"{runtime}/events.jsonl"

    @property
    def older(self) -> str:
        """The file before the current one."""
        return f"{self.path}.1"

    def append(self, *events: Event) -> None:
        """Write events in one piece. Those that cannot be written are lost: never raises."""
        data = b"".join(map(encode, events))
        try:
            log = self._open()
            try:
                size = os.fstat(log).st_size
                # A process before this one was killed, or the disk was full, in the middle of a line.
                if size and os.pread(log, 1, size - 1) != b"\n":
                    data = b"\n" + data
                os.write(log, data)
                if size + len(data) > LIMIT:
                    self._rotate(log)
            finally:
                os.close(log)
        except (OSError, HostSupportError):
            pass

    def _open(self) -> int:
        from rootless.private_directory import make_private_directory

        # Each time: in /tmp another user may have made it since.
        make_private_directory(self.runtime, "ROOTLESS_RUNROOT")
        return os.open(self.path, _FLAGS, 0o600)

    def _rotate(self, log: int) -> None:
        """Begin another file, unless another process has done it."""
        from rootless.durable import locked

        with locked(f"{self.path}.lock"):
            if os.stat(self.path).st_ino == os.fstat(log).st_ino:
                os.rename(self.path, self.older)
