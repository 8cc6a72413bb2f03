"""The monitor's ends of a container's standard streams: pipes, or the master of its terminal.

Without a terminal the container gets pipes, never descriptors of a caller: a program that it leaves in
the state of a terminal, or that types into one (TIOCSTI), cannot reach the caller's.

They belong to one client at a time. The ends of pipes are handed over: the monitor keeps none, so
that the end of the client is the end of the pipe for the container, as a shell's pipe would be. Of a
terminal the monitor keeps the master, and the client gets a duplicate. While no client has them, the
output is read and discarded, because a container whose output is not read would block.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.supervisor.clients import Client

_CHUNK = 65536


class ContainerStreams:
    """`container_ends` are what the container's first process gets as 0, 1 and 2; None with a
    terminal.
    """

    def __init__(self, connected: tuple[bool, bool, bool], *, terminal: bool) -> None:
        self.container_ends: tuple[int, int, int] | None = None
        self.owner: Client | None = None
        self._console: int | None = None
        self._pipes: dict[int, int] = {}
        if not terminal:
            self._make_pipes(connected)

    def _make_pipes(self, connected: tuple[bool, bool, bool]) -> None:
        """A pipe for each connected stream, /dev/null for the others."""
        ends = []
        for number, wanted in enumerate(connected):
            if not wanted:
                ends.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
                continue
            reader, writer = os.pipe2(os.O_CLOEXEC)
            here, there = (writer, reader) if number == 0 else (reader, writer)
            os.set_blocking(here, False)
            self._pipes[number] = here
            ends.append(there)
        self.container_ends = (ends[0], ends[1], ends[2])

    def close_container_ends(self) -> None:
        """Once the container has them. Idempotent."""
        for descriptor in self.container_ends or ():
            os.close(descriptor)
        self.container_ends = None

    def take_console(self, console: int | None) -> None:
        """The master of the container's terminal, if it has one."""
        self._console = console
        if console is not None:
            os.set_blocking(console, False)

    @property
    def has_terminal(self) -> bool:
        return self._console is not None

    def attach(self, client: Client) -> str | None:
        """Give the streams to a client: (fields, descriptors) of ATTACHED; or why it cannot be."""
        if self.owner is not None and self.owner.is_open:
            return "another client is attached to the container"
        if self._console is None and self.owner is not None:
            return "the streams of the container were those of a client that has ended"
        self.owner = client
        return None

    def descriptors(self) -> tuple[list[int], tuple[int, ...]]:
        """Numbers of the streams and the monitor's ends of them; for a terminal no number."""
        if self._console is not None:
            return [], (self._console,)
        return list(self._pipes), tuple(self._pipes.values())

    def handed_over(self) -> None:
        """The client has the descriptors."""
        for descriptor in self._pipes.values():
            os.close(descriptor)
        self._pipes.clear()

    def close(self) -> None:
        """After the end of a run: the next one gets streams of its own. Idempotent."""
        self.handed_over()
        if self._console is not None:
            os.close(self._console)
            self._console = None

    def release(self) -> None:
        """The owner has left a terminal."""
        self.owner = None

    def unread(self) -> list[int]:
        """Descriptors of output that no client reads."""
        if self._console is not None:
            is_read = self.owner is not None and self.owner.is_open
            return [] if is_read else [self._console]
        return [end for number, end in self._pipes.items() if number != 0]

    def discard(self, descriptor: int) -> None:
        """Read output that no client reads."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: no process has the terminal open (pty(7))
        if not data:
            self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        if descriptor == self._console:
            self._console = None
        self._pipes = {number: end for number, end in self._pipes.items() if end != descriptor}
        os.close(descriptor)
