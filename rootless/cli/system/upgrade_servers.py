"""`system upgrade-servers`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import for_each
from rootless.containers.status import ALIVE


def upgrade_servers(parsed: Parsed, settings: Settings) -> int:
    """Replace the file servers of the containers; the error of each is printed, and the status is 1."""
    engine = engine_of(settings)
    names = parsed.arguments
    if not names:
        names = tuple(each.name for each in engine.containers() if each.status in ALIVE)

    def upgrade_one(name: str) -> None:
        engine.upgrade_server(name)
        print(name, flush=True)

    return for_each(names, upgrade_one)


SYSTEM_UPGRADE_SERVERS = Command(
    "upgrade-servers",
    "Replace the file servers of running containers by those of this release",
    "[CONTAINER...]",
    (),
    upgrade_servers,
    operand="container",
    description="""Start a file server of this release for each container named, or for all that run,
in place of the present one. The containers continue; their requests wait for some tens of milliseconds. Needs Linux 6.9.""",
)
