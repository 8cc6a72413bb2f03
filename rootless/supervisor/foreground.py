"""`run` in the foreground: the first client of the container's monitor. Moves bytes and signals until
the container has ended, and returns its status."""

from __future__ import annotations

import _thread
import os
import sys

from rootless.containers.launch_description import LaunchDescription
from rootless.errors import RootlessError
from rootless.light_stdlib import signal
from rootless.supervisor import fault_signals
from rootless.supervisor.fault_signals import FaultReader
from rootless.supervisor.protocol import Kind
from rootless.supervisor.signal_disposition import FORWARDED
from rootless.supervisor.terminals.stdio_relay import Flow, catch_up, drain, relay
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.supervisor.client import MonitorClient
    from rootless.supervisor.messages import Message
    from rootless.supervisor.start import StartedMonitor
    from rootless.supervisor.terminals.terminal_session import TerminalSession


_BEFORE_FAULTS = 0.05
"""Seconds for which the signals that a `FaultReader` passes on wait, blocked. What opens a signalfd(2) takes a millisecond to
load, and a container that ends at once does not wait for it."""


class Attachment(NamedTuple):
    """Which of the caller's streams are connected, whether signals are passed on, and the keys that
    detach a terminal (docker's where there are none). `job_control`: the caller stops when the command does, and the
    command when the caller is stopped.
    """

    stdin: bool
    stdout: bool = True
    stderr: bool = True
    signals: bool = True
    detach_keys: bytes = b""
    job_control: bool = False

    def numbers(self) -> list[int]:
        """The connected streams."""
        given = self.stdin, self.stdout, self.stderr
        return [number for number, connected in enumerate(given) if connected]


class Outcome(NamedTuple):
    """How the container ended. `detached`: it has not; the user has left it running, with status 0."""

    status: int
    out_of_memory: bool
    detached: bool = False


def run_in_foreground(
    started: StartedMonitor,
    prepare: Callable[[int], LaunchDescription],
    attachment: Attachment,
    *,
    terminal: bool,
) -> Outcome:
    """Run the container that `prepare` makes to its end. `prepare` is given the monitor's PID.

    Raises what `prepare` raises, and RootlessError if the container could not be started or its
    monitor was killed.
    """
    client = started.client
    foreground = Foreground(client, attachment)
    try:
        with Forwarding(client.signal, forwarded(attachment, terminal=terminal)):
            # All at once: the answers come when the container has been created.
            client.hello()
            client.attach(attachment.numbers(), job_control=attachment.job_control)
            client.start()
            description = prepare(started.pid)
            streams = attachment.stdin, True, True
            started.describe(
                description._replace(streams=streams, ends_with_client=True, input_once=True)
            )
            return foreground.run()
    finally:
        if foreground.is_detached:
            client.close()
        else:
            started.wait()


def forwarded(attachment: Attachment, *, terminal: bool) -> Sequence[int]:
    """The signals that are passed on to the container."""
    if not attachment.signals:
        return ()
    return [number for number in FORWARDED if not (terminal and number == signal.SIGWINCH)]


class Foreground:
    """One run: the flows between the caller's streams and the container's, and what the monitor has
    sent.
    """

    def __init__(self, client: MonitorClient, attachment: Attachment) -> None:
        self.is_detached = False
        self._client = client
        self._attachment = attachment
        self._flows: list[Flow] = []
        self._terminal: TerminalSession | None = None
        self._final: Message | None = None
        self._error: RootlessError | OSError | None = None

    def run(self, pid: int = 0) -> Outcome:
        """Relay until the container has ended or the user has detached.

        Args:
            pid: The container's first process; 0 for a container that is yet to be started.
        """
        try:
            attached = self._client.receive_until(Kind.ATTACHED, Kind.EXITED)
            if attached.kind is Kind.ATTACHED:
                self._connect(attached)
            if attached.kind is Kind.ATTACHED and not pid:
                attached = self._client.receive_until(Kind.RUNNING, Kind.EXITED)
                pid = int(attached.fields.get("pid", 0))
            if attached.kind is Kind.EXITED:
                self._final = attached
            else:
                self._relay(pid)
        finally:
            for flow in self._flows:
                flow.finish()
            if self._terminal is not None:
                self._terminal.close()
        if self._error is not None:
            raise self._error
        assert self._final is not None  # `_listen` has set one of the two
        if self.is_detached:
            return Outcome(0, False, detached=True)
        fields = self._final.fields
        return Outcome(int(fields["status"]), bool(fields["out_of_memory"]))

    def _connect(self, attached: Message) -> None:
        """Make the flows of the monitor's ends of the container's streams."""
        numbers, descriptors = attached.fields["streams"], attached.descriptors
        if not numbers and descriptors:
            from rootless.supervisor.terminals.terminal_session import TerminalSession

            self._terminal = TerminalSession(
                descriptors[0],
                descriptors[1],
                self._client.detach,
                interactive=self._attachment.stdin,
                detach_keys=self._attachment.detach_keys,
                job_control=self._attachment.job_control,
            )
            self._flows = self._terminal.flows
            return
        for number, end in zip(numbers, descriptors, strict=True):
            source, sink = (0, end) if number == 0 else (end, number)
            self._flows.append(Flow(source, sink, ours=(end,)))

    def _relay(self, pid: int) -> None:
        if self._terminal is not None:
            self._terminal.take(pid)
        jobs = None
        if self._attachment.job_control:
            from rootless.supervisor.terminals.job_control import StoppingWithCommand

            jobs = StoppingWithCommand(self._client.signal, stops=self._terminal is None)
        watched: dict[int, Callable[[], bool]] = {self._client.fileno(): self._listen}
        faults: FaultReader | None = None
        try:
            if relay(self._flows, watched, seconds=_BEFORE_FAULTS):
                if self._attachment.signals:
                    faults = FaultReader(self._client.signal)
                    watched[faults.fd] = faults.read
                relay(self._flows, watched)
            if not self.is_detached:
                drain([flow for flow in self._flows if flow.source != 0])
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise RootlessError(f"cannot forward the output of the container: {reason}") from error
        finally:
            if faults is not None:
                faults.close()
            if jobs is not None:
                jobs.close()

    def _listen(self) -> bool:
        """Receive one message; False at the last."""
        try:
            message = self._client.receive()
        except (RootlessError, OSError) as error:
            self._error = error
            return False
        if message.kind is Kind.STOPPED:
            if self._terminal is not None:
                catch_up(self._flows)
                self._terminal.stop()
            return True
        if message.kind is Kind.NOTICE:
            self._show(f"rootless: {message.fields['text']}")
            return True
        self._final = message
        self.is_detached = message.kind is Kind.DETACHED
        return False

    def _show(self, line: str) -> None:
        if self._terminal is not None:
            self._terminal.show(line)
        else:
            print(line, file=sys.stderr)  # noqa: T201


class Forwarding:
    """Calls `pass_on` for every signal of `numbers` that this process gets while the block runs, and blocks
    those that a FaultReader passes on.

    A signal that the caller inherited as ignored (nohup) stays ignored. Python ignores SIGXFSZ by itself, so
    that one is taken to be wanted. Outside the main thread, where Python allows no handlers, no
    signal is passed on.
    """

    def __init__(self, pass_on: Callable[[int], None], numbers: Sequence[int]) -> None:
        self._pass_on = pass_on
        self._numbers = numbers if _thread.get_native_id() == os.getpid() else ()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if self._numbers:
            fault_signals.block()
        for number in self._numbers:
            if number == signal.SIGXFSZ or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, lambda got, _: self._pass_on(got))

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._numbers:
            fault_signals.unblock()
