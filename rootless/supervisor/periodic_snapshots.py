"""Takes snapshots of a container at an interval (--snapshot-each), each in a child of the monitor, so that the
monitor does not wait.
"""

from __future__ import annotations

import os
import sys
import time

from rootless.light_stdlib import signal
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rootless.containers.launch_description import LaunchDescription


class PeriodicSnapshots:
    """Of one run of a container, one at a time."""

    def __init__(self, description: LaunchDescription, seconds: int) -> None:
        self._seconds = seconds
        self._command = (
            sys.executable,
            "-m",
            "rootless",
            "--root",
            description.store,
            "--runroot",
            description.runtime,
            "snapshot",
            description.record.id,
        )
        self._due = time.monotonic() + seconds
        self._pid = 0
        self._pidfd = -1

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when `advance` has something to do."""
        return () if self._pidfd < 0 else (self._pidfd,)

    def wait_limit(self) -> float | None:
        """Milliseconds until `advance` has something to do, apart from what the descriptors tell."""
        return None if self._pidfd >= 0 else max(0.0, (self._due - time.monotonic()) * 1000)

    def advance(self, ready: Collection[int]) -> None:
        """Take a snapshot that is due, and note the end of one."""
        if self._pidfd >= 0:
            if self._pidfd in ready:
                self._reap()
        elif time.monotonic() >= self._due:
            self._begin()

    def abandon(self) -> None:
        """The container has ended."""
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._reap()

    def _begin(self) -> None:
        self._due = time.monotonic() + self._seconds
        here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        actions = [
            (os.POSIX_SPAWN_OPEN, descriptor, "/dev/null", os.O_RDWR, 0) for descriptor in range(3)
        ]
        try:
            self._pid = os.posix_spawn(
                self._command[0],
                self._command,
                {**os.environ, "PYTHONPATH": here},
                file_actions=actions,
                setsigmask=(),
            )
        except OSError as error:
            log(f"cannot take a snapshot: {error.strerror}")
            return
        self._pidfd = os.pidfd_open(self._pid)

    def _reap(self) -> None:
        _, status = os.waitpid(self._pid, 0)
        os.close(self._pidfd)
        self._pidfd = -1
        if os.waitstatus_to_exitcode(status):
            log("a snapshot could not be taken")
