"""`export`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.progress import counter_on
from rootless.cli.shared_options import OUTPUT, output_of


def export(parsed: Parsed, settings: Settings) -> int:
    """Write a container's files as a tar archive."""
    output = output_of(parsed)
    with counter_on("Exporting", sys.stderr) as moved:
        engine_of(settings).export(parsed.arguments[0], output, moved=moved)
    return 0


EXPORT = Command(
    "export",
    "Export a container's filesystem as a tar archive",
    "CONTAINER[@TAG]",
    (OUTPUT,),
    export,
    least=1,
    most=1,
    operand="container",
)
