"""`hpc --sharens`: the processes that one launcher, or one parent, starts on a node share a container."""

from __future__ import annotations

import os

from rootless.cli.hpc.image import with_action
from rootless.containers.process_identity import start_time
from rootless.errors import UsageError
from rootless.hpc.image_scripts import Action, ImageFacts
from rootless.launcher import (
    launch_of,
    launcher_descriptors,
    launcher_directories,
    launcher_variables,
)
from rootless.ranks.rank import Rank
from rootless.spec.options import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.spec.options import ContainerOptions


def rank_of(environ: Mapping[str, str]) -> Rank:
    """This process as one of those that share: by the launcher, or else by the parent, as with Apptainer."""
    parent = os.getppid()
    identity = f"{parent}-{start_time(parent)}"
    launch = launch_of(environ, identity)
    variables, given = launcher_variables(environ), launcher_descriptors(environ)
    if launch is None:
        return Rank(f"parent {identity}", 0, variables, given)
    return Rank(f"{launch.launcher} {launch.tag}", launch.local_size, variables, given)


def shared_options(options: ContainerOptions, action: Action, *, is_file: bool) -> ContainerOptions:
    """The options of the shared container, with the command of this process. Scripts of the image are looked for when
    it runs: not every process makes the container. Raises UsageError for a PID namespace.
    """
    if options.namespaces.pid:
        raise UsageError(
            "conflicting options: --sharens and a PID namespace",
            hint="the processes are the launcher's: leave out --pid, --containall and --compat",
        )
    mounted = {each.target for each in options.mounts}
    binds = [
        Bind(path, path)
        for path in launcher_directories(os.environ)
        if path not in mounted and os.path.isdir(path)
    ]
    options = options._replace(remove=True, interactive=False, mounts=(*options.mounts, *binds))
    if action.name == "run" and not is_file:
        facts = ImageFacts(has_environment=False, has_runscript=False)
        return with_action(options, action, facts)._replace(entrypoint=None, command=action.words)
    return with_action(options, action, ImageFacts(has_environment=True, has_runscript=is_file))
