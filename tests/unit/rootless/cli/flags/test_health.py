"""--health-cmd and the like, as Docker 28.5 was seen to read them."""

import pytest

from rootless.cli.flags.health import parse_health
from rootless.errors import UsageError
from rootless.spec.options import HealthCheck, OnUnhealthy

FLAGS = ("health-interval", "health-timeout", "health-start-period", "health-start-interval")


def parse(
    command: str | None = None,
    retries: int | None = None,
    action: str | None = None,
    *,
    disabled: bool = False,
    **times: str,
) -> HealthCheck | None:
    given = {flag: times.get(flag.removeprefix("health-").replace("-", "_")) for flag in FLAGS}
    return parse_health(command, given, retries, action, disabled=disabled)


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
