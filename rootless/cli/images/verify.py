"""`image verify`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed


def verify(parsed: Parsed, settings: Settings) -> int:
    """Hash images; what is wrong is printed, and the status is 1."""
    engine = engine_of(settings)
    names = parsed.arguments or tuple(dict.fromkeys(row.id for row in engine.images()))
    status = 0
    for name in names:
        findings = engine.verify_image(name)
        for finding in findings:
            print(f"{name}: {finding}", file=sys.stderr)
        if findings:
            status = 1
        else:
            print(f"{name}: OK")
    return status


IMAGE_VERIFY = Command(
    "verify",
    "Verify the digests of images",
    "[IMAGE...]",
    (),
    verify,
    operand="image",
    description="""Hash every blob and layer of images, all images if none is given. The exit
status is 1 if anything is damaged or missing; rootless system check --repair restores what can be
made again.""",
)
