"""`wait` of the command line: its process stands by while nothing comes from the monitor."""

from __future__ import annotations

import select
import sys

from rootless.light_stdlib import signal
from rootless.supervisor import FIRST_QUIET, longer_quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeAlias

    from rootless.engine.lifecycle.connection import AwaitedEnd

    ResumedWait: TypeAlias = Callable[[Callable[[], int]], NoReturn]
    """What a process does that has stood by. It is given what waits for the status; both can be pickled."""


class PatientWait:
    """The end of a container that is waited for."""

    def __init__(self, ending: AwaitedEnd, resumed: ResumedWait) -> None:
        self._ending = ending
        self._resumed = resumed
        self._quiet = FIRST_QUIET
        self._command = sys.orig_argv
        self._blocked: frozenset[int] = frozenset()
        """Signals that wait for the handlers of this process, if it stood by."""

    def status(self) -> int:
        """The exit status of the container, when it has ended."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._blocked)
        status = None
        try:
            while status is None:
                if select.select([self._ending], [], [], self._quiet)[0]:
                    status = self._ending.receive()
                else:
                    self._stand_by()
        finally:
            self._ending.close()
        return status

    def resume(self) -> NoReturn:
        """Go on in the program that is executed after the process stood by."""
        self._resumed(self.status)

    def _stand_by(self) -> None:
        """Returns if the process cannot."""
        self._quiet = longer_quiet(self._quiet)
        try:
            from rootless.supervisor.signal_disposition import handled_signals
            from rootless.supervisor.standby import modules
            from rootless.supervisor.standby.entering import stand_by

            self._blocked = handled_signals()
            waits = {self._ending.fileno(): select.POLLIN}
            stand_by(self, waits, self._blocked, modules.of_monitor, command=self._command)
        except Exception:  # noqa: BLE001 - what is loaded only now may be of another release
            pass
        self._blocked = frozenset()
