"""Delivers signals of clients to the first process of a container, for which the kernel has rules of its own
(docs/decisions/0702).
"""

from __future__ import annotations

import time

from rootless.light_stdlib import signal
from rootless.supervisor.signal_disposition import SignalEffect, effect_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHECK_AFTER = 0.05
_CHECKS = 40
"""A shell blocks signals for microseconds; a process that blocks one for 2 s takes it in another way."""


class SignalDelivery:
    """`stop_timeout` is in seconds, from SIGTERM to SIGKILL; None for no limit. `sent` is called with each
    signal that has been sent.
    """

    def __init__(
        self, pid: int, pidfd: int, stop_timeout: int | None, sent: Callable[[int], None]
    ) -> None:
        self.killed_for = 0
        """The signal that the container was killed for, as if it had followed its default action."""
        self._pid = pid
        self._pidfd = pidfd
        self._stop_timeout = stop_timeout
        self._sent = sent
        self.is_over_time = False
        """It was killed at the end of its time limit."""
        self._deadline: float | None = None
        self._time_limit: float | None = None
        self._blocked = 0
        """A signal that was sent while the process blocked it."""
        self._checks = 0

    def deliver(self, number: int) -> None:
        """Send a signal; what the kernel would drop for process 1 ends the container."""
        effect = self._effect(number)
        if effect is SignalEffect.DROPPED:
            self._kill_for(number)
            return
        if effect is SignalEffect.BLOCKED:
            self._blocked = number
            self._checks = _CHECKS
        if number == signal.SIGTERM and self._stop_timeout is not None:
            self._deadline = time.monotonic() + self._stop_timeout
        self.send(number)

    def stop(self, number: int, timeout: float | None) -> None:
        """Send a signal that is to end the container, and SIGKILL `timeout` seconds later (None: not).

        A signal that the kernel would drop needs no waiting: SIGKILL is sent at once.
        """
        if timeout is not None and self._effect(number) is SignalEffect.DROPPED:
            self.kill()
            return
        self.send(number)
        if timeout is not None:
            self._deadline = time.monotonic() + timeout

    def send(self, number: int) -> None:
        """Send a signal as kill(2) does: process 1 may be out of its reach (pid_namespaces(7))."""
        send_signal(self._pidfd, number)
        self._sent(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def limit(self, seconds: int) -> None:
        """Kill the container after this number of seconds."""
        self._time_limit = time.monotonic() + seconds

    def wait_limit(self) -> float | None:
        """Milliseconds until `check` is due; None if it is not."""
        waits = [_CHECK_AFTER * 1000] if self._blocked else []
        waits += [
            max(0.0, end - time.monotonic()) * 1000
            for end in (self._deadline, self._time_limit)
            if end is not None
        ]
        return min(waits, default=None)

    def check(self, *, timed_out: bool) -> None:
        """After each wait: look at a blocked signal again, and kill at the end of the stop timeout."""
        if self._blocked and timed_out:
            self._check_blocked()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            self.kill()
        if self._time_limit is not None and time.monotonic() >= self._time_limit:
            self._time_limit = None
            self.is_over_time = True
            self.kill()

    def _check_blocked(self) -> None:
        self._checks -= 1
        effect = self._effect(self._blocked)
        if effect is SignalEffect.DROPPED:
            self._kill_for(self._blocked)
        if effect is not SignalEffect.BLOCKED or not self._checks:
            self._blocked = 0

    def _kill_for(self, number: int) -> None:
        self.killed_for = number
        self.kill()

    def _effect(self, number: int) -> SignalEffect:
        return effect_of(number, self._proc("status"), self._proc("syscall"))

    def _proc(self, name: str) -> str:
        """A file of /proc/PID; empty if the process is gone or the kernel does not show it."""
        try:
            with open(f"/proc/{self._pid}/{name}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def send_signal(pidfd: int, number: int) -> None:
    """Send a signal to a process, which may have ended."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
