"""`rm`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import for_each

_FORCE = Flag(("force", "f"), "Force the removal of a running container (uses SIGKILL)")
_VOLUMES = Flag(("volumes", "v"), "Remove anonymous volumes associated with the container")


def rm(parsed: Parsed, settings: Settings) -> int:
    """Remove containers; an error is printed for each that cannot be, and the status is 1."""
    engine = engine_of(settings)

    def remove(name: str) -> None:
        engine.remove(name, force=parsed[_FORCE], volumes=parsed[_VOLUMES])
        print(name)

    return for_each(parsed.arguments, remove, missing_is_fine=parsed[_FORCE])


RM = Command(
    "rm",
    "Remove one or more containers",
    "CONTAINER [CONTAINER...]",
    (_FORCE, _VOLUMES),
    rm,
    least=1,
    operand="container",
)
