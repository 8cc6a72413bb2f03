"""`wait` of the command line: its process stands by while nothing comes from the monitor."""

from __future__ import annotations

import select

from rootless.supervisor.standby.patient import Patient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeAlias

    from rootless.engine.lifecycle.connection import AwaitedEnd

    ResumedWait: TypeAlias = Callable[[Callable[[], int]], NoReturn]
    """What a process does that has stood by. It is given what waits for the status; both can be pickled."""


class PatientWait(Patient):
    """The end of a container that is waited for."""

    def __init__(self, ending: AwaitedEnd, resumed: ResumedWait) -> None:
        super().__init__()
        self._ending = ending
        self._resumed = resumed

    def status(self) -> int:
        """The exit status of the container, when it has ended."""
        self._take_signals()
        status = None
        try:
            while status is None:
                if select.select([self._ending], [], [], self._quiet)[0]:
                    status = self._ending.receive()
                else:
                    self._stand_by(self._ending.fileno())
        finally:
            self._ending.close()
        return status

    def resume(self) -> NoReturn:
        self._resumed(self.status)
