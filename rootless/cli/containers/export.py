"""`export`."""

from __future__ import annotations

import sys
from pathlib import Path

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.shared_options import OUTPUT
from rootless.errors import UsageError


def export(parsed: Parsed, settings: Settings) -> int:
    """Write a container's files as a tar archive."""
    output = parsed[OUTPUT]
    if output is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal", hint="use -o FILE, or redirect")
    engine_of(settings).export(parsed.arguments[0], 1 if output is None else Path(output))
    return 0


EXPORT = Command(
    "export",
    "Export a container's filesystem as a tar archive",
    "CONTAINER",
    (OUTPUT,),
    export,
    least=1,
    most=1,
    operand="container",
)
