"""`drop`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed

FORCE = Flag(("force", "f"), "Kill the container if it runs")


def drop(parsed: Parsed, settings: Settings) -> int:
    """Remove containers with their changes."""
    engine = engine_of(settings)
    for name in parsed.arguments:
        engine.remove(name, force=parsed[FORCE])
        print(name)
    return 0


DROP = Command(
    "drop",
    "Drop the changes of a command that was tried",
    "CONTAINER [CONTAINER...]",
    (FORCE,),
    drop,
    least=1,
    operand="container",
    description="Remove the container with the layer that holds its changes. The host's files are as they were.",
)
