"""`pause` and `unpause`."""

from __future__ import annotations

from rootless.cli.containers.chosen import CIDFILE, FILTER, LATEST, all_flag, selected
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import for_each
from rootless.containers.status import Status


def pause(parsed: Parsed, settings: Settings) -> int:
    """Pause containers; the error of each that cannot be paused is printed, and the status is 1."""
    engine = engine_of(settings)

    def pause_one(name: str) -> None:
        engine.pause(name)
        print(name, flush=True)

    return for_each(selected(parsed, engine, "pause", (Status.RUNNING,)), pause_one)


def unpause(parsed: Parsed, settings: Settings) -> int:
    """Let paused containers go on."""
    engine = engine_of(settings)

    def unpause_one(name: str) -> None:
        engine.unpause(name)
        print(name, flush=True)

    return for_each(selected(parsed, engine, "unpause", (Status.PAUSED,)), unpause_one)


PAUSE = Command(
    "pause",
    "Pause all processes within one or more containers",
    "CONTAINER [CONTAINER...]",
    (all_flag("Pause all running containers", "a"), CIDFILE, FILTER, LATEST),
    pause,
    operand="container",
    description="""Stop every process of a container: by the freezer of its control group or, where it
has none, by SIGSTOP to each.""",
)
UNPAUSE = Command(
    "unpause",
    "Unpause all processes within one or more containers",
    "CONTAINER [CONTAINER...]",
    (all_flag("Unpause all paused containers", "a"), CIDFILE, FILTER, LATEST),
    unpause,
    operand="container",
)
