"""Starts a rank of `run --join` or `hpc --sharens` from a recipe for its command line, which is then not parsed."""

from __future__ import annotations

import posix

from rootless import module_packs
from rootless.ranks.recipe import Claim, take_recipe
from rootless.runtime.enter import Doing, enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def become_rank(arguments: Sequence[str]) -> Claim | None:
    """Become a rank by a recipe. Returns if there is none that holds: the recipe that this process is to write."""
    for descriptor in range(3):
        try:
            posix.fstat(descriptor)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)  # takes the lowest free number, which is this one
    try:
        taken = take_recipe(arguments)
    except OSError:
        return None  # reading the command line finds the same
    if taken is None or isinstance(taken, Claim):
        return taken
    # What reports a failure is read now, and imported when there is one.
    load = module_packs.prepared(module_packs.RANK_FAILURE)
    if load is None:
        import rootless.cli.rank_failure  # noqa: F401 - there is no pack
    doing = Doing()
    entry, container, descriptors, hand_over = taken
    try:
        enter(entry, container, doing, hand_over, descriptors)
    except BaseException as error:  # noqa: BLE001 - the traceback would need imports
        if load is not None:
            load()
        from rootless.cli.rank_failure import report

        report(doing, error)
