"""`import`."""

from __future__ import annotations

import sys
from pathlib import Path

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text
from rootless.cli.progress import counter_on
from rootless.cli.shared_options import CHANGE, PLATFORM, platform_of

_MESSAGE = Text(("message", "m"), "Set commit message for imported image", "TEXT")
_QUIET = Flag(("quiet", "q"), "Suppress the progress")


def import_image(parsed: Parsed, settings: Settings) -> int:
    """Make an image of a root file system archive and print its id."""
    source, *reference = parsed.arguments
    with counter_on("Importing", sys.stderr, quiet=parsed[_QUIET]) as moved:
        image = engine_of(settings).import_rootfs(
            0 if source == "-" else source if "://" in source else Path(source),
            reference=reference[0] if reference else None,
            changes=parsed[CHANGE],
            message=parsed[_MESSAGE],
            platform=platform_of(parsed),
            moved=moved,
        )
    print(image.id)
    return 0


IMPORT = Command(
    "import",
    "Import a tar archive, a squashfs or a SIF file to create a filesystem image",
    "FILE|URL|- [REPOSITORY[:TAG]]",
    (CHANGE, _MESSAGE, PLATFORM, _QUIET),
    import_image,
    least=1,
    most=2,
)
