"""`diff`."""

from __future__ import annotations

from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import print_changes


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what a container has changed."""
    engine = engine_of(settings)
    print_changes(engine.diff(*with_latest(parsed, engine, "diff", most=1)))
    return 0


DIFF = Command(
    "diff",
    "Inspect changes to files or directories on a container's filesystem",
    "CONTAINER[@TAG]",
    (LATEST,),
    diff,
    operand="container",
    description="""List the files and directories that a container has added (A), changed (C) or
deleted (D).""",
)
