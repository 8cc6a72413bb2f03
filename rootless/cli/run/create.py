"""`create`: a container that `start` starts."""

from __future__ import annotations

import os

from rootless.cli.context import Settings, new_containers
from rootless.cli.grammar import Command, Parsed, Value
from rootless.cli.run import options as rows
from rootless.cli.run.command import pull_progress
from rootless.cli.run.values import configured_options
from rootless.containers.storage_paths import read_configuration


def create(parsed: Parsed, settings: Settings) -> int:
    """Create the container and print its id."""
    # What only `run` has is as if it had not been given.
    absent: dict[str, Value] = {"sig-proxy": True, "detach-keys": None, "detach": False}
    configuration = read_configuration(os.environ)
    options = configured_options(
        Parsed(absent | dict(parsed.values), parsed.arguments), configuration, "create"
    )
    progress = None if parsed[rows.QUIET] else pull_progress
    print(new_containers(settings, configuration).create(options, progress=progress).id)
    return 0


CREATE = Command(
    "create",
    "Create a new container",
    "IMAGE [COMMAND] [ARG...]",
    rows.CREATE_OPTIONS,
    create,
    interspersed=False,
    operand="image",
    description="""Create a container from an image or, with --rootfs, from a directory or an image
file, as `run` does, and start none of its processes. `rootless start` starts it.""",
)
