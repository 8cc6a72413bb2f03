"""`rmi`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import for_each

_FORCE = Flag(("force", "f"), "Force removal of the image")
_NO_PRUNE = Flag(("no-prune",), "Do not delete untagged parents")


def rmi(parsed: Parsed, settings: Settings) -> int:
    """Remove images; an error is printed for each that cannot be, and the status is 1."""
    engine = engine_of(settings)

    def remove(name: str) -> None:
        for removal in engine.remove_image(name, force=parsed[_FORCE]):
            print(removal)

    return for_each(parsed.arguments, remove, missing_is_fine=parsed[_FORCE])


RMI = Command(
    "rmi",
    "Remove one or more images",
    "IMAGE [IMAGE...]",
    (_FORCE, _NO_PRUNE),
    rmi,
    least=1,
    operand="image",
)
