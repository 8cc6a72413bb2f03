"""Schedules the health checks of a container and acts on their results. The monitor drives it from its loop; nothing
here waits.
"""

from __future__ import annotations

import os
import time

from rootless.containers.exec_target import exec_text
from rootless.containers.health import (
    NAME,
    HealthStatus,
    decode_health,
    encode_health,
    encode_result,
    health_document,
)
from rootless.containers.status import Status
from rootless.durable import write_atomically
from rootless.errors import RootlessError
from rootless.light_json import dumps
from rootless.spec.health import EVENTS_LOGGER, OnUnhealthy
from rootless.supervisor.engine_log import log
from rootless.supervisor.health.check import CheckTarget, RunningCheck
from rootless.supervisor.health.startup_checks import StartupChecks
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rootless.containers.directory import Containers
    from rootless.containers.health import CheckResult
    from rootless.containers.launch_description import LaunchDescription
    from rootless.spec.health import HealthCheck
    from rootless.supervisor.clients import Client
    from rootless.supervisor.life_events import LifeEvents
    from rootless.supervisor.record_keeper import RecordKeeper


_GRACE = 10 * 10**9
"""Nanoseconds after its timeout that a check has to end by itself: it may hang before its command runs."""


class HealthTimer:
    """The checks of one run of a container, one at a time. Made when its command has been executed."""

    def __init__(
        self,
        description: LaunchDescription,
        check: HealthCheck,
        containers: Containers,
        keeper: RecordKeeper,
        events: LifeEvents,
    ) -> None:
        self._description = description
        self._check = check
        self._containers = containers
        self._keeper = keeper
        self._events = events
        self._path = f"{description.directory}/{NAME}"
        before = decode_health(self._read())
        self._health = before.restarted()
        if before.failing_streak:
            self._write()
        self._startup: StartupChecks | None = None
        """Until they have succeeded."""
        if check.startup is not None:
            self._startup = StartupChecks(check.startup)
        self._started = time.monotonic_ns()
        self._due = self._started + self._interval()
        self._running: RunningCheck | None = None
        self._deadline = 0
        """By the monotonic clock, in nanoseconds: when a check that runs has hung."""
        self._exec: dict[str, str] = {}
        """The attribute execID of the check that runs."""
        self._clients: list[Client] = []
        """Those that wait for the result of a check."""

    def watched(self) -> tuple[int, ...]:
        """Descriptors that can be read when `advance` has something to do."""
        return () if self._running is None else (self._running.fileno(),)

    def wait_limit(self) -> float:
        """Milliseconds until `advance` has something to do, apart from what the descriptors tell."""
        moment = self._due if self._running is None else self._deadline
        return max(0.0, (moment - time.monotonic_ns()) / 1e6)

    def request(self, client: Client) -> None:
        """CHECK: begin a check, or wait for the one that has begun; answered by DONE."""
        self._clients.append(client)
        if self._running is None and not self._begin():
            self._clients.remove(client)
            client.refuse("the health of a container that is paused cannot be checked")

    def advance(self, ready: Collection[int]) -> OnUnhealthy:
        """Begin a check that is due, and take the result of one that has ended. Returns what is to be done to the
        container because of it.
        """
        if self._running is None:
            if time.monotonic_ns() >= self._due and not self._begin():
                self._due = time.monotonic_ns() + self._interval()
            return OnUnhealthy.NONE
        running = self._running
        if running.fileno() in ready:
            return self._finish(running, running.result())
        if time.monotonic_ns() >= self._deadline:
            return self._finish(running, running.abandon())
        return OnUnhealthy.NONE

    def abandon(self) -> None:
        """End the checks: the container has ended, or is about to."""
        if self._running is not None:
            self._running.abandon()
            self._running = None
        for client in self._clients:
            client.refuse("the container has ended")
        self._clients.clear()

    def _begin(self) -> bool:
        """False if the container is paused."""
        description = self._description
        try:
            record = self._containers.read(description.record.id)
        except RootlessError as error:
            log(f"health check: {error.message}")
            return False
        if record.status is not Status.RUNNING:
            return False
        target = CheckTarget(
            record,
            description.directory,
            description.seccomp_cache,
            description.control_directory,
            self._next_check(),
        )
        self._exec = {"execID": os.urandom(32).hex()}
        for action in ("exec_create", "exec_start"):
            self._events.add(f"{action}: {exec_text(target.check.test)}", self._exec)
        try:
            self._running = RunningCheck(target)
        except OSError as error:
            log(f"health check: {error.strerror}")
            return False
        self._deadline = time.monotonic_ns() + target.check.timeout + _GRACE
        return True

    def _next_check(self) -> HealthCheck:
        return self._check if self._startup is None else self._startup.as_check(self._check)

    def _finish(self, running: RunningCheck, result: CheckResult) -> OnUnhealthy:
        self._running = None
        self._events.add("exec_die", {**self._exec, "exitCode": str(result.exit_code)})
        before = self._health.status
        action = self._take(running, result)
        self._write()
        is_other = self._health.status is not before
        if is_other:
            self._keeper.found_health(self._health.status.value)
        self._report(result, is_other=is_other)
        for client in self._clients:
            client.send(Kind.DONE, healthy=result.exit_code == 0)
        self._clients.clear()
        self._due = time.monotonic_ns() + self._interval()
        return action

    def _report(self, result: CheckResult, *, is_other: bool) -> None:
        """The event of another status, or of each result with podman's events_logger."""
        action = f"health_status: {self._health.status.value}"
        if self._check.log_destination == EVENTS_LOGGER:
            self._events.add(
                action,
                {
                    "health_failing_streak": str(self._health.failing_streak),
                    "health_log": encode_result(result).decode(),
                },
            )
        elif is_other:
            self._events.add(action)

    def _take(self, running: RunningCheck, result: CheckResult) -> OnUnhealthy:
        """Count the result. Returns what follows from it."""
        startup = self._startup
        if startup is None:
            age = running.begun - self._started
            self._health = self._health.after(result, self._check, age=age)
            is_unhealthy = self._health.status is HealthStatus.UNHEALTHY
            return self._check.on_unhealthy if is_unhealthy else OnUnhealthy.NONE
        self._health = self._health.after_startup_check(result, self._check)
        startup.count(succeeded=result.exit_code == 0)
        if startup.has_succeeded():
            self._startup = None
        return OnUnhealthy.RESTART if startup.has_failed() else OnUnhealthy.NONE

    def _interval(self) -> int:
        if self._startup is not None:
            return self._startup.interval
        age = time.monotonic_ns() - self._started
        return self._health.interval(self._check, age=age)

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except OSError:
            return b""

    def _write(self) -> None:
        try:
            write_atomically(self._path, encode_health(self._health), 0o600, durable=False)
        except OSError as error:
            # A full disk: the status is in the record, which has room of its own.
            log(f"{NAME}: {error.strerror}")
        directory = self._check.log_destination
        if directory.startswith("/"):
            path = f"{directory}/{self._description.record.id}-healthcheck.log"
            document = health_document(self._health.status.value, self._health)
            try:
                write_atomically(path, dumps(document), 0o600, durable=False)
            except OSError as error:
                log(f"{path}: {error.strerror}")
