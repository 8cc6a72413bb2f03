"""The health of a container: its state and the results of its checks, by docker's rules. Pure.

health.json, beside the record, has the failing streak and the last results; the record has the status.
"""

from __future__ import annotations

from rootless.light_json import dumps, loads
from rootless.spec.health import HealthLog
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.spec.health import HealthCheck

NAME = "health.json"
DOCKERS_LOG = HealthLog()


class HealthStatus(Enum):
    """Docker's words."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class CheckResult(NamedTuple):
    """One check. Times are RFC 3339 in UTC. `exit_code` is -1 for a check that could not be carried out,
    or was not done in time.
    """

    start: str
    end: str
    exit_code: int
    output: str


class Health(NamedTuple):
    """`failing_streak`: how many checks have failed since the last that did not. `log`: the last results,
    oldest first.
    """

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[CheckResult, ...] = ()

    def restarted(self) -> Health:
        """At the start of the container: the log stays."""
        return Health(log=self.log)

    def after(self, result: CheckResult, check: HealthCheck, *, age: int) -> Health:
        """With one more result. `age`: nanoseconds from the start of the container to that of the check: in
        the start period a failure does not count, until a check has succeeded.
        """
        log = self._log_with(result, check)
        if result.exit_code == 0:
            return Health(HealthStatus.HEALTHY, 0, log)
        if self.status is HealthStatus.STARTING and age < check.start_period:
            return self._replace(log=log)
        streak = self.failing_streak + 1
        status = HealthStatus.UNHEALTHY if streak >= check.retries else self.status
        return Health(status, streak, log)

    def after_startup_check(self, result: CheckResult, check: HealthCheck) -> Health:
        """With one more result of the startup check of `check`, which never makes the container unhealthy."""
        status = HealthStatus.HEALTHY if result.exit_code == 0 else self.status
        return Health(status, 0, self._log_with(result, check))

    def _log_with(self, result: CheckResult, check: HealthCheck) -> tuple[CheckResult, ...]:
        count = (check.log or DOCKERS_LOG).results
        return (*self.log, result)[-count:]

    def interval(self, check: HealthCheck, *, age: int) -> int:
        """Nanoseconds to the next check; `age`: since the start of the container."""
        is_starting = self.status is HealthStatus.STARTING and age < check.start_period
        return check.start_interval if is_starting else check.interval


def cut(output: bytes, log: HealthLog | None) -> str:
    """The output of a check as its result has it: the beginning, and docker's mark where there is more and the options
    set no limit.
    """
    limit = (log or DOCKERS_LOG).size
    if not limit or len(output) <= limit:
        return output.decode(errors="replace")
    return output[:limit].decode(errors="replace") + ("..." if log is None else "")


def encode_health(health: Health) -> bytes:
    """The document of health.json."""
    return dumps({"failingStreak": health.failing_streak, "log": list(map(list, health.log))})


def encode_result(result: CheckResult) -> bytes:
    """The attribute `health_log` of podman's events."""
    return dumps(_result_document(result))


def decode_health(data: bytes) -> Health:
    """The health of a document; a damaged one, or none, is that of a container without results."""
    try:
        document = loads(data)
        log = tuple(CheckResult(*fields) for fields in document["log"])
        return Health(HealthStatus.STARTING, int(document["failingStreak"]), log)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return Health()


def health_document(status: str, health: Health) -> dict[str, Any]:
    """`State.Health` of `inspect`. `status` is the record's."""
    return {
        "Status": status,
        "FailingStreak": health.failing_streak,
        "Log": [_result_document(each) for each in health.log],
    }


def _result_document(result: CheckResult) -> dict[str, Any]:
    return {
        "Start": result.start,
        "End": result.end,
        "ExitCode": result.exit_code,
        "Output": result.output,
    }
