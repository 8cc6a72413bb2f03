"""--health-cmd and the like: how the health of a container is checked. Pure."""

from __future__ import annotations

from rootless.durations import parse_duration
from rootless.errors import UsageError
from rootless.spec.options import HealthCheck, OnUnhealthy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST = 10**6
"""Nanoseconds: docker refuses shorter times."""
_NEVER = 1 << 62
"""Nanoseconds, of --health-interval disable (podman): the health is checked by `healthcheck run` alone."""
_TIMES = {
    "health-interval": "Interval",
    "health-timeout": "Timeout",
    "health-start-period": "StartPeriod",
    "health-start-interval": "StartInterval",
}
"""By the name of the flag: docker's word in an error."""


def parse_health(
    command: str | None,
    times: Mapping[str, str | None],
    retries: int | None,
    on_failure: str | None,
    *,
    disabled: bool,
) -> HealthCheck | None:
    """The health check that the flags describe; None if there are none. `times` by the name of the flag.

    Raises UsageError, with docker's words.
    """
    nanoseconds = {flag: _time(flag, text) for flag, text in times.items()}
    if (retries or 0) < 0:
        raise UsageError("--health-retries cannot be negative")
    check = HealthCheck(
        test=("CMD-SHELL", command) if command else (),
        interval=nanoseconds["health-interval"],
        timeout=nanoseconds["health-timeout"],
        start_period=nanoseconds["health-start-period"],
        start_interval=nanoseconds["health-start-interval"],
        retries=retries or 0,
        on_unhealthy=_action(on_failure),
    )
    if disabled:
        if check != HealthCheck():
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return HealthCheck(test=("NONE",))
    return None if check == HealthCheck() else check


def _time(flag: str, text: str | None) -> int:
    if not text:
        return 0
    if flag == "health-interval" and text == "disable":
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
