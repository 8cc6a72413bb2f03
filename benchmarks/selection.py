"""Which measurements a run makes: names from the command line, checked against those that exist. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase


class SelectionError(ValueError):
    """A name that does not exist, or nothing to measure. The text is one line for the user."""


def matching(patterns: Sequence[str], names: Iterable[str], what: str) -> list[str]:
    """The names that at least one pattern (`*`, `?`, `[...]`, fnmatch(3)) matches, in their order; all of
    them without patterns.

    Raises SelectionError for a pattern that matches none.
    """
    known = list(dict.fromkeys(names))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            near = get_close_matches(pattern, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "; --list prints all"
            raise SelectionError(f"no such {what}: {pattern!r}{hint}")
    if not patterns:
        return known
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]
