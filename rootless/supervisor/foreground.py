"""`run` in the foreground: the first client of the container's monitor. Moves bytes and signals until
the container has ended, and returns its status."""

from __future__ import annotations

import _thread
import os
import select
import sys

from rootless.containers.launch_description import LaunchDescription
from rootless.errors import RootlessError
from rootless.light_stdlib import signal
from rootless.supervisor import fault_signals, longer_quiet, turn
from rootless.supervisor.fault_signals import FaultReader
from rootless.supervisor.protocol import Kind
from rootless.supervisor.signal_disposition import FAULTS, FORWARDED, handled_signals
from rootless.supervisor.terminals.stdio_relay import Flow, catch_up, drain, relay
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias

    from rootless.supervisor.client import MonitorClient
    from rootless.supervisor.messages import Message
    from rootless.supervisor.start import StartedMonitor
    from rootless.supervisor.terminals.terminal_session import TerminalSession

    Resumed: TypeAlias = Callable[[Callable[[], "Outcome"]], NoReturn]
    """What a client does that has stood by. It is given what waits for the outcome, and is called in another program than the
    one that named it: its code and its fields can be pickled.
    """

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
    resumed: Resumed | None = None,
) -> Outcome:
    """Run the container that `prepare` makes to its end. `prepare` is given the monitor's PID.

    Args:
        resumed: The process has nothing else to do than to wait, and may stand by meanwhile
            (`rootless.supervisor.standby`); then it does not return from here but calls this.

    Raises what `prepare` raises, and RootlessError if the container could not be started or its
    monitor was killed.
    """
    client = started.client

    def begin() -> int:
        # All at once: the answers come when the container has been created.
        client.hello()
        client.attach(attachment.numbers(), job_control=attachment.job_control)
        client.start()
        description = prepare(started.pid)
        streams = attachment.stdin, True, True
        started.describe(
            description._replace(streams=streams, ends_with_client=True, input_once=True)
        )
        return 0

    return ForegroundClient(
        client, attachment, started.wait, terminal=terminal, resumed=resumed
    ).run(begin)


class ForegroundClient:
    """A container that this process runs, or is attached to, and waits for. `leave` is called at the end, unless the user has
    detached.
    """

    def __init__(
        self,
        client: MonitorClient,
        attachment: Attachment,
        leave: Callable[[], None],
        *,
        terminal: bool,
        resumed: Resumed | None,
    ) -> None:
        self._client = client
        self._leave = leave
        self._numbers = forwarded(attachment, terminal=terminal)
        self._resumed = resumed
        self._command = sys.orig_argv
        stand_by = None if resumed is None else self._stand_by
        self._foreground = Foreground(client, attachment, stand_by)

    def run(self, begin: Callable[[], int]) -> Outcome:
        """`begin` sends the first requests, the last of which attaches, and returns the PID of the container, 0 if it is yet to
        be started. Raises what `begin` raises, and RootlessError if the monitor was killed.
        """
        return self._until_end(lambda: self._foreground.run(begin()))

    def resume(self) -> NoReturn:
        """Go on in the program that is executed after the process stood by."""
        assert self._resumed is not None  # it would not have stood by
        self._resumed(self._go_on)

    def _go_on(self) -> Outcome:
        return self._until_end(self._foreground.go_on)

    def _until_end(self, run: Callable[[], Outcome]) -> Outcome:
        try:
            with Forwarding(self._client.signal, self._numbers):
                return run()
        finally:
            if self._foreground.is_detached:
                self._client.close()
            else:
                self._leave()

    def _stand_by(self, waits: Mapping[int, int], signals: frozenset[int]) -> None:
        try:
            from rootless.module_packs import RESUMED_CLIENT
            from rootless.supervisor.standby import modules
            from rootless.supervisor.standby.entering import stand_by

            stand_by(
                self, waits, signals, lambda: modules.of_pack(RESUMED_CLIENT), command=self._command
            )
        except Exception:  # noqa: BLE001 - what is loaded only now may be of another release
            return


