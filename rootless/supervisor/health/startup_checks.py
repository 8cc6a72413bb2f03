"""The startup checks of one run of a container: their results, and the decision that follows. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.health import HealthCheck, StartupCheck


class StartupChecks:
    """They precede the other health checks."""

    def __init__(self, check: StartupCheck) -> None:
        self._check = check
        self._successes = 0
        """Since the last failure."""
        self._failures = 0

    @property
    def interval(self) -> int:
        """Nanoseconds."""
        return self._check.interval

    def as_check(self, check: HealthCheck) -> HealthCheck:
        """`check`, with the command of the startup check."""
        return check._replace(test=self._check.test, timeout=self._check.timeout)

    def count(self, *, succeeded: bool) -> None:
        self._successes = self._successes + 1 if succeeded else 0
        self._failures += not succeeded

    def has_succeeded(self) -> bool:
        """The other checks begin."""
        return self._successes >= self._check.successes

    def has_failed(self) -> bool:
        """The container is to be restarted."""
        return 0 < self._check.retries <= self._failures
