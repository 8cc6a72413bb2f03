"""The ranks of a container: processes of a launcher that have entered it."""

from __future__ import annotations

import os
import time

from rootless.containers.rank_recipes import remove_recipes
from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import Shared

_FIRST_WAIT = 30.0
"""Seconds in which the first rank has to join: it has made the container, and may have been killed since."""
_LATE_WAIT = 10.0
"""Seconds that the container waits for ranks of the count when none is in it."""


class Ranks:
    """Of one run of the container."""

    def __init__(self, shared: Shared) -> None:
        self._expected = shared.local_size
        self._state = shared.state
        self._joined = 0
        self._pidfds: set[int] = set()
        self._until = time.monotonic() + _FIRST_WAIT
        self._has_ended = False

    def add(self, pidfd: int) -> bool:
        """Take a rank; False if the container is about to end."""
        if self._has_ended:
            return False
        self._joined += 1
        self._pidfds.add(pidfd)
        return True

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when a rank ends."""
        return tuple(self._pidfds)

    def wait_limit(self) -> float | None:
        """Milliseconds after which `is_over` may have another answer."""
        if self._pidfds or self._has_ended:
            return None
        return max(0.0, self._until - time.monotonic()) * 1000

    def is_over(self, ready: set[int]) -> bool:
        """Whether the last rank has ended and none is waited for; once. `ready` are descriptors that are readable."""
        for ended in ready & self._pidfds:
            self._pidfds.discard(ended)
            os.close(ended)
            expects = self._joined < self._expected
            self._until = time.monotonic() + (_LATE_WAIT if expects else 0)
        if self._has_ended or self._pidfds or time.monotonic() < self._until:
            return False
        self.end()
        return True

    def send(self, number: int) -> None:
        """Send a signal to every rank."""
        for pidfd in self._pidfds:
            try:
                signal.pidfd_send_signal(pidfd, number)
            except (ProcessLookupError, PermissionError):
                continue  # it has ended, or became another user's

    def end(self) -> None:
        """Take no more ranks. Idempotent."""
        if not self._has_ended:
            self._has_ended = True
            try:
                os.unlink(self._state)
            except OSError:
                pass
            remove_recipes(self._state)

    def kill(self) -> None:
        """End those that are left, after the container's end."""
        self.end()
        self.send(signal.SIGKILL)
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._pidfds.clear()
