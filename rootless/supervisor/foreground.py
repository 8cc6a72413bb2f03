"""`run` in the foreground: forks the monitor, moves bytes and signals until the container has
ended, and returns its status.

Without a terminal the container gets pipes, never the caller's own descriptors: a program that it
leaves in the state of a terminal, or that types into one (TIOCSTI), cannot reach the caller's.
"""

from __future__ import annotations

import os
import sys

from rootless import errors
from rootless.containers.launch_description import Container, unpack
from rootless.errors import RootlessError
from rootless.light_stdlib import signal
from rootless.supervisor.messages import Channel, Kind, Message
from rootless.supervisor.signal_disposition import FORWARDED
from rootless.supervisor.stdio_relay import Flow, drain, relay
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


class Attachment(NamedTuple):
    """Which of the caller's streams are connected, and whether signals are passed on."""

    stdin: bool
    stdout: bool = True
    stderr: bool = True
    signals: bool = True


class Outcome(NamedTuple):
    """How the container ended."""

    status: int
    out_of_memory: bool


def run_in_foreground(
    prepare: Callable[[], Container], attachment: Attachment, *, terminal: bool, debug: bool
) -> Outcome:
    """Run the container that `prepare` makes to its end. The calling process must have one thread.

    The monitor is forked first: while `prepare` imports what understands the request, it imports
    what starts a container. Raises what `prepare` raises, and RootlessError if the container could
    not be started or its monitor was killed.
    """
    pipes = None if terminal else Pipes.make(attachment)
    ours, theirs = Channel.pair()
    reader, writer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # Blocked over the fork, so that no signal finds a half-made process on either side.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(writer)
        if pipes is not None:
            pipes.close_ours()
        _become_monitor(reader, theirs, None if pipes is None else pipes.theirs, debug=debug)
    try:
        theirs.close()
        os.close(reader)
        if pipes is not None:
            pipes.close_theirs()
        foreground = _Foreground(ours, pipes.flows() if pipes is not None else [], attachment)
        with Forwarding(foreground.pass_on, attachment.signals):
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            try:
                with open(writer, "wb") as description:
                    description.write(prepare().packed())
            except BaseException:
                foreground.give_up()
                raise
            return foreground.run()
    finally:
        ours.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.waitpid(pid, 0)


def _become_monitor(
    reader: int, channel: Channel, stdio: tuple[int, int, int] | None, *, debug: bool
) -> NoReturn:
    """The child's side of the fork: import, learn which container it is, and be its monitor."""
    try:
        os.setsid()
        told = os.dup(2) if debug else None
        # The file server is forked from here, and finds its modules imported.
        from rootless.rootfs import union  # noqa: F401
        from rootless.supervisor.monitor import Monitor
        from unionfs.session import device  # noqa: F401

        with open(reader, "rb") as description:
            text = description.read()
        if text:
            Monitor(unpack(text), channel).main(stdio, told)
        # Without a description there is no container: `run` has said why.
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the caller's program must not go on twice
        os.write(2, f"rootless: the monitor failed: {error!r}\n".encode())
    finally:
        os._exit(1)


class Pipes(NamedTuple):
    """The three streams of a container without a terminal: our ends and its ends."""

    ours: tuple[int, int, int]
    theirs: tuple[int, int, int]
    attachment: Attachment

    @classmethod
    def make(cls, attachment: Attachment) -> Pipes:
        """A pipe for each connected stream, /dev/null for the others; our ends do not block."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        ours, theirs = [-1, -1, -1], [null, null, null]
        for number, connected in enumerate(attachment[:3]):
            if connected:
                reader, writer = os.pipe()
                ours[number], theirs[number] = (writer, reader) if number == 0 else (reader, writer)
                os.set_blocking(ours[number], False)
            else:
                theirs[number] = os.dup(null)
        os.close(null)
        return cls((ours[0], ours[1], ours[2]), (theirs[0], theirs[1], theirs[2]), attachment)

    def flows(self) -> list[Flow]:
        """What is to be moved between the caller's streams and ours."""
        flows = []
        for number, end in enumerate(self.ours):
            if end >= 0:
                source, sink = (0, end) if number == 0 else (end, number)
                flows.append(Flow(source, sink, ours=(end,)))
        return flows

    def close_ours(self) -> None:
        for descriptor in self.ours:
            if descriptor >= 0:
                os.close(descriptor)

    def close_theirs(self) -> None:
        for descriptor in self.theirs:
            os.close(descriptor)


class _Foreground:
    """The state of one run: which flows there are, and what the monitor has said."""

    def __init__(self, channel: Channel, flows: list[Flow], attachment: Attachment) -> None:
        self._channel = channel
        self._flows = flows
        self._attachment = attachment
        self._console: int | None = None
        self._final: Message | None = None

    def run(self) -> Outcome:
        restore: Callable[[], None] | None = None
        try:
            if self._await_start():
                restore = self._take_terminal()
                relay(self._flows, {self._channel.fileno(): self._listen})
                drain([flow for flow in self._flows if flow.source != 0])
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise RootlessError(f"cannot pass on what the container writes: {reason}") from error
        finally:
            for flow in self._flows:
                flow.finish()
            if self._console is not None:
                os.close(self._console)
            if restore is not None:
                restore()
        return self._outcome()

    def give_up(self) -> None:
        """There will be no container."""
        for flow in self._flows:
            flow.finish()

    def pass_on(self, number: int) -> None:
        """Called by the signal handler."""
        self._channel.send(Kind.SIGNAL, number=number)

    def _await_start(self) -> bool:
        """Wait until the command runs; False if it never does."""
        message = self._channel.receive()
        if message is None or message.kind is not Kind.RUNNING:
            self._final = message
            return False
        if message.descriptors:
            self._console = message.descriptors[0]
        return True

    def _take_terminal(self) -> Callable[[], None] | None:
        """Connect the container's terminal to the caller's; returns what gives it back."""
        if self._console is None:
            return None
        from rootless.supervisor.terminal import connect

        return connect(self._console, self._flows, stdin=self._attachment.stdin)

    def _listen(self) -> bool:
        message = self._channel.receive()
        if message is not None and message.kind is Kind.NOTICE:
            print(f"rootless: {message.fields['text']}", file=sys.stderr)  # noqa: T201
            return True
        self._final = message
        return False

    def _outcome(self) -> Outcome:
        final = self._final
        if final is None:
            raise RootlessError(
                "the monitor of the container was killed, and the container with it"
            )
        if final.kind is Kind.FAILED:
            raise _error_of(final.fields)
        return Outcome(int(final.fields["status"]), bool(final.fields["out_of_memory"]))


def _error_of(fields: dict[str, Any]) -> RootlessError:
    kind = getattr(errors, str(fields["error"]), RootlessError)
    error: RootlessError = kind(
        fields["message"], hint=fields.get("hint"), details=fields.get("details")
    )
    return error


class Forwarding:
    """Has `pass_on` called, for the length of a block, with every signal that is to be passed on.
    What the caller was told to ignore (nohup) stays ignored.
    """

    def __init__(self, pass_on: Callable[[int], None], wanted: bool) -> None:
        self._pass_on = pass_on
        self._numbers = FORWARDED if wanted else ()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in self._numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, lambda got, _: self._pass_on(got))

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
