"""Prints what has changed, a path a line: `diff`, `image diff`."""

from __future__ import annotations

import sys

from rootless.cli.escape import escaped
from rootless.cli.process import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def print_changes(changes: Iterable[tuple[str, bytes]]) -> None:
    """A line for each change: its kind, and the path as its bytes. On a terminal the path is without control characters:
    an image or a container chose the names.
    """
    if sys.stdout.isatty():
        for kind, path in changes:
            name = escaped(path.decode("utf-8", "surrogateescape")).replace("\n", "\\n")
            print(f"{kind} /{name}")
        return
    for kind, path in changes:
        write_bytes(b"%b /%b\n" % (kind.encode(), path))
    sys.stdout.flush()
