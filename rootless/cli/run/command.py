"""`run`: make a container and start it, in the foreground, in the background, or as a rank of others."""

from __future__ import annotations

import os
import sys

from rootless import module_packs
from rootless.cli.context import (
    Settings,
    engine_of,
    new_containers,
    preserved_descriptors,
)
from rootless.cli.grammar import Command, GrammarError, Parsed
from rootless.cli.run import options as rows
from rootless.cli.run.ending import RunEnding
from rootless.cli.run.values import configured_options
from rootless.containers.storage_paths import read_configuration
from rootless.spec.options import ContainerOptions
from rootless.supervisor import turn
from rootless.supervisor.ahead import RANK_VARIABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    from rootless.configuration.values import Configuration
    from rootless.engine.new_containers import NewContainers
    from rootless.engine.pull_in_child import ShowProgress
    from rootless.images.transfer.progress import Progress
    from rootless.supervisor.ahead import MonitorAhead

    Value = TypeVar("Value")


def run(parsed: Parsed, settings: Settings) -> int:
    """Run the container, and return the status to exit with: in the foreground its own."""
    configuration = read_configuration(os.environ)
    options = configured_options(parsed, configuration)
    progress = None if parsed[rows.QUIET] else pull_progress
    if _may_have_launcher(parsed, os.environ):
        from rootless.cli.run import joining

        is_joined = joining.joins(parsed, os.environ, configuration)
        joining.warn(parsed, os.environ, joined=is_joined)
        if is_joined:
            turn.end()  # a rank may wait for others
            if settings.ahead is not None:
                settings.ahead.abandon()
            return _run_joined(parsed, settings, configuration, options, progress)
    if settings.claim is not None:
        settings.claim.release()
    containers = new_containers(settings, configuration)
    if options.network.attachments:
        from rootless.cli.route_warnings import warn_of_routes

        warn_of_routes(containers.paths.networks, options.network.attachments)
    if parsed[rows.DETACH]:
        return _run_detached(parsed, containers, options, progress, settings.ahead)
    if parsed[rows.RECORD] is not None:
        if parsed[rows.PRESERVE_FDS] or parsed[rows.PRESERVE_FD]:
            raise GrammarError("conflicting options: --record and --preserve-fd", exit_status=1)
        from rootless.cli.run.recording import run_recorded

        return run_recorded(engine_of(settings), options, parsed[rows.RECORD] or "", progress)
    ending = RunEnding(parsed[rows.MEMORY] or "", settings.debug)
    preserved = preserved_descriptors(parsed[rows.PRESERVE_FDS], parsed[rows.PRESERVE_FD])
    outcome = containers.run(
        options,
        progress=progress,
        preserved=preserved,
        resumed=ending.exit_after,
        ahead=settings.ahead,
    )
    return ending.report(outcome)


def _may_have_launcher(parsed: Parsed, environ: Mapping[str, str]) -> bool:
    """Whether a launcher may have started this process, or the ranks of one are asked for."""
    asked = parsed[rows.JOIN] or parsed[rows.JOIN_TAG] or parsed[rows.JOIN_COUNT] is not None
    return bool(asked) or any(name in environ for name in RANK_VARIABLES)


def _run_joined(
    parsed: Parsed,
    settings: Settings,
    configuration: Configuration | None,
    options: ContainerOptions,
    progress: ShowProgress | None,
) -> int:
    """Become a rank; returns only by an error."""
    if "rootless.engine.join_container" not in sys.modules:
        # The configuration asks for it, not the command line.
        module_packs.load(module_packs.RANK)
        module_packs.load(module_packs.JOIN)
    from rootless.cli import escape  # noqa: F401 - an error is printed when nothing can be imported any more
    from rootless.cli.run import joining

    containers, claim = new_containers(settings, configuration), settings.claim
    rank = joining.rank_of(parsed, os.environ)
    shared = joining.shared_options(options, parsed, os.environ)
    if claim is not None:
        joining.begin_recipe(claim, shared, rank, containers.paths, parsed)
    return containers.run_joined(shared, rank, progress=progress, claim=claim)


def _run_detached(
    parsed: Parsed,
    containers: NewContainers,
    options: ContainerOptions,
    progress: ShowProgress | None,
    ahead: MonitorAhead | None,
) -> int:
    """Start the container in the background, and print its id as soon as it has been created."""
    if parsed[rows.RECORD] is not None:
        raise GrammarError("conflicting options: --record needs a terminal: use -it", exit_status=1)
    if parsed[rows.ATTACH]:
        raise GrammarError(
            "conflicting options: cannot specify both --attach and --detach", exit_status=1
        )
    containers.run_detached(
        options,
        progress=progress,
        created=lambda record: print(record.id, flush=True),
        caller_ends=True,
        preserved=preserved_descriptors(parsed[rows.PRESERVE_FDS], parsed[rows.PRESERVE_FD]),
        ahead=ahead,
    )
    return 0


def pull_progress() -> Progress:
    """Of the pull; standard output is the container's."""
    from rootless.cli.progress import progress_on

    return progress_on(sys.stderr)


RUN = Command(
    "run",
    "Create and run a new container from an image",
    "IMAGE [COMMAND] [ARG...]",
    rows.RUN_OPTIONS,
    run,
    interspersed=False,
    operand="image",
    description="""Create and run a new container from an image or, with --rootfs, from a directory
or an image file. The container writes to a layer of its own; neither the image nor the directory is
changed.

The exit status is that of the command: 128+n when signal n ended it, 127 when it was not found,
126 when it could not be executed, and 125 when the container could not be started.""",
)
