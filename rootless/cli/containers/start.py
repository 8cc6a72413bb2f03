"""`start`."""

from __future__ import annotations

import sys

from rootless.cli.containers.chosen import LATEST, chosen
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import for_each


def start(parsed: Parsed, settings: Settings) -> int:
    """Start containers; the error of each that cannot be started is printed, and the status is 1."""
    engine = engine_of(settings)
    names = chosen(parsed, engine, "start")
    failed = []

    def start_one(name: str) -> None:
        failed.append(name)
        engine.start(name)
        failed.remove(name)
        print(name, flush=True)

    status = for_each(names, start_one)
    if failed:
        print(f"Error: failed to start containers: {', '.join(failed)}", file=sys.stderr)
    return status


START = Command(
    "start",
    "Start one or more stopped containers",
    "CONTAINER [CONTAINER...]",
    (LATEST,),
    start,
    operand="container",
)
