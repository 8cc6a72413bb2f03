"""`volume rm` and `volume prune`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import volume_prune_filters
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed, Texts
from rootless.cli.output import confirmed, for_each, human_size
from rootless.cli.shared_options import NO_PROMPT, filter_pairs
from rootless.filters import VolumeFilters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FORCE = Flag(("force", "f"), "Do not fail for volumes that do not exist")
_ALL = Flag(("all", "a"), "Remove all unused volumes, not just anonymous ones")
_FILTER = Texts(
    ("filter",), "Provide filter values: label=<key>[=<value>], label!=<key>[=<value>]", "FILTER"
)


_ALL_VOLUMES = Flag(("all", "a"), "Remove all volumes")


def rm(parsed: Parsed, settings: Settings) -> int:
    """Remove volumes; an error is printed for each that cannot be, and the status is 1."""
    engine = engine_of(settings)

    def remove(name: str) -> None:
        engine.volumes.remove(name, force=parsed[_FORCE])
        print(name)

    names: Sequence[str] = parsed.arguments
    if parsed[_ALL_VOLUMES]:
        if names:
            raise GrammarError("--all and volumes cannot be used together")
        names = [each.name for each in engine.volumes.matching(VolumeFilters())]
    elif not names:
        raise GrammarError("'rootless volume rm' requires at least 1 argument", exit_status=1)
    return for_each(names, remove)


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove volumes that no container uses."""
    filters, all_by_filter = volume_prune_filters(filter_pairs(parsed, _FILTER))
    everything = parsed[_ALL] or all_by_filter
    which = "all local volumes" if everything else "anonymous local volumes"
    warning = f"WARNING! This will remove {which} not used by at least one container."
    if not parsed[NO_PROMPT] and not confirmed(warning):
        return 0
    done = engine_of(settings).volumes.prune(everything=everything, filters=filters)
    if done.names:
        print("Deleted Volumes:", *done.names, "", sep="\n")
    print(f"Total reclaimed space: {human_size(done.reclaimed)}")
    return 0


VOLUME_RM = Command(
    "rm",
    "Remove one or more volumes",
    "VOLUME [VOLUME...]",
    (_ALL_VOLUMES, _FORCE),
    rm,
    operand="volume",
    description="""Remove one or more volumes, with the files in them. A volume that a container uses,
running or not, cannot be removed.""",
)
VOLUME_PRUNE = Command(
    "prune", "Remove unused local volumes", "", (_ALL, _FILTER, NO_PROMPT), prune, most=0
)
