"""`start`."""

from __future__ import annotations

import sys

from rootless.cli.containers.attaching import DETACH_KEYS, SIG_PROXY, detach_keys
from rootless.cli.containers.chosen import CIDFILE, FILTER, LATEST, all_flag, selected
from rootless.cli.containers.ending import AttachedEnding
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import for_each
from rootless.containers.status import Status
from rootless.errors import LaunchError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.engine import Engine

_ATTACH = Flag(("attach", "a"), "Attach STDOUT/STDERR and forward signals")
_INTERACTIVE = Flag(("interactive", "i"), "Attach container's STDIN")


def start(parsed: Parsed, settings: Settings) -> int:
    """Start containers; or, attached, one, whose status is returned."""
    engine = engine_of(settings)
    names = selected(parsed, engine, "start", (Status.CREATED, Status.EXITED))
    for name in names:
        _warn(engine, name)
    if not parsed[_ATTACH] and not parsed[_INTERACTIVE]:
        return _start_all(engine, names)
    if len(names) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    try:
        outcome = engine.start_attached(
            names[0],
            stdin=parsed[_INTERACTIVE],
            signals=parsed[SIG_PROXY],
            detach_keys=detach_keys(parsed),
            resumed=AttachedEnding(settings.debug).exit_after,
        )
    except LaunchError as error:
        error.exit_status = 1  # docker's; 126 and 127 are those of `run`
        raise
    return outcome.status


def _warn(engine: Engine, name: str) -> None:
    """Of networks that have come to overlap routes of the host."""
    try:
        endpoint = engine.paths.containers.find(name).endpoint
    except RootlessError:
        return  # the start says why
    if endpoint is not None and endpoint.attachments:
        from rootless.cli.route_warnings import warn_of_routes

        warn_of_routes(engine.paths.networks, endpoint.attachments)


def _start_all(engine: Engine, names: Sequence[str]) -> int:
    """The error of each that cannot be started is printed, and the status is 1."""
    failed = []

    def start_one(name: str) -> None:
        failed.append(name)
        engine.start(name)
        failed.remove(name)
        print(name, flush=True)

    status = for_each(names, start_one)
    if failed:
        print(f"Error: failed to start containers: {', '.join(failed)}", file=sys.stderr)
    return status


START = Command(
    "start",
    "Start one or more stopped containers",
    "CONTAINER [CONTAINER...]",
    (
        all_flag("Start all containers that do not run"),
        _ATTACH,
        CIDFILE,
        DETACH_KEYS,
        FILTER,
        _INTERACTIVE,
        LATEST,
        SIG_PROXY,
    ),
    start,
    operand="container",
)
