"""`pause`: stopping all processes of a container until `unpause`, by the freezer of its control group,
or, where it has none, by SIGSTOP to each, in rounds until a round finds no new one.

The monitor drives it from its loop: nothing here waits.
"""

from __future__ import annotations

import os
import time

from rootless.containers.pause import processes_of, state_of
from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroups.control_group import ControlGroup

_STOPPED = "TtZX"
_LIMIT = 5.0
"""Seconds in which a container has to come to a stop."""


class Pause:
    """One pause, begun when it is made. Call `is_complete` until it is true, or `is_overdue`; `end` lets
    the processes go on.
    """

    def __init__(self, pid: int, group: ControlGroup | None) -> None:
        self._pid = pid
        self._group = group
        self._stopped: dict[int, int] = {}
        self._seen: set[int] = set()
        self._until = time.monotonic() + _LIMIT
        if group is not None:
            group.freeze()

    @property
    def is_overdue(self) -> bool:
        """Whether it has not become complete in time."""
        return time.monotonic() > self._until

    def is_complete(self) -> bool:
        """Whether every process has stopped. Without a control group this stops those that are new."""
        if self._group is not None:
            return self._group.frozen
        new = [pid for pid in self._processes() if pid not in self._seen]
        for pid in new:
            self._stop(pid)
        return not new and all(state_of(pid) in _STOPPED for pid in self._seen)

    def end(self) -> None:
        """Let the processes go on. What another program had stopped before stays stopped."""
        if self._group is not None:
            self._group.thaw()
        for pidfd in self._stopped.values():
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            except ProcessLookupError:
                pass
            os.close(pidfd)
        self._stopped.clear()

    def _processes(self) -> list[int]:
        try:
            return processes_of(self._pid)
        except OSError:
            return []  # the container has ended

    def _stop(self, pid: int) -> None:
        self._seen.add(pid)
        if state_of(pid) in _STOPPED:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self._stopped[pid] = pidfd
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        except ProcessLookupError:
            pass
