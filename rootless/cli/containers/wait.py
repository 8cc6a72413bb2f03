"""`wait`."""

from __future__ import annotations

from functools import partial

from rootless.cli.containers.chosen import IGNORE, LATEST, chosen
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text, Texts
from rootless.cli.output import for_each
from rootless.cli.process import exit_after
from rootless.errors import NotFoundError, UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from rootless.engine import Engine
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
    names, ignore = chosen(parsed, engine, "wait"), parsed[_IGNORE]
    if conditions is None:
        return _Waiting(settings, tuple(names), ignore).go_on(engine)

    def wait_for_one(name: str) -> None:
        _print_status(lambda: engine.wait_for(name, conditions, interval=interval), ignore)

    return for_each(names, wait_for_one)


class _Waiting(NamedTuple):
    """The containers whose end is still waited for, and the exit status so far."""

    settings: Settings
    names: tuple[str, ...]
    ignore: bool
    status: int = 0

    def go_on(self, engine: Engine) -> int:
        status = self.status
        for number, name in enumerate(self.names):
            waiting = self._replace(names=self.names[number:], status=status)
            status |= waiting.end_of_first(partial(engine.wait, name, waiting.exit_after))
        return status

    def end_of_first(self, wait: Callable[[], int]) -> int:
        return for_each(self.names[:1], lambda _: _print_status(wait, self.ignore))

    def exit_after(self, wait: Callable[[], int]) -> NoReturn:
        """Wait for the first container, in a process that stood by, then for the others, and exit as `wait` does."""

        def go_on() -> int:
            status = self.status | self.end_of_first(wait)
            left = self._replace(names=self.names[1:], status=status)
            return left.go_on(engine_of(self.settings)) if left.names else status

        exit_after(go_on, debug=self.settings.debug)


def _print_status(wait: Callable[[], int], ignore: bool) -> None:
    try:
        status = wait()
    except NotFoundError:
        if not ignore:
            raise
        status = -1
    print(status, flush=True)


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
