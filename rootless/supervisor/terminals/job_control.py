"""Job control of the caller's shell for a container in the foreground: when this process is stopped or continued, so
is the command.
"""

from __future__ import annotations

import os

from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class StoppingWithCommand:
    """From its making to `close` SIGTSTP is sent to the command, and with `stops` stops this process then; on a terminal
    the monitor tells when the command has stopped. SIGCONT is one of the signals that are passed on.

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self, pass_on: Callable[[int], None], *, stops: bool) -> None:
        self._pass_on = pass_on
        self._stops = stops
        self._before: Any = None
        try:
            if signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:
                self._before = signal.signal(signal.SIGTSTP, self._stop)
        except ValueError:
            return

    def close(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTSTP, self._before)
            self._before = None

    def _stop(self, *_: object) -> None:
        self._pass_on(signal.SIGTSTP)
        if not self._stops:
            return
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._stop)
