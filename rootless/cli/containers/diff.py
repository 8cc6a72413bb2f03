"""`diff`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what a container has changed."""
    for kind, path in engine_of(settings).diff(parsed.arguments[0]):
        sys.stdout.buffer.write(b"%b /%b\n" % (kind.encode(), path))
    sys.stdout.buffer.flush()
    return 0


DIFF = Command(
    "diff",
    "Inspect changes to files or directories on a container's filesystem",
    "CONTAINER",
    (),
    diff,
    least=1,
    most=1,
    operand="container",
    description="""List the files and directories that a container has added (A), changed (C) or
deleted (D).""",
)
