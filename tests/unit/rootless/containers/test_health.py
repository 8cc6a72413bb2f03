"""What the results of health checks make of a container's health, as Docker 28.5 was seen to decide it."""

import pytest

from rootless.containers.health import (
    CheckResult,
    Health,
    HealthStatus,
    cut,
    decode_health,
    encode_health,
    health_document,
)
from rootless.spec.health import HealthCheck, HealthLog

CHECK = HealthCheck(
    ("true",), interval=30, timeout=30, start_period=100, start_interval=5, retries=3
)
LATE = 1000


def result(exit_code: int, output: str = "") -> CheckResult:
    return CheckResult("2026-11-27T02:07:00Z", "2026-11-27T02:07:01Z", exit_code, output)


def after(health: Health, *exit_codes: int, age: int = LATE) -> Health:
    for exit_code in exit_codes:
        health = health.after(result(exit_code), CHECK, age=age)
    return health


@pytest.mark.parametrize(
    ("exit_codes", "status", "streak"),
    [
        ((0,), "healthy", 0),
        ((1,), "starting", 1),
        ((1, 127), "starting", 2),
        ((1, -1, 2), "unhealthy", 3),
        ((1, 1, 1, 1), "unhealthy", 4),
        ((1, 1, 0), "healthy", 0),
        ((0, 1, 1), "healthy", 2),
        ((0, 1, 1, 1), "unhealthy", 3),
        ((1, 1, 1, 0), "healthy", 0),
    ],
)
def test_failures_in_a_row_make_a_container_unhealthy(
    exit_codes: tuple[int, ...], status: str, streak: int
) -> None:
    health = after(Health(), *exit_codes)
    assert (health.status.value, health.failing_streak) == (status, streak)


def test_failures_in_the_start_period_do_not_count_until_a_check_has_succeeded() -> None:
    starting = after(Health(), 1, 1, 1, 1, age=50)
    assert (starting.status, starting.failing_streak) == (HealthStatus.STARTING, 0)
    assert len(starting.log) == 4
    assert after(starting, 1, age=100).failing_streak == 1
    assert after(Health(), 0, 1, age=50).failing_streak == 1


def test_interval_is_another_in_the_start_period() -> None:
    assert Health().interval(CHECK, age=50) == 5
    assert Health().interval(CHECK, age=100) == 30
    assert Health(HealthStatus.HEALTHY).interval(CHECK, age=50) == 30


def test_last_five_results_are_kept_also_over_a_restart() -> None:
    health = Health()
    for number in range(7):
        health = health.after(result(number), CHECK, age=LATE)
    assert [each.exit_code for each in health.log] == [2, 3, 4, 5, 6]
    assert health.restarted() == Health(HealthStatus.STARTING, 0, health.log)


def test_output_is_cut_at_4096_bytes() -> None:
    assert cut(b"x" * 4096, None) == "x" * 4096
    assert cut(b"x" * 4097, None) == "x" * 4096 + "..."
    assert cut(b"\xff\n", None) == "\ufffd\n"


def test_document_is_read_as_it_was_written() -> None:
    health = after(Health(), 1, 2)
    assert decode_health(encode_health(health)) == health
    assert health_document("starting", health)["Log"][1] == {
        "Start": "2026-11-27T02:07:00Z",
        "End": "2026-11-27T02:07:01Z",
        "ExitCode": 2,
        "Output": "",
    }


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"failingStreak":1}', b'{"log":[[1]]}'])
def test_damaged_document_is_a_health_without_results(data: bytes) -> None:
    assert decode_health(data) == Health()


def test_output_and_results_are_kept_up_to_the_limits_of_the_options():
    assert cut(b"x" * 30, HealthLog(5, 10)) == "x" * 10
    assert cut(b"x" * 9000, HealthLog(5, 0)) == "x" * 9000
    results = [CheckResult("", "", 0, str(number)) for number in range(9)]
    for limit, kept in ((2, 2), (0, 9)):
        health = Health()
        for result in results:
            health = health.after(result, CHECK._replace(log=HealthLog(results=limit)), age=0)
        assert list(health.log) == results[-kept:]


def test_startup_check_makes_healthy_and_never_unhealthy():
    health = Health().after_startup_check(CheckResult("", "", 1, ""), CHECK)
    assert (health.status, health.failing_streak) == (HealthStatus.STARTING, 0)
    health = health.after_startup_check(CheckResult("", "", 0, ""), CHECK)
    assert (health.status, len(health.log)) == (HealthStatus.HEALTHY, 2)
