"""`system check`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.errors import UsageError

_REPAIR = Flag(("repair", "r"), "Make damaged layers again, and remove what is unused")
_FORCE = Flag(("force", "f"), "With --repair, remove images that cannot be repaired")


def check(parsed: Parsed, settings: Settings) -> int:
    """Print what is wrong; the status is 1 if some of it still is."""
    repair, force = parsed[_REPAIR], parsed[_FORCE]
    if force and not repair:
        raise UsageError("--force is for use with --repair")
    findings = engine_of(settings).check(repair=repair, force=force)
    for finding in findings:
        print(finding)
    left = [finding for finding in findings if not finding.repaired]
    if not findings:
        print("Everything is as it should be.")
    elif left and not repair:
        print("hint: rootless system check --repair repairs what it can", file=sys.stderr)
    elif left and not force:
        print(
            "hint: load or pull the images again, or remove them: "
            "rootless system check --repair --force",
            file=sys.stderr,
        )
    return 1 if left else 0


SYSTEM_CHECK = Command(
    "check",
    "Check the store for damage and leftovers",
    "",
    (_REPAIR, _FORCE),
    check,
    most=0,
    description="""Hash every image, and look for files that belong to no image or container, such as
those of a killed command. It is safe to run other commands meanwhile. The exit status is 1 if
something is wrong and was not repaired. --repair loses nothing: what cannot be made again is kept, for
the image may still work, until it is loaded or pulled again, or --force removes it.""",
)
