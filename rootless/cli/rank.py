"""Starts a rank of `run --join` or `hpc --sharens` from a recipe for its command line, which is then not parsed."""

from __future__ import annotations

import os
import sys

from rootless.cli import escape  # noqa: F401 - an error is printed when nothing can be imported any more
from rootless.cli.process import as_expected, print_error, take_standard_streams
from rootless.errors import RootlessError
from rootless.ranks.recipe import Claim, entry_by_recipe
from rootless.runtime.enter import enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def become_rank(arguments: Sequence[str]) -> Claim | None:
    """Become a rank by a recipe. Returns if there is none that holds: the recipe that this process is to write."""
    take_standard_streams()
    try:
        entry = entry_by_recipe(arguments, os.environ)
    except (RootlessError, OSError):
        return None  # reading the command line finds the same
    if entry is None or isinstance(entry, Claim):
        return entry
    try:
        enter(*entry)
    except (RootlessError, OSError) as error:
        expected = as_expected(error) if isinstance(error, OSError) else error
        status = print_error(expected, debug=False)
        sys.stderr.flush()
        os._exit(status)
