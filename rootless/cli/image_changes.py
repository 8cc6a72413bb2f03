"""`load`, `import`, `tag` and `rmi`: images in, named, and out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Parsed
from rootless.cli.output import for_each
from rootless.errors import UsageError


def load(parsed: Parsed, settings: Settings) -> int:
    """Load every image of an archive and say what they are called."""
    values: Any = parsed.values
    source = values["input"]
    if source is None and sys.stdin.isatty():
        raise UsageError(
            "requested load from stdin, but stdin is empty", hint="use -i FILE, or a pipe"
        )
    loaded = engine_of(settings).load(
        0 if source is None or source == "-" else Path(source), platform=values["platform"]
    )
    for image in loaded:
        for tag in image.tags:
            print(f"Loaded image: {tag.familiar}")
        if not image.tags:
            print(f"Loaded image ID: {image.id}")
    return 0


def save(parsed: Parsed, settings: Settings) -> int:
    """Save images to an archive, all in one."""
    values: Any = parsed.values
    output = values["output"]
    if output is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal", hint="use -o FILE, or redirect")
    engine_of(settings).save(
        parsed.arguments,
        1 if output is None else Path(output),
        form=values["format"],
        platform=values["platform"],
    )
    return 0


def import_image(parsed: Parsed, settings: Settings) -> int:
    """Make an image of a root file system archive and print its id."""
    values: Any = parsed.values
    source, *reference = parsed.arguments
    image = engine_of(settings).import_rootfs(
        0 if source == "-" else source if "://" in source else Path(source),
        reference=reference[0] if reference else None,
        changes=values["change"],
        message=values["message"],
        platform=values["platform"],
    )
    print(image.id)
    return 0


def tag(parsed: Parsed, settings: Settings) -> int:
    """Give an image another name."""
    source, target = parsed.arguments
    engine_of(settings).tag(source, target)
    return 0


def rmi(parsed: Parsed, settings: Settings) -> int:
    """Remove images; those that cannot be are said, and the status is 1."""
    engine = engine_of(settings)

    def remove(name: str) -> None:
        for removal in engine.remove_image(name, force=bool(parsed.values["force"])):
            print(removal)

    return for_each(parsed.arguments, remove)
