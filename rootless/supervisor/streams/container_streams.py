"""The monitor's side of the container's standard streams: pipes, or the master of its terminal.

Without a terminal the container gets pipes, never descriptors of a caller: a program that it leaves in
the state of a terminal, or that types into one (TIOCSTI), cannot reach the caller's.

The monitor reads the output, logs it, and copies it to every client that is attached (fan_out). The
writing end of the input is given to a client: with `input_once` to the first one for good, so that the end
of the client's input is the container's, as a shell's pipe would be; a duplicate else, and then the input
has no end before the container has one. Each client gets a duplicate of a
terminal's master, to type and for its size.

With the log driver passthrough nothing is read or copied: the ends of the pipes go to the first client
that attaches.
"""

from __future__ import annotations

import os
import select

from rootless.spec.options import LogDriver
from rootless.supervisor.streams.fan_out import FanOut
from unionfs.light_types import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import LaunchDescription, OutputLog
    from rootless.containers.record import ContainerRecord
    from rootless.supervisor.clients import Client
    from rootless.supervisor.streams.container_log import ContainerLog
    from rootless.supervisor.streams.fan_out import Sink
    from rootless.supervisor.streams.journal_log import JournalLog


class ContainerStreams:
    """`container_ends` are what the container's first process gets as 0, 1 and 2; None with a
    terminal.
    """

    def __init__(self, description: LaunchDescription) -> None:
        self.container_ends: tuple[int, int, int] | None = None
        self._settings = description.output_log
        self._container = description.record
        self._input_once = description.input_once
        self._ends_with_client = description.ends_with_client
        self._direct = self._settings.driver is LogDriver.PASSTHROUGH
        self._log: ContainerLog | JournalLog | None = None
        self._owner: Client | None = None
        self._console: int | None = None
        self._ends: dict[int, int] = {}
        self._outputs: dict[int, FanOut] = {}
        if not description.terminal:
            self._make_pipes(description.streams)

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
            if number == 0 or self._direct:
                self._ends[number] = here
            else:
                self._outputs[number] = self._fan_out(number, here)
            ends.append(there)
        self.container_ends = (ends[0], ends[1], ends[2])

    def _fan_out(self, number: int, source: int) -> FanOut:
        if self._settings.driver in {LogDriver.NONE, LogDriver.PASSTHROUGH}:
            return FanOut(source, None)
        return FanOut(source, partial(self._record, number))

    def _record(self, number: int, data: bytes) -> None:
        if self._log is None:
            self._log = _log_of(self._settings, self._container)
        self._log.add(number, data)

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
            self._outputs[1] = self._fan_out(1, os.dup(console))

    @property
    def has_terminal(self) -> bool:
        return self._console is not None

    def refusal(self, client: Client) -> str | None:
        """Why a client cannot be attached; None if it can."""
        if not self._direct or self.has_terminal or self._owner in {None, client}:
            return None
        return "the streams of the container were given to another client (log driver passthrough)"

    def attach(self, client: Client, wanted: list[int]) -> tuple[list[int], list[int]]:
        """Numbers of streams and descriptors for a client, which are to be closed when it has them; for
        a terminal no number: its master, and the reading end of its output.
        """
        self._owner = client
        if self._console is not None:
            return [], [os.dup(self._console), self._connect(self._outputs[1], client)]
        numbers = [each for each in (0, 1, 2) if each in wanted]
        given = {each: self._end(each) for each in numbers if each in self._ends}
        for each in numbers:
            if each in self._outputs:
                given[each] = self._connect(self._outputs[each], client)
        return list(given), list(given.values())

    def _end(self, number: int) -> int:
        """The monitor's end of a pipe, or a duplicate where another client may ask for it."""
        if self._direct or self._input_once:
            return self._ends.pop(number)
        return os.dup(self._ends[number])

    def _connect(self, output: FanOut, client: Client) -> int:
        return output.connect(client, may_be_left=not self._belongs_to(client))

    def _belongs_to(self, client: Client) -> bool:
        """Whether the container ends with the client."""
        return self._ends_with_client and client.first

    def release(self, client: Client) -> None:
        """The client has left the streams; the container no longer ends with it."""
        if client.first:
            self._ends_with_client = False
        for sink in self._sinks():
            if sink.client is client:
                sink.close()

    def interest(self) -> dict[int, int]:
        """The descriptors and events to wait for (poll(2))."""
        found = {sink.descriptor: select.POLLOUT for sink in self._sinks() if sink.waits}
        for output in self._outputs.values():
            if output.wants_input():
                found[output.source] = select.POLLIN
        if self._direct and self._owner is None:
            found |= {end: select.POLLIN for number, end in self._ends.items() if number != 0}
        return found

    def advance(self, descriptor: int) -> None:
        """Move what can be moved of a descriptor that is ready."""
        for output in self._outputs.values():
            if output.is_open and output.source == descriptor:
                output.advance()
                break
        else:
            for sink in self._sinks():
                if sink.descriptor == descriptor:
                    sink.advance()
            self._discard(descriptor)
        self._end_with_reader()

    def _discard(self, descriptor: int) -> None:
        """Read output of the driver passthrough that no client reads."""
        for number, end in list(self._ends.items()):
            if end == descriptor and not os.read(end, 65536):
                os.close(self._ends.pop(number))

    def _end_with_reader(self) -> None:
        """When the client that the container ends with has closed an output, close it for the container
        too: its next write gets SIGPIPE, as from a shell's pipe.
        """
        for output in self._outputs.values():
            if output.is_open and output.lost(self._belongs_to):
                output.close()

    def wait_limit(self) -> float | None:
        """Milliseconds until a client that takes nothing is to be left behind."""
        waits = [sink.patience() for sink in self._sinks()]
        return min((each * 1000 for each in waits if each is not None), default=None)

    def leave_behind(self) -> list[Client]:
        """Close the streams of clients that have taken nothing for too long; those clients."""
        late = [sink for sink in self._sinks() if sink.patience() == 0]
        for sink in late:
            sink.close()
        return [sink.client for sink in late]

    def drain(self) -> None:
        """Read and log everything that the container has written; it has ended."""
        for output in self._outputs.values():
            output.drain()
        if self._log is not None:
            self._log.close()

    def close(self) -> None:
        """After the end of a run: the next one gets streams of its own. Clients are still to get what is
        kept for them. Idempotent.
        """
        self.drain()
        for descriptor in self._ends.values():
            os.close(descriptor)
        self._ends.clear()
        if self._console is not None:
            os.close(self._console)
            self._console = None

    def flush(self) -> None:
        """Wait until each client has its output, or has taken none for too long."""
        while waiting := {sink.descriptor: sink for sink in self._sinks() if sink.waits}:
            poll = select.poll()
            for descriptor in waiting:
                poll.register(descriptor, select.POLLOUT)
            for descriptor, _ in poll.poll(self.wait_limit()):
                waiting[descriptor].advance()
            self.leave_behind()

    def _sinks(self) -> list[Sink]:
        return [sink for output in self._outputs.values() for sink in output.sinks if sink.is_open]


def _log_of(settings: OutputLog, record: ContainerRecord) -> ContainerLog | JournalLog:
    if settings.driver is LogDriver.JOURNALD:
        from rootless.supervisor.streams.journal_log import JournalLog

        return JournalLog(settings, record)
    from rootless.supervisor.streams.container_log import ContainerLog

    return ContainerLog(settings, record)
