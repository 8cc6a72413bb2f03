"""`rmi`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed
from rootless.cli.output import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FORCE = Flag(("force", "f"), "Force removal of the image")
_NO_PRUNE = Flag(("no-prune",), "Do not delete untagged parents")


_ALL = Flag(("all", "a"), "Remove all images")
_IGNORE = Flag(("ignore", "i"), "Ignore images that do not exist")


def rmi(parsed: Parsed, settings: Settings) -> int:
    """Remove images; an error is printed for each that cannot be, and the status is 1."""
    engine = engine_of(settings)

    def remove(name: str) -> None:
        for removal in engine.remove_image(name, force=parsed[_FORCE]):
            print(removal)

    names: Sequence[str] = parsed.arguments
    if parsed[_ALL]:
        if names:
            raise GrammarError("--all and images cannot be used together")
        rows = engine.images()
        names = [row.id if row.tag == "<none>" else f"{row.repository}:{row.tag}" for row in rows]
    elif not names:
        raise GrammarError("'rootless rmi' requires at least 1 argument", exit_status=1)
    return for_each(names, remove, missing_is_fine=parsed[_FORCE], ignore_missing=parsed[_IGNORE])


RMI = Command(
    "rmi",
    "Remove one or more images",
    "IMAGE [IMAGE...]",
    (_ALL, _FORCE, _IGNORE, _NO_PRUNE),
    rmi,
    operand="image",
)
