"""--health-cmd and the like, as Docker 28.5 was seen to read them."""

from collections.abc import Mapping

import pytest

from rootless.cli.flags.health import HealthFlags, parse_health
from rootless.errors import UsageError
from rootless.spec.health import HealthCheck, HealthLog, OnUnhealthy, StartupCheck

TIMES = (
    "health-interval",
    "health-timeout",
    "health-start-period",
    "health-start-interval",
    "health-startup-interval",
    "health-startup-timeout",
)
NUMBERS = (
    "health-retries",
    "health-startup-retries",
    "health-startup-success",
    "health-max-log-count",
    "health-max-log-size",
)


def parse(
    command: str | None = None,
    retries: int | None = None,
    action: str | None = None,
    *,
    disabled: bool = False,
    startup: str | None = None,
    numbers: Mapping[str, int] | None = None,
    **times: str,
) -> HealthCheck | None:
    given = {flag: times.get(flag.removeprefix("health-").replace("-", "_")) for flag in TIMES}
    counts = {**dict.fromkeys(NUMBERS), "health-retries": retries, **(numbers or {})}
    return parse_health(HealthFlags(command, startup, given, counts, action, disabled))


def test_flags_are_values() -> None:
    found = parse(
        "exit 0", 2, "stop", interval="1s", timeout="2ms", start_period="1m", start_interval="1h"
    )
    assert found == HealthCheck(
        ("CMD-SHELL", "exit 0"), 10**9, 2 * 10**6, 60 * 10**9, 3600 * 10**9, 2, OnUnhealthy.STOP
    )
    assert parse(disabled=True) == HealthCheck(("NONE",))
    assert parse(retries=0, interval="0") is None
    assert parse("") is None


def test_flags_of_the_startup_check_and_of_the_log_are_values() -> None:
    counts = {"health-startup-retries": 3, "health-startup-success": 2, "health-max-log-size": 0}
    found = parse("true", startup="test -e /up", numbers=counts, startup_interval="1s")
    startup = StartupCheck(("CMD-SHELL", "test -e /up"), 10**9, 0, 3, 2)
    assert found == HealthCheck(
        ("CMD-SHELL", "true"), startup=startup, log=HealthLog(results=5, size=0)
    )


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"command": "x", "disabled": True}, "--no-healthcheck conflicts with --health-* options"),
        ({"interval": "5"}, 'for "--health-interval" flag: time: missing unit in duration "5"'),
        ({"interval": "x"}, 'for "--health-interval" flag: time: invalid duration "x"'),
        ({"interval": "1us"}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"timeout": "1us"}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"start_interval": "1us"}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"interval": "-1s"}, "--health-interval cannot be negative"),
        ({"start_period": "-1s"}, "--health-start-period cannot be negative"),
        ({"retries": -1}, "--health-retries cannot be negative"),
        ({"action": "bad"}, 'invalid on-failure action "bad" for health check: supported actions'),
    ],
)
def test_mistakes(found: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(**found)  # type: ignore[arg-type]
    assert message in caught.value.message
