"""`network rm` and `network prune`."""

from __future__ import annotations

import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import network_prune_filters
from rootless.cli.grammar import Command, Flag, Parsed, Texts
from rootless.cli.output import confirmed, for_each
from rootless.cli.shared_options import NO_PROMPT, filter_pairs
from rootless.errors import NotFoundError

_FORCE = Flag(("force", "f"), "Do not error if the network does not exist")
_FILTER = Texts(
    ("filter",),
    "Provide filter values: label=<key>[=<value>], label!=<key>[=<value>], until=<timestamp>",
    "FILTER",
)


def rm(parsed: Parsed, settings: Settings) -> int:
    """Remove networks; an error is printed for each that cannot be, and the status is 1."""
    networks = engine_of(settings).networks

    def remove(name: str) -> None:
        try:
            networks.remove(name)
        except NotFoundError:
            if parsed[_FORCE]:
                return
            raise
        print(name)

    return for_each(parsed.arguments, remove)


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove networks that no container is in which runs."""
    filters = network_prune_filters(filter_pairs(parsed, _FILTER), time.time())
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not parsed[NO_PROMPT] and not confirmed(warning):
        return 0
    removed = engine_of(settings).networks.prune(filters)
    if removed:
        print("Deleted Networks:", *(record.name for record in removed), "", sep="\n")
    return 0


NETWORK_RM = Command(
    "rm",
    "Remove one or more networks",
    "NETWORK [NETWORK...]",
    (_FORCE,),
    rm,
    least=1,
    operand="network",
    description="""Remove one or more networks. A network that a running container is in cannot be removed.""",
)
NETWORK_PRUNE = Command(
    "prune", "Remove all unused networks", "", (_FILTER, NO_PROMPT), prune, most=0
)
