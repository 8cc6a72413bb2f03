"""`diff`."""

from __future__ import annotations

import os
import sys

from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.escape import escaped
from rootless.cli.grammar import Command, Parsed


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what a container has changed."""
    engine = engine_of(settings)
    changes = engine.diff(*with_latest(parsed, engine, "diff", most=1))
    if sys.stdout.isatty():
        # The container chose the names: a terminal would obey their control characters.
        for kind, path in changes:
            name = escaped(os.fsdecode(path)).replace("\n", "\\n")
            print(f"{kind} /{name}")
        return 0
    for kind, path in changes:
        sys.stdout.buffer.write(b"%b /%b\n" % (kind.encode(), path))
    sys.stdout.buffer.flush()
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
