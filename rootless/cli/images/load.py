"""`load`."""

from __future__ import annotations

import sys
from pathlib import Path

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text
from rootless.cli.progress import counter_on
from rootless.cli.shared_options import PLATFORM, platform_of
from rootless.errors import UsageError

_INPUT = Text(
    ("input", "i"), "Read from this archive or OCI layout directory, instead of STDIN", "PATH"
)
_QUIET = Flag(("quiet", "q"), "Suppress the load output")


def load(parsed: Parsed, settings: Settings) -> int:
    """Load every image of an archive and print what they are called."""
    source = parsed[_INPUT]
    if source is None and sys.stdin.isatty():
        raise UsageError(
            "requested load from stdin, but stdin is empty",
            hint="use -i FILE or redirect from a file",
        )
    path = None if source is None or source == "-" else Path(source)
    total = path.stat().st_size if path is not None and path.is_file() else 0
    with counter_on("Loading", sys.stderr, total=total, quiet=parsed[_QUIET]) as moved:
        loaded = engine_of(settings).load(
            0 if path is None else path, platform=platform_of(parsed), moved=moved
        )
    for image in loaded:
        for tag in image.tags:
            print(f"Loaded image: {tag.familiar}")
        if not image.tags:
            print(f"Loaded image ID: {image.id}")
    return 0


LOAD = Command(
    "load",
    "Load images from an archive or STDIN",
    "",
    (_INPUT, _QUIET, PLATFORM),
    load,
    most=0,
    description="""Load images from an archive that docker save, podman save or skopeo wrote
(docker-archive or oci-archive, plain or compressed with gzip or zstd), or from an OCI layout directory.""",
)
