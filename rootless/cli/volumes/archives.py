"""`volume export` and `volume import`."""

from __future__ import annotations

import os

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.shared_options import OUTPUT, output_of
from rootless.errors import RootlessError


def export_volume(parsed: Parsed, settings: Settings) -> int:
    """Write a volume's files as a tar archive."""
    engine_of(settings).volumes.export(parsed.arguments[0], output_of(parsed))
    return 0


def import_volume(parsed: Parsed, settings: Settings) -> int:
    """Add the files of a tar archive to a volume."""
    name, *sources = parsed.arguments
    source = sources[0] if sources else "-"
    if source == "-":
        engine_of(settings).volumes.import_(name, 0)
        return 0
    try:
        opened = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise RootlessError(f"unable to open input file: open {source}: {reason}") from error
    engine_of(settings).volumes.import_(name, opened)
    return 0


VOLUME_EXPORT = Command(
    "export",
    "Export the files of a volume as a tar archive",
    "VOLUME",
    (OUTPUT,),
    export_volume,
    least=1,
    most=1,
    operand="volume",
)
VOLUME_IMPORT = Command(
    "import",
    "Add the files of a tar archive to a volume",
    "VOLUME [FILE|-]",
    (),
    import_volume,
    least=1,
    most=2,
    operand="volume",
    description="""Add the files of a tar archive, which may be compressed, to a volume. Files of the
same names are replaced. The archive is read from a file or, with - or none, from standard input.""",
)