def forwarded(attachment: Attachment, *, terminal: bool) -> Sequence[int]:
    """The signals that are passed on to the container."""
    if not attachment.signals:
        return ()
    return [number for number in FORWARDED if not (terminal and number == signal.SIGWINCH)]


class Foreground:
    """One run: the flows between the caller's streams and the container's, and what the monitor has
    sent.

    `stand_by` is called when nothing has come for some time, with the descriptors and events to wait for (poll(2)), and the
    signals. It returns if the process cannot stand by.
    """

    def __init__(
        self,
        client: MonitorClient,
        attachment: Attachment,
        stand_by: Callable[[Mapping[int, int], frozenset[int]], None] | None = None,
    ) -> None:
        self.is_detached = False
        self._client = client
        self._attachment = attachment
        self._flows: list[Flow] = []
        self._terminal: TerminalSession | None = None
        self._final: Message | None = None
        self._error: RootlessError | OSError | None = None
        self._stand_by = stand_by
        self._quiet = None if stand_by is None else turn.first_quiet()
        self._pid = 0
        self._blocked: frozenset[int] = frozenset()
        """Signals that wait for the handlers of this process, if it stood by."""

    def run(self, pid: int = 0) -> Outcome:
        """Relay until the container has ended or the user has detached.

        Args:
            pid: The container's first process; 0 for a container that is yet to be started.
        """
        self._pid = pid
        return self._to_outcome(self._attach)

    def go_on(self) -> Outcome:
        """As `run`, after this process stood by."""
        return self._to_outcome(self._relay)

    def _attach(self) -> None:
        attached = self._client.receive_until(Kind.ATTACHED, Kind.EXITED)
        if attached.kind is Kind.ATTACHED:
            self._connect(attached)
        if attached.kind is Kind.ATTACHED and not self._pid:
            attached = self._client.receive_until(Kind.RUNNING, Kind.EXITED)
            self._pid = int(attached.fields.get("pid", 0))
        turn.end()
        if attached.kind is Kind.EXITED:
            self._final = attached
        else:
            self._relay()

    def _to_outcome(self, relayed: Callable[[], None]) -> Outcome:
        try:
            relayed()
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

    def _relay(self) -> None:
        if self._terminal is not None:
            self._terminal.take(self._pid)
        jobs = None
        if self._attachment.job_control:
            from rootless.supervisor.terminals.job_control import StoppingWithCommand

            jobs = StoppingWithCommand(self._client.signal, stops=self._terminal is None)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._blocked)
            watched = {self._client.fileno(): self._listen}
            while relay(self._flows, watched, seconds=_BEFORE_FAULTS) and self._relay_all(watched):
                self._wait_elsewhere()
            if not self.is_detached:
                drain([flow for flow in self._flows if flow.source != 0])
        except OSError as error:
            reason = (error.strerror or "").lower()
            failure = RootlessError(f"cannot forward the output of the container: {reason}")
            failure.exit_status = 1  # docker's
            raise failure from error
        finally:
            if jobs is not None:
                jobs.close()

    def _relay_all(self, watched: Mapping[int, Callable[[], bool]]) -> bool:
        """As `relay`, until nothing has come for the time after which the process stands by."""
        if not self._attachment.signals:
            return relay(self._flows, watched, quiet=self._quiet)
        faults = FaultReader(self._client.signal)
        try:
            watched = {**watched, faults.fd: faults.read}
            return relay(self._flows, watched, quiet=self._quiet)
        finally:
            faults.close()

    def _wait_elsewhere(self) -> None:
        """Stand by. Returns if the process cannot."""
        assert self._stand_by is not None  # else `relay` has no limit of time
        assert self._quiet is not None
        self._blocked = handled_signals()
        self._quiet = longer_quiet(self._quiet)
        waits = dict(flow.interest() for flow in self._flows if not flow.done)
        waits[self._client.fileno()] = select.POLLIN
        faults = FAULTS if self._attachment.signals else frozenset()
        self._stand_by(waits, self._blocked | faults)
        self._quiet = None
        self._blocked = frozenset()

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
