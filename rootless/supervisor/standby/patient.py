"""What the commands have in common that wait for something to happen to containers, and stand by meanwhile."""

from __future__ import annotations

import select
import sys

from rootless.light_stdlib import signal
from rootless.supervisor import FIRST_QUIET, longer_quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Patient:
    """A command that waits."""

    def __init__(self) -> None:
        self._quiet = FIRST_QUIET
        """Seconds of waiting after which the process stands by."""
        self._command = sys.orig_argv
        self._blocked: frozenset[int] = frozenset()
        """Signals that wait for the handlers of this process, if it stood by."""

    def resume(self) -> NoReturn:
        """Go on in the program that is executed after the process stood by. Calls `_take_signals`."""
        raise NotImplementedError

    def _take_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._blocked)

    def _stand_by(self, *descriptors: int) -> None:
        """Until one of them can be read. Returns if the process cannot."""
        self._quiet = longer_quiet(self._quiet)
        try:
            from rootless.supervisor.signal_disposition import handled_signals
            from rootless.supervisor.standby import modules
            from rootless.supervisor.standby.entering import stand_by

            self._blocked = handled_signals()
            waits = dict.fromkeys(descriptors, select.POLLIN)
            stand_by(self, waits, self._blocked, modules.of_monitor, command=self._command)
        except Exception:  # noqa: BLE001 - what is loaded only now may be of another release
            pass
        self._blocked = frozenset()
