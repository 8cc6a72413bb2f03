"""`top`."""

from __future__ import annotations

from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import table

_LEAST_WIDTH = 20  # of docker's table of this command


def top(parsed: Parsed, settings: Settings) -> int:
    """Print the processes of a container."""
    engine = engine_of(settings)
    name, *options = with_latest(parsed, engine, "top")
    found = engine.top(name, options)
    width = len(found.titles)
    rows = [(*row, *[""] * (width - len(row))) for row in found.rows]
    print(table(found.titles, rows, least_width=_LEAST_WIDTH))
    return 0


TOP = Command(
    "top",
    "Display the running processes of a container",
    "CONTAINER [ps OPTIONS]",
    (LATEST,),
    top,
    interspersed=False,
    operand="container",
    description="""Display the running processes of a container, as ps -ef does, with the users of the
container. Other options of ps(1) are given to the host's ps: users are then those of the host. The
column PID has to be among what they display.""",
)
