"""`pause`: stopping all processes of a container until `unpause`, by the freezer of its control group,
or, where it has none, by SIGSTOP to each, in rounds until a round finds no new one.

The monitor drives it from its loop: nothing here waits.
"""

from __future__ import annotations

import os
import time

from rootless.containers.processes.pause import is_stopped, processes_of
from rootless.containers.status import Status
from rootless.light_stdlib import signal
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroups.control_group import ControlGroup
    from rootless.supervisor.clients import Client
    from rootless.supervisor.record_keeper import RecordKeeper

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
        return not new and all(map(is_stopped, self._seen))

    def end(self) -> None:
        """Resume the processes. What another program had stopped before stays stopped."""
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
        if is_stopped(pid):
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


class PauseRequests:
    """The requests of clients during one run of a container: one pause at a time."""

    def __init__(self, keeper: RecordKeeper, pid: int, group: ControlGroup | None) -> None:
        self._keeper = keeper
        self._pid = pid
        self._group = group
        self._pause: Pause | None = None
        self._client: Client | None = None
        """The one that waits for the pause to be complete."""

    @property
    def has_pause(self) -> bool:
        """Whether the processes are stopped, or being stopped."""
        return self._pause is not None

    @property
    def is_pending(self) -> bool:
        """Whether `check` has to be called again soon."""
        return self._client is not None

    def begin(self, client: Client) -> None:
        """PAUSE: answered by `check`."""
        if self._pause is not None:
            client.refuse("the container is already paused")
            return
        self._pause = Pause(self._pid, self._group)
        self._client = client
        self.check()

    def check(self) -> None:
        """Answer PAUSE when every process has stopped, or has not in time."""
        client, pause = self._client, self._pause
        if client is None or pause is None:
            return
        if pause.is_complete():
            self._client = None
            self._keeper.moved_to(Status.PAUSED)
            client.send(Kind.DONE)
        elif pause.is_overdue:
            self.abandon()
            client.refuse(f"the processes of the container did not stop within {_LIMIT:g} seconds")

    def end(self, client: Client) -> None:
        """UNPAUSE."""
        if self._pause is None:
            client.refuse("the container is not paused")
            return
        self.resume()
        client.send(Kind.DONE)

    def resume(self) -> None:
        """Resume the processes, if there is a pause."""
        if self._pause is None:
            return
        client = self._client
        self.abandon()
        if client is None:
            self._keeper.moved_to(Status.RUNNING)
        else:
            client.refuse("the container was not left paused")

    def abandon(self) -> None:
        """End the pause without a word in the record."""
        if self._pause is not None:
            self._pause.end()
        self._pause = self._client = None
