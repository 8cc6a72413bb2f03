"""`rm`."""

from __future__ import annotations

from rootless.cli.containers.chosen import (
    CIDFILE,
    IGNORE,
    LONG_FILTER,
    ONLY_LATEST,
    all_flag,
    selected,
)
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Number, Parsed
from rootless.cli.output import for_each

_FORCE = Flag(("force", "f"), "Force the removal of a running container (uses SIGKILL)")
_TIMEOUT = Number(
    ("time", "t"),
    "With --force, seconds to wait after the stop signal before killing the container",
    "SECONDS",
)
_VOLUMES = Flag(("volumes", "v"), "Remove anonymous volumes associated with the container")


def rm(parsed: Parsed, settings: Settings) -> int:
    """Remove containers; an error is printed for each that cannot be, and the status is 1."""
    if parsed[_TIMEOUT] is not None and not parsed[_FORCE]:
        raise GrammarError("--time needs --force")
    engine = engine_of(settings)

    def remove(name: str) -> None:
        if parsed[_TIMEOUT]:
            engine.stop(name, timeout=parsed[_TIMEOUT])
        engine.remove(name, force=parsed[_FORCE], volumes=parsed[_VOLUMES])
        print(name)

    return for_each(
        selected(parsed, engine, "rm", (), ignore=parsed[IGNORE]),
        remove,
        missing_is_fine=parsed[_FORCE],
        ignore_missing=parsed[IGNORE],
    )


RM = Command(
    "rm",
    "Remove one or more containers",
    "CONTAINER [CONTAINER...]",
    (
        all_flag("Remove all containers", "a"),
        CIDFILE,
        LONG_FILTER,
        _FORCE,
        IGNORE,
        ONLY_LATEST,
        _TIMEOUT,
        _VOLUMES,
    ),
    rm,
    operand="container",
)
