"""`commit`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, OnFlag, Parsed, Text
from rootless.cli.progress import counter_on
from rootless.cli.shared_options import CHANGE

_AUTHOR = Text(("author", "a"), 'Author (e.g., "Jane Doe <jane@example.com>")', "NAME")
_MESSAGE = Text(("message", "m"), "Commit message", "TEXT")
_PAUSE = OnFlag(("pause", "p"), "Pause container during commit (default true)")
_QUIET = Flag(("quiet", "q"), "Suppress the progress")
_NO_PAUSE = Flag(("no-pause",), "Do not pause container during commit")


def commit(parsed: Parsed, settings: Settings) -> int:
    """Make an image of a container and print its id."""
    name, *reference = parsed.arguments
    with counter_on("Committing", sys.stderr, quiet=parsed[_QUIET]) as moved:
        image = engine_of(settings).commit(
            name,
            reference=(reference[0] or None) if reference else None,
            author=parsed[_AUTHOR] or "",
            message=parsed[_MESSAGE] or "",
            changes=parsed[CHANGE],
            pause=parsed[_PAUSE] and not parsed[_NO_PAUSE],
            moved=moved,
        )
    print(image.id)
    return 0


COMMIT = Command(
    "commit",
    "Create a new image from a container's changes",
    "CONTAINER[@TAG] [REPOSITORY[:TAG]]",
    (_AUTHOR, CHANGE, _MESSAGE, _PAUSE, _NO_PAUSE, _QUIET),
    commit,
    least=1,
    most=2,
    operand="container",
    description="""Create a new image: the layers of the container's image, and one layer more with
the files that the container has changed. The command, the variables, the user and the working
directory become the container's. Data in volumes is not part of it.

With SOURCE_DATE_EPOCH in the environment the image is the same, byte for byte, whenever it is made.""",
)
