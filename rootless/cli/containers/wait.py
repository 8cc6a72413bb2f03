"""`wait`."""

from __future__ import annotations

from rootless.cli.containers.chosen import LATEST, chosen
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import for_each


def wait(parsed: Parsed, settings: Settings) -> int:
    """Wait for the end of each container and print its exit status."""
    engine = engine_of(settings)
    return for_each(
        chosen(parsed, engine, "wait"), lambda name: print(engine.wait(name), flush=True)
    )


WAIT = Command(
    "wait",
    "Block until one or more containers stop, then print their exit codes",
    "CONTAINER [CONTAINER...]",
    (LATEST,),
    wait,
    operand="container",
)
