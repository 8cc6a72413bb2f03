"""Runs a further process in a container, connected to the caller's standard streams.

Without a terminal the process gets pipes, never descriptors of the caller's: a program cannot reach
the caller's terminal through them. Signals are not passed on, as docker exec does not: what ends this
process leaves the command running.
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError
from rootless.runtime.join import JoinArgs, JoinedProcess, exit_status, join
from rootless.supervisor.terminals.stdio_relay import Flow, drain, relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.supervisor.terminals.terminal_session import TerminalSession

_CHUNK = 65536


def run_detached(args: JoinArgs) -> None:
    """Start the process with /dev/null as its streams, or with a terminal whose output is discarded,
    and leave it running. Raises LaunchError.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        terminal = args.spec["process"]["terminal"]
        process = join(args._replace(stdio=None if terminal else (null, null, null)))
    finally:
        os.close(null)
    if process.console is not None:
        _hold_terminal(process.console)
        os.close(process.console)
    os.close(process.pidfd)


def run_attached(args: JoinArgs, *, interactive: bool, detach_keys: bytes) -> int:
    """Run the process, relay its streams until it ends, and return its exit status; 0 when the user
    has detached from its terminal. Raises LaunchError.
    """
    if args.spec["process"]["terminal"]:
        return _run_in_terminal(join(args), interactive=interactive, detach_keys=detach_keys)
    pipes = _Pipes(interactive=interactive)
    try:
        process = join(args._replace(stdio=pipes.theirs))
        pipes.close_theirs()
        try:
            _relay(pipes.flows, process.pidfd)
            return exit_status(process.pidfd)
        finally:
            os.close(process.pidfd)
    finally:
        pipes.close()


class _Pipes:
    """A pipe for each stream, /dev/null for a standard input that is not connected. `theirs` are the
    ends of the process.
    """

    def __init__(self, *, interactive: bool) -> None:
        self.flows: list[Flow] = []
        ends: list[int] = []
        if interactive:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            ends.append(reader)
            os.set_blocking(writer, False)
            self.flows.append(Flow(0, writer, ours=(writer,)))
        else:
            ends.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for number in (1, 2):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            ends.append(writer)
            os.set_blocking(reader, False)
            self.flows.append(Flow(reader, number, ours=(reader,)))
        self.theirs = (ends[0], ends[1], ends[2])
        self._are_open = True

    def close_theirs(self) -> None:
        """Once the process has them. Idempotent."""
        if self._are_open:
            self._are_open = False
            for descriptor in self.theirs:
                os.close(descriptor)

    def close(self) -> None:
        self.close_theirs()
        for flow in self.flows:
            flow.finish()


def _relay(flows: list[Flow], pidfd: int) -> None:
    """Until the process ends, with what it had written by then."""
    try:
        relay(flows, {pidfd: lambda: False})
        drain([flow for flow in flows if flow.source != 0])
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise RootlessError(f"cannot pass on what the command writes: {reason}") from error


def _run_in_terminal(process: JoinedProcess, *, interactive: bool, detach_keys: bytes) -> int:
    from rootless.supervisor.terminals.terminal_session import TerminalSession

    assert process.console is not None  # `process` of the spec asked for one
    # Written at the keys that detach: `relay` returns when it can be read.
    detached, detach = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    session = TerminalSession(
        process.console,
        os.dup(process.console),
        lambda: os.close(detach),
        interactive=interactive,
        detach_keys=detach_keys,
    )
    try:
        session.take(0)
        has_ended = _relay_terminal(session, process.pidfd, detached)
        if not has_ended:
            _hold_terminal(process.console)
            return 0
        os.close(detach)
        return exit_status(process.pidfd)
    finally:
        for flow in session.flows:
            flow.finish()
        session.close()
        os.close(process.pidfd)
        os.close(detached)


def _relay_terminal(session: TerminalSession, pidfd: int, detached: int) -> bool:
    """Until the process ends, True, or the user detaches, False."""
    ended = []

    def end() -> bool:
        ended.append(True)
        return False

    relay(session.flows, {pidfd: end, detached: lambda: False})
    if ended:
        drain([flow for flow in session.flows if flow.source != 0])
    return bool(ended)


def _hold_terminal(console: int) -> None:
    """Keep the master of a terminal open in a process of its own, and discard what is written to it,
    until no process has the terminal open: it would be hung up otherwise (pty(7)).
    """
    is_ready, ready = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        _discard(console, ready)
    os.close(ready)
    os.read(is_ready, 1)
    os.close(is_ready)


def _discard(console: int, ready: int) -> NoReturn:
    try:
        os.setsid()
        # Not before: the end of the caller may hang up the processes of its terminal (credentials(7)).
        os.close(ready)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in range(3):
            os.dup2(null, number)
        os.set_blocking(console, True)
        while os.read(console, _CHUNK):
            pass
    except OSError:
        pass  # EIO: no process has it open any more
    finally:
        os._exit(0)
