"""`logs`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.times import TimeError, parse_time
from rootless.cli.grammar import Command, Flag, Parsed, Text
from rootless.cli.process import exit_after
from rootless.durable import write_all
from rootless.errors import UsageError
from rootless.logs.reader import LogRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

_DETAILS = Flag(("details",), "Show extra details provided to logs")
_FOLLOW = Flag(("follow", "f"), "Follow log output")
_SINCE = Text(
    ("since",),
    'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    "TIME",
)
_UNTIL = Text(
    ("until",),
    'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 '
    "minutes)",
    "TIME",
)
_TAIL = Text(
    ("tail", "n"), "Number of lines to show from the end of the logs (default all)", "NUMBER"
)
_TIMESTAMPS = Flag(("timestamps", "t"), "Show timestamps")


def logs(parsed: Parsed, settings: Settings) -> int:
    """Write what the container has written to the same two streams."""
    request = LogRequest(
        follow=parsed[_FOLLOW],
        since=_moment(parsed[_SINCE], "since"),
        until=_moment(parsed[_UNTIL], "until"),
        tail=_count(parsed[_TAIL]),
        timestamps=parsed[_TIMESTAMPS],
        details=parsed[_DETAILS],
    )
    engine = engine_of(settings)
    (name,) = with_latest(parsed, engine, "logs", most=1)
    return _write(engine.logs(name, request, resumed=partial(_go_on, debug=settings.debug)))


def _write(pieces: Iterator[tuple[int, bytes]]) -> int:
    for number, data in pieces:
        write_all(number, data)
    return 0


def _go_on(further: Callable[[], Iterator[tuple[int, bytes]]], *, debug: bool) -> NoReturn:
    """Write the rest in a process that stood by."""
    exit_after(lambda: _write(further()), debug=debug)


def _count(text: str | None) -> int | None:
    """As Docker's engine does it, all for what is no number, or a negative one."""
    try:
        count = int(text or "")
    except ValueError:
        return None
    return count if count >= 0 else None


def _moment(text: str | None, name: str) -> int | None:
    """Nanoseconds since the epoch. Raises UsageError."""
    try:
        return parse_time(text or "", time.time_ns()) or None
    except TimeError as error:
        raise UsageError(f'invalid value for "{name}": {error.message}') from None


LOGS = Command(
    "logs",
    "Fetch the logs of a container",
    "CONTAINER",
    (_DETAILS, _FOLLOW, LATEST, _SINCE, _TAIL, _TIMESTAMPS, _UNTIL),
    logs,
    operand="container",
)
