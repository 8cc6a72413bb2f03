"""`changes`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, current_directory, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed
from rootless.cli.process import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.changes.change import Change
    from rootless.changes.container_changes import ContainerChanges

DIFF = Flag(("diff",), "Print a unified diff, which git apply and patch -p1 take")
STAT = Flag(("stat",), "Print the number of added and deleted lines of each file")
NAME_ONLY = Flag(("name-only",), "Print paths only")
NULL = Flag(("null", "z"), "With --name-only, end each path by a NUL and quote none")
JSON = Flag(("json",), "Print a JSON document")


def changes(parsed: Parsed, settings: Settings) -> int:
    """Print what a container has changed."""
    if sum(parsed[row] for row in (DIFF, STAT, NAME_ONLY, JSON)) > 1:
        raise GrammarError("--diff, --stat, --name-only and --json exclude each other")
    name, *paths = parsed.arguments
    container, at, since = name.partition("@")
    if at and paths and paths[0].partition("@")[0] == container:
        name = paths.pop(0)
    else:
        since = ""
    found = engine_of(settings).changes(
        name, paths, directory=current_directory() if paths else "/", since=since
    )
    listed = found.listed() if paths or not (parsed[DIFF] or parsed[STAT]) else []
    found.require_matches(listed)
    if parsed[DIFF]:
        with found.diff() as pieces:
            for piece in pieces:
                write_bytes(visible(piece) if sys.stdout.isatty() else piece)
    else:
        for line in _lines(found, listed, parsed):
            write_bytes(line)
    sys.stdout.flush()
    return 0


def _lines(found: ContainerChanges, listed: Sequence[Change], parsed: Parsed) -> Iterator[bytes]:
    """All forms but the diff; `listed` are the changes that were asked for."""
    if parsed[STAT]:
        from rootless.cli.changes.lines import stat_lines

        for line in stat_lines(found.counts()):
            yield f"{line}\n".encode(errors="surrogateescape")
        return
    if parsed[JSON]:
        from rootless.changes.document import as_document
        from rootless.light_json import dumps

        yield dumps(as_document(found.container, found.mounts, listed)) + b"\n"
        return
    from rootless.changes.names import quoted
    from rootless.cli.changes.lines import change_line

    for change in listed:
        if change.is_bare:
            continue
        if parsed[NAME_ONLY]:
            path = b"/" + change.path
            yield path + b"\0" if parsed[NULL] else quoted(path) + b"\n"
        else:
            yield change_line(change).encode(errors="surrogateescape") + b"\n"


def visible(piece: bytes) -> bytes:
    """A line of a file as a terminal may be given it: the container chose what is in it."""
    from rootless.cli.escape import escaped

    text = piece.decode(errors="surrogateescape")
    return "\t".join(map(escaped, text.split("\t"))).encode()


CHANGES = Command(
    "changes",
    "Show what a container has changed of its image or root file system",
    "CONTAINER[@TAG] [CONTAINER[@TAG]] [PATH...]",
    (DIFF, STAT, NAME_ONLY, NULL, JSON),
    changes,
    least=1,
    operand="container",
    description="""List what a container has created, changed, deleted and moved, with sizes, modes,
owners and extended attributes. With PATHs only what is at or in one of them, or was moved from there.
What was written in mounts that are copied on write (-v SOURCE:TARGET:O) is among them.
CONTAINER@TAG is a snapshot of it; with two, or a snapshot and the container, what was changed between them.

The cost follows what was changed, not what is there. A directory that was moved is one line.
A name with a quote, a backslash or what is not printable is quoted as git quotes it.""",
)
