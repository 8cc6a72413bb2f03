"""`hpc --sharens`: the processes that one launcher, or one parent, starts on a node share a container."""

from __future__ import annotations

import os
import sys

from rootless.cli.hpc.image import with_action
from rootless.errors import UsageError
from rootless.hpc.image_scripts import Action, ImageFacts
from rootless.launcher import (
    launcher_descriptors,
    launcher_directories,
    launcher_variables,
    warning_of,
)
from rootless.ranks.rank import Rank, launch_here, rank_command, tag_here
from rootless.spec.options import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.containers.storage_paths import StoragePaths
    from rootless.ranks.recipe import Claim
    from rootless.spec.options import ContainerOptions


def rank_of(environ: Mapping[str, str], *, is_first: bool) -> Rank:
    """This process as one of those that share. The first of a step, or rank 0, warns if its ranks cannot find each other."""
    launch = launch_here(environ)
    warned = launch._replace(rank=0) if launch is not None and is_first else launch
    if text := warning_of(warned, environ, joins=True):
        print(f"rootless: {text}", file=sys.stderr)
    return Rank(
        tag_here(environ),
        0 if launch is None else launch.local_size,
        launcher_variables(environ),
        launcher_descriptors(environ),
    )


def shared_options(options: ContainerOptions, action: Action, *, is_file: bool) -> ContainerOptions:
    """The options of the shared container, with the command of this process. Scripts of the image are looked for when
    it runs: not every process makes the container. Raises UsageError for a PID namespace.
    """
    if options.namespaces.pid:
        raise UsageError(
            "conflicting options: --sharens and a PID namespace",
            hint="the processes are the launcher's: leave out --pid, --containall and --compat",
        )
    own = launcher_variables(os.environ)  # each rank is given them when it enters
    passed = {name: text for name, text in action.passed.items() if name not in own}
    action = action._replace(passed=passed)
    mounted = {each.target for each in options.mounts}
    binds = [
        Bind(path, path)
        for path in launcher_directories(os.environ)
        if path not in mounted and os.path.isdir(path)
    ]
    options = options._replace(remove=True, interactive=False, mounts=(*options.mounts, *binds))
    if action.name == "run" and not is_file:
        facts = ImageFacts(has_environment=False, has_script=False)
        return with_action(options, action, facts)._replace(entrypoint=None, command=action.words)
    return with_action(options, action, ImageFacts(has_environment=True, has_script=is_file))


def begin_recipe(
    claim: Claim, options: ContainerOptions, rank: Rank, paths: StoragePaths, files: Sequence[str]
) -> None:
    """Prepare to leave to other ranks with this command line what is found by it; `files` are those of --env-file."""
    names = [name for name, _ in options.variables]
    claim.begin(os.environ, names, 0, files, rank_command(options, rank.tag, paths).state)
