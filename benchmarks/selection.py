"""Which measurements a run makes: names from the command line, checked against those that exist. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase


class SelectionError(ValueError):
    """A name that does not exist, or nothing to measure. The text is one line for the user."""


def matching(patterns: Sequence[str], names: Iterable[str], what: str) -> list[str]:
    """The names that at least one pattern (`*`, `?`, `[...]`, fnmatch(3)) matches, in their order; all of
    them without patterns. A pattern that is no whole name may be a word of some: `xfs` stands for all peers on XFS.

    Raises SelectionError for a pattern that matches none.
    """
    known = list(dict.fromkeys(names))
    chosen: set[str] = set()
    for pattern in patterns:
        found = [name for name in known if fnmatchcase(name, pattern)]
        found = found or [name for name in known if pattern in name.split()]
        chosen.update(found)
        if not found:
            near = get_close_matches(pattern, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "; --list prints all"
            raise SelectionError(f"no such {what}: {pattern!r}{hint}")
    if not patterns:
        return known
    return [name for name in known if name in chosen]
