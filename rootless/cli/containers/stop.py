"""`stop` and `restart`, which wait for all of their containers at the same time, and `kill`."""

from __future__ import annotations

from rootless.cli.containers.chosen import (
    CIDFILE,
    FILTER,
    IGNORE,
    LATEST,
    LONG_FILTER,
    all_flag,
    selected,
)
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Number, Parsed, Text
from rootless.cli.output import for_each
from rootless.containers.status import ALIVE, MONITORED
from rootless.errors import RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SIGNAL = Text(("signal", "s"), "Signal to send to the container", "SIGNAL")
_TIMEOUT = Number(
    ("timeout", "time", "t"), "Seconds to wait before killing the container", "SECONDS"
)
_RUNNING = Flag(("running",), "Restart all running containers")


def stop(parsed: Parsed, settings: Settings) -> int:
    """Stop containers; the error of each that cannot be stopped is printed, and the status is 1."""
    engine = engine_of(settings)

    def begin(name: str) -> Callable[[], None]:
        number = _number(parsed, f"cannot stop container: {name}")
        return engine.begin_stop(name, signal=number, timeout=parsed[_TIMEOUT])

    names = selected(parsed, engine, "stop", tuple(MONITORED), ignore=parsed[IGNORE])
    return _all_at_once(names, begin, ignore_missing=parsed[IGNORE])


def restart(parsed: Parsed, settings: Settings) -> int:
    """Restart containers, those that have ended too."""
    engine = engine_of(settings)

    def begin(name: str) -> Callable[[], None]:
        number = _number(parsed, f"cannot restart container {name}")
        return engine.begin_restart(name, signal=number, timeout=parsed[_TIMEOUT])

    if parsed[_RUNNING]:
        if parsed.arguments:
            raise GrammarError("--running selects the containers: name none")
        return _all_at_once([each.id for each in engine.find_containers()], begin)
    return _all_at_once(selected(parsed, engine, "restart", ()), begin)


def kill(parsed: Parsed, settings: Settings) -> int:
    """Send a signal to containers: SIGKILL, or that of --signal."""
    engine = engine_of(settings)

    def kill_one(name: str) -> None:
        number = _number(parsed, f"cannot kill container: {name}")
        engine.kill(name, _SIGKILL if number is None else number)
        print(name, flush=True)

    return for_each(selected(parsed, engine, "kill", tuple(ALIVE)), kill_one)


_SIGKILL = 9


def _all_at_once(
    names: Sequence[str],
    begin: Callable[[str], Callable[[], None]],
    *,
    ignore_missing: bool = False,
) -> int:
    """Begin with every container, then wait for each and print it."""
    begun: dict[str, Callable[[], None] | RootlessError] = {}
    for name in names:
        try:
            begun[name] = begin(name)
        except RootlessError as error:
            begun[name] = error

    def finish(name: str) -> None:
        found = begun[name]
        if isinstance(found, RootlessError):
            raise found
        found()
        print(name, flush=True)

    return for_each(names, finish, ignore_missing=ignore_missing)


def _number(parsed: Parsed, context: str) -> int | None:
    """The number of --signal. Raises UsageError."""
    text = parsed[_SIGNAL]
    if not text:
        return None
    from rootless.cli.flags.signals import parse_signal
    from rootless.containers.stop_signal import signal_number

    try:
        return signal_number(parse_signal(text))
    except UsageError as error:
        raise UsageError(f"{context}: {error.message}") from None


STOP = Command(
    "stop",
    "Stop one or more running containers",
    "CONTAINER [CONTAINER...]",
    (
        all_flag("Stop all running containers", "a"),
        CIDFILE,
        FILTER,
        IGNORE,
        LATEST,
        _SIGNAL,
        _TIMEOUT,
    ),
    stop,
    operand="container",
    description="""Send each container its stop signal (SIGTERM, that of the image, of --stop-signal or
of --signal) and, after 10 seconds, those of --stop-timeout or of --timeout, SIGKILL. Its restart policy
does not start it again. A first process that does not handle the signal would never see it: it is
killed at once.""",
)
RESTART = Command(
    "restart",
    "Restart one or more containers",
    "CONTAINER [CONTAINER...]",
    (
        all_flag("Restart all containers, including those that have ended", "a"),
        CIDFILE,
        FILTER,
        LATEST,
        _RUNNING,
        _SIGNAL,
        _TIMEOUT,
    ),
    restart,
    operand="container",
)
KILL = Command(
    "kill",
    "Kill one or more running containers",
    "CONTAINER [CONTAINER...]",
    (
        all_flag("Send the signal to all running containers", "a"),
        CIDFILE,
        LONG_FILTER,
        LATEST,
        _SIGNAL,
    ),
    kill,
    operand="container",
)
