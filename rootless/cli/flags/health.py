"""--health-cmd and the other options of health checks. Pure."""

from __future__ import annotations

from rootless.durations import parse_duration
from rootless.errors import UsageError
from rootless.spec.health import HealthCheck, HealthLog, OnUnhealthy, StartupCheck
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST = 10**6
"""Nanoseconds: docker refuses shorter times."""
_NEVER = 1 << 62
"""Nanoseconds, of an interval that is `disable` (podman): the health is checked by `healthcheck run` alone."""
_TIMES = {
    "health-interval": "Interval",
    "health-timeout": "Timeout",
    "health-start-period": "StartPeriod",
    "health-start-interval": "StartInterval",
    "health-startup-interval": "Interval",
    "health-startup-timeout": "Timeout",
}
"""By the name of the flag: docker's word in an error."""


class HealthFlags(NamedTuple):
    """The values of the flags. `times` and `numbers` by the name of the flag; None was not given."""

    command: str | None
    startup_command: str | None
    times: Mapping[str, str | None]
    numbers: Mapping[str, int | None]
    on_failure: str | None
    disabled: bool
    log_destination: str = ""


def parse_health(flags: HealthFlags) -> HealthCheck | None:
    """The health check that the flags describe; None if there are none.

    Raises UsageError, with docker's words.
    """
    for flag, number in flags.numbers.items():
        if (number or 0) < 0:
            raise UsageError(f"--{flag} cannot be negative")
    command, retries = flags.command, flags.numbers["health-retries"]
    nanoseconds = {flag: _time(flag, text) for flag, text in flags.times.items()}
    check = HealthCheck(
        test=("CMD-SHELL", command) if command else (),
        interval=nanoseconds["health-interval"],
        timeout=nanoseconds["health-timeout"],
        start_period=nanoseconds["health-start-period"],
        start_interval=nanoseconds["health-start-interval"],
        retries=retries or 0,
        on_unhealthy=_action(flags.on_failure),
        startup=_startup(flags, nanoseconds),
        log=_log(flags.numbers),
        log_destination=flags.log_destination,
    )
    if flags.disabled:
        if check != HealthCheck():
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return HealthCheck(test=("NONE",))
    return None if check == HealthCheck() else check


def _startup(flags: HealthFlags, nanoseconds: Mapping[str, int]) -> StartupCheck | None:
    if not flags.startup_command:
        return None
    return StartupCheck(
        ("CMD-SHELL", flags.startup_command),
        nanoseconds["health-startup-interval"],
        nanoseconds["health-startup-timeout"],
        flags.numbers["health-startup-retries"] or 0,
        flags.numbers["health-startup-success"] or 0,
    )


def _log(numbers: Mapping[str, int | None]) -> HealthLog | None:
    count, size = numbers["health-max-log-count"], numbers["health-max-log-size"]
    if count is None and size is None:
        return None
    default = HealthLog()
    return HealthLog(
        default.results if count is None else count, default.size if size is None else size
    )


def _time(flag: str, text: str | None) -> int:
    if not text:
        return 0
    if flag in {"health-interval", "health-startup-interval"} and text == "disable":
        return _NEVER
    try:
        time = parse_duration(text)
    except ValueError:
        is_number = text.removeprefix("-").isdecimal()
        reason = f'{"missing unit in" if is_number else "invalid"} duration "{text}"'
        raise UsageError(f'invalid argument "{text}" for "--{flag}" flag: time: {reason}') from None
    if time < 0:
        raise UsageError(f"--{flag} cannot be negative")
    if 0 < time < _LEAST:
        raise UsageError(f"{_TIMES[flag]} in Healthcheck cannot be less than 1ms")
    return time


def _action(text: str | None) -> OnUnhealthy:
    try:
        return OnUnhealthy(text or "none")
    except ValueError:
        known = ",".join(each.value for each in OnUnhealthy)
        raise UsageError(
            f'invalid on-failure action "{text}" for health check: supported actions are {known}'
        ) from None
