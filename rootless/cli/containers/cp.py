"""`cp`."""

from __future__ import annotations

import os
import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import human_size
from rootless.errors import UsageError

_ARCHIVE = Flag(("archive", "a"), "Archive mode (copy all uid/gid information)")
_FOLLOW = Flag(("follow-link", "L"), "Always follow symbol link in SRC_PATH")
_QUIET = Flag(
    ("quiet", "q"),
    "Suppress progress output during copy. Progress output is automatically suppressed if no "
    "terminal is attached",
)


def cp(parsed: Parsed, settings: Settings) -> int:
    """Copy in the direction that the container stands in."""
    first, second = parsed.arguments
    if not first:
        raise UsageError("source can not be empty")
    if not second:
        raise UsageError("destination can not be empty")
    source, source_path = _split(first)
    target, target_path = _split(second)
    if source and target:
        raise UsageError("copying between containers is not supported")
    engine, follow = engine_of(settings), parsed[_FOLLOW]
    if source:
        output: str | int = 1 if target_path == "-" else target_path
        if output == 1 and os.isatty(1):
            raise UsageError("cowardly refusing to write the archive to a terminal")
        size = engine.copy_out(source, source_path, output, follow=follow)
        shown = "" if output == 1 else os.path.abspath(target_path)
    elif target:
        size = engine.copy_in(
            target, 0 if source_path == "-" else source_path, target_path, follow=follow
        )
        shown = "" if source_path == "-" else f"{target}:{target_path}"
    else:
        raise UsageError("must specify at least one container source")
    if shown and not parsed[_QUIET] and sys.stderr.isatty():
        sys.stderr.write(f"Successfully copied {human_size(size)} to {shown}\n")
    return 0


def _split(argument: str) -> tuple[str, str]:
    """CONTAINER and PATH; the first is empty for a path of the host. A path that is absolute, or
    begins with a dot, is the host's also if it has a colon."""
    if argument.startswith(("/", ".")):
        return "", argument
    container, colon, path = argument.partition(":")
    return (container, path) if colon else ("", argument)


CP = Command(
    "cp",
    "Copy files/folders between a container and the local filesystem",
    "CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
    (_ARCHIVE, _FOLLOW, _QUIET),
    cp,
    least=2,
    most=2,
    description="""Copy a file or directory, with what is in it, from a container or into one, which may
be running or not. Use '-' as the source to read a tar archive from standard input and extract it to a
directory of the container, and '-' as the destination to write a tar archive of the source to standard
output. A source that ends in '/.' is the contents of the directory.""",
)
