"""`wait`."""

from __future__ import annotations

from rootless.cli.containers.chosen import IGNORE, LATEST, chosen
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text, Texts
from rootless.cli.output import for_each
from rootless.errors import NotFoundError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.engine.lifecycle.conditions import Conditions

_CONDITIONS = (
    "created",
    "exited",
    "healthy",
    "paused",
    "removing",
    "running",
    "stopped",
    "unhealthy",
)
_CONDITION = Texts(
    ("condition",),
    "Condition to wait for; of several, the first that is true (default stopped)",
    "CONDITION",
    choices=_CONDITIONS,
)
_INTERVAL = Text(
    ("interval", "i"),
    "Interval between checks of the condition, in milliseconds or with a unit (default 250ms)",
    "TIME",
)
_IGNORE = Flag(("ignore",), IGNORE.help)


def wait(parsed: Parsed, settings: Settings) -> int:
    """Wait for the end of each container, or for another condition, and print its exit status."""
    engine = engine_of(settings)
    conditions = _conditions(parsed[_CONDITION])
    interval = _seconds(parsed[_INTERVAL] or "250ms")

    def wait_for_one(name: str) -> None:
        try:
            if conditions is None:
                status = engine.wait(name)
            else:
                status = engine.wait_for(name, conditions, interval=interval)
        except NotFoundError:
            if not parsed[_IGNORE]:
                raise
            status = -1
        print(status, flush=True)

    return for_each(chosen(parsed, engine, "wait"), wait_for_one)


def _conditions(words: Sequence[str]) -> Conditions | None:
    """None for the end of a container, which its monitor reports. Raises UsageError."""
    for word in words:
        if word not in _CONDITIONS:
            raise UsageError(f'unknown condition "{word}"', hint=f"use {', '.join(_CONDITIONS)}")
    if set(words) <= {"exited", "stopped"}:
        return None
    from rootless.containers.health import HealthStatus
    from rootless.containers.status import Status
    from rootless.engine.lifecycle.conditions import Conditions

    healths = {word for word in words if word.endswith("healthy")}
    statuses = {"exited" if word == "stopped" else word for word in words if word not in healths}
    return Conditions(frozenset(map(Status, statuses)), frozenset(map(HealthStatus, healths)))


def _seconds(text: str) -> float:
    """Raises UsageError."""
    from rootless.durations import parse_duration

    try:
        nanoseconds = parse_duration(f"{text}ms" if text.isdecimal() else text)
    except ValueError as error:
        raise UsageError(f"--interval: {error}") from None
    if nanoseconds < 0:
        raise UsageError(f"--interval: {text} is negative")
    return nanoseconds / 1e9


WAIT = Command(
    "wait",
    "Block until one or more containers stop, then print their exit codes",
    "CONTAINER [CONTAINER...]",
    (_CONDITION, _IGNORE, _INTERVAL, LATEST),
    wait,
    operand="container",
    description="""Wait until each container has stopped, or until another condition is true, and print its
exit status; -1 of a container that has not ended, or that --ignore passes over.""",
)
