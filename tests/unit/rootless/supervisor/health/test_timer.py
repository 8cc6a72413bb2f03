"""When a check is begun, and what becomes of one that hangs or cannot be begun."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from rootless.containers.health import CheckResult, decode_health
from rootless.containers.status import Status
from rootless.spec.health import HealthCheck, OnUnhealthy
from rootless.supervisor.health import timer as health_timer
from rootless.supervisor.health.timer import HealthTimer

CHECK = HealthCheck(
    ("true",), interval=1, timeout=1, start_interval=1, retries=1, on_unhealthy=OnUnhealthy.KILL
)


class HungCheck:
    """A check that never has a result."""

    def __init__(self, target: object) -> None:
        self.target = target
        self.begun = time.monotonic_ns()

    def fileno(self) -> int:
        return 99

    def abandon(self) -> CheckResult:
        return CheckResult("", "", -1, "the health check was killed")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A timer over a container of a status; `found` has what it tells the record and the events."""
    monkeypatch.setattr(health_timer, "RunningCheck", HungCheck)
    monkeypatch.setattr(health_timer, "_GRACE", 0)
    found: list[str] = []

    def of(status: Status = Status.RUNNING) -> tuple[HealthTimer, list[str]]:
        description: Any = SimpleNamespace(
            directory=str(tmp_path),
            record=SimpleNamespace(id="c"),
            seccomp_cache="",
            control_directory="",
        )
        containers: Any = SimpleNamespace(read=lambda _: SimpleNamespace(status=status))
        keeper: Any = SimpleNamespace(found_health=found.append)
        events: Any = SimpleNamespace(add=lambda *_: None)
        return HealthTimer(description, CHECK, containers, keeper, events), found

    return of


def test_check_that_hangs_is_killed_and_counts_as_a_failure(make, tmp_path):
    timer, found = make()
    assert timer.advance(()) is OnUnhealthy.NONE
    assert timer.watched() == (99,)
    assert timer.advance(()) is OnUnhealthy.KILL
    assert found == ["unhealthy"]
    (result,) = decode_health((tmp_path / "health.json").read_bytes()).log
    assert (result.exit_code, result.output) == (-1, "the health check was killed")


def test_check_that_cannot_be_begun_is_tried_again(make, monkeypatch):
    timer, found = make()

    def refuse(target: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(health_timer, "RunningCheck", refuse)
    assert timer.advance(()) is OnUnhealthy.NONE
    assert (timer.watched(), found) == ((), [])
    monkeypatch.setattr(health_timer, "RunningCheck", HungCheck)
    assert timer.advance(()) is OnUnhealthy.NONE
    assert timer.watched() == (99,)


def test_paused_container_is_not_checked(make):
    timer, found = make(Status.PAUSED)
    assert timer.advance(()) is OnUnhealthy.NONE
    assert (timer.watched(), found) == ((), [])
