"""One output of a container, copied to its log and to every client that is attached to it.

Each client has a pipe of its own, whose writing end never blocks, and a backlog of what did not fit.
While a backlog is full the output is not read, so that nothing is lost and a container that writes
faster than its reader is slowed down, as by a plain pipe. A client that `may_be_left` and has taken
nothing for some seconds is left behind: the log has the rest.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.supervisor.clients import Client

_CHUNK = 65536
_READS = 16
_LARGE = 1 << 18
"""Bytes of a pipe: a quarter of what an ordinary user may set, so that the limit of all pipes of a user
(pipe-user-pages-soft, 64 MiB) is not used up by a few containers."""
_SMALL = 4096
"""Bytes: after a read of less the pipe is taken to be empty."""
BACKLOG = 1 << 20
"""Bytes for one client beside its pipe's."""
PATIENCE = 10.0
"""Seconds that a client may take nothing while its backlog is full."""


class Sink:
    """The writing end of a client's pipe."""

    def __init__(self, client: Client, descriptor: int, *, may_be_left: bool) -> None:
        self.client = client
        self.descriptor = descriptor
        self.may_be_left = may_be_left
        self.is_open = True
        self._backlog: list[bytes] = []
        self._size = 0
        self._taken = 0.0
        self._ends = False
        os.set_blocking(descriptor, False)

    @property
    def waits(self) -> bool:
        """Whether something is to be written."""
        return self.is_open and bool(self._backlog)

    @property
    def is_full(self) -> bool:
        """Of a client that may not be left behind no more is kept than has been read at once."""
        return self.is_open and self._size > (BACKLOG if self.may_be_left else 0)

    def put(self, data: bytes) -> None:
        """Write, and keep what the pipe does not take."""
        if not self.is_open:
            return
        if not self._backlog:
            self._taken = time.monotonic()
        self._backlog.append(data)
        self._size += len(data)
        self.advance()

    def advance(self) -> None:
        """Write what the pipe takes."""
        while self._backlog:
            data = self._backlog[0]
            try:
                written = os.write(self.descriptor, data)
            except BlockingIOError:
                return
            except BrokenPipeError:
                self.close()
                return
            self._taken = time.monotonic()
            self._size -= written
            if written == len(data):
                self._backlog.pop(0)
            else:
                self._backlog[0] = data[written:]
        if self._ends:
            self.close()

    def patience(self) -> float | None:
        """Seconds until the client may be left behind; None if nothing waits for it."""
        if not self.may_be_left or not (self.is_full or (self._ends and self.waits)):
            return None
        return max(0.0, self._taken + PATIENCE - time.monotonic())

    def end(self) -> None:
        """Close it when everything has been written."""
        self._ends = True
        self.advance()

    def close(self) -> None:
        """Idempotent."""
        if self.is_open:
            self.is_open = False
            self._backlog.clear()
            self._size = 0
            os.close(self.descriptor)


class FanOut:
    """`source` is the reading end, non-blocking, and belongs to it. `record` gets all that is read."""

    def __init__(self, source: int, record: Callable[[bytes], None] | None) -> None:
        self.source = source
        self.is_open = True
        self.sinks: list[Sink] = []
        self._is_large = False
        self._record = record

    def connect(self, client: Client, *, may_be_left: bool) -> int:
        """The reading end of a new pipe, which gets the output from now on."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        sink = Sink(client, writer, may_be_left=may_be_left)
        if self.is_open:
            self.sinks.append(sink)
        else:
            sink.close()
        return reader

    def wants_input(self) -> bool:
        return self.is_open and not any(sink.is_full for sink in self.sinks)

    def advance(self) -> None:
        """Read what is there, at most `_READS` times, and pass it on."""
        for _ in range(_READS):
            try:
                data = os.read(self.source, _CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""  # EIO: no process has the terminal open (pty(7))
            if not data:
                self.close()
                return
            if self._record is not None:
                self._record(data)
            for sink in self.sinks:
                sink.put(data)
            if len(data) < _SMALL or not self.wants_input():
                return
        self._enlarge()

    def _enlarge(self) -> None:
        """Of an output that is busy: the container and the clients then wait less often for this process."""
        if self._is_large:
            return
        self._is_large = True
        import fcntl

        for descriptor in (self.source, *(sink.descriptor for sink in self.sinks if sink.is_open)):
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _LARGE)
            except OSError:
                pass  # a terminal, or the user's pipes take as much as they may (pipe(7))

    def lost(self, belongs_to: Callable[[Client], bool]) -> bool:
        """Whether a client of that kind has closed the output. Forgets all that have."""
        gone = [sink for sink in self.sinks if not sink.is_open]
        self.sinks = [sink for sink in self.sinks if sink.is_open]
        return any(belongs_to(sink.client) for sink in gone)

    def drain(self) -> None:
        """Read what is there, whatever the backlogs are, and close: the container has ended. Of a
        process of the host that goes on writing (--pid=host) no more is read than a pipe holds.
        """
        for _ in range(64):
            if not self.is_open or not _is_readable(self.source):
                break
            self.advance()
        self.close()

    def close(self) -> None:
        """End the output, and each sink when its client has all of it. Idempotent."""
        if self.is_open:
            self.is_open = False
            os.close(self.source)
            for sink in self.sinks:
                sink.end()
            self.sinks = [sink for sink in self.sinks if sink.is_open]


def _is_readable(descriptor: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
