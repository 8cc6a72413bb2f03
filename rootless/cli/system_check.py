"""`system check`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed

_REPAIR = Flag(("repair", "r"), "Make damaged layers again, and remove what is unused")


def check(parsed: Parsed, settings: Settings) -> int:
    """Print what is wrong; the status is 1 if some of it still is."""
    findings = engine_of(settings).check(repair=parsed[_REPAIR])
    for finding in findings:
        print(finding)
    left = [finding for finding in findings if not finding.repaired]
    if not findings:
        print("Everything is as it should be.")
    elif left and not parsed[_REPAIR]:
        print("hint: rootless system check --repair mends what can be mended", file=sys.stderr)
    return 1 if left else 0


SYSTEM_CHECK = Command(
    "check",
    "Check the store for damage and leftovers",
    "",
    (_REPAIR,),
    check,
    most=0,
    description="""Hash every image, and look for files that belong to no image or container, such as
those of a killed command. It is safe to run other commands meanwhile. The exit status is 1 if
something is wrong and was not repaired.""",
)
