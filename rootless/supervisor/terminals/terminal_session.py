"""The container's terminal connected to the caller's: keys, output, size, and the keys that detach."""

from __future__ import annotations

import os
import termios

from rootless.light_stdlib import signal
from rootless.supervisor.terminals.detach_keys import DEFAULT, KeyFilter, describe_keys
from rootless.supervisor.terminals.stdio_relay import Flow
from rootless.supervisor.terminals.terminal import CallerTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class TerminalSession:
    """`console` is the master of the container's terminal and `output` what it shows, the master or a pipe;
    both belong to the session. `interactive`: what is typed goes to the container. `detach` is called at the
    keys that detach. `detach_keys` may be empty, for docker's. `job_control`: in the background the caller goes on,
    without what is typed.
    """

    def __init__(
        self,
        console: int,
        output: int,
        detach: Callable[[], None],
        *,
        interactive: bool,
        detach_keys: bytes,
        job_control: bool = False,
    ) -> None:
        os.set_blocking(console, False)
        self._console = console
        self._keys = detach_keys or DEFAULT
        self._detach = detach
        self._pid = 0
        self._caller = CallerTerminal(console, interactive=interactive, job_control=job_control)
        self.flows = [Flow(output, 1, ours=(output,))]
        if interactive:
            input_end = os.dup(console)
            typed = KeyFilter(self._keys, self._leave, self._warn)
            may_read = self._caller.may_read if job_control else None
            self.flows.append(Flow(0, input_end, ours=(input_end,), typed=typed, may_read=may_read))

    def take(self, pid: int) -> None:
        """The command runs; `pid` is the container's first process."""
        self._pid = pid
        self._caller.take()

    def close(self) -> None:
        """Give the caller's terminal back. The flows are closed by their owner."""
        self._caller.restore()
        os.close(self._console)

    def stop(self) -> None:
        """Stop as the shell expects it of its job, because the command has stopped."""
        self._caller.stop()

    def show(self, line: str) -> None:
        """Write a line for the user to standard error."""
        self._caller.write_line(line)

    def _leave(self) -> None:
        self.show("read escape sequence")  # Docker's words; the shell's prompt begins a line
        self._detach()

    def _warn(self) -> None:
        """After ctrl-c has been typed again and again: where it can have no effect, name the way out.

        The kernel drops a signal that the first process of a PID namespace does not catch.
        """
        try:
            from rootless.containers.process_identity import is_in_mask

            makes_signals = termios.tcgetattr(self._console)[3] & termios.ISIG
            with open(f"/proc/{self._pid}/status", encoding="utf-8", errors="replace") as file:
                caught = is_in_mask(signal.SIGINT, "SigCgt", file.read())
        except (OSError, termios.error):
            return
        if makes_signals and not caught:
            keys = describe_keys(self._keys)
            self.show(
                f"rootless: the command ignores ctrl-c; {keys} detaches from the container and leaves "
                "it running, rootless rm -f ends it"
            )
