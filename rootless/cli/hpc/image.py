"""Adapts a container of `hpc` to its image: the command to execute, once the image is known."""

from __future__ import annotations

from rootless.errors import NotFoundError
from rootless.hpc.image_scripts import (
    ENVIRONMENT,
    RUNSCRIPT,
    Action,
    ImageFacts,
    app_runscript,
    arguments_of,
    variables_of,
)
from rootless.spec.options import ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.rootfs.lower import Lower


def with_command(options: ContainerOptions, lower: Lower, action: Action) -> ContainerOptions:
    """The options with the command for what was asked for."""
    from rootless.rootfs.image.paths import has_paths

    runscript = app_runscript(action.app) if action.app else RUNSCRIPT
    has_environment, has_runscript = has_paths(lower.tree, (ENVIRONMENT, runscript))
    if action.app and action.name == "run" and not has_runscript:
        raise NotFoundError(f"the image has no run script for the app {action.app!r}")
    entrypoint = tuple(map(str, lower.config.get("Entrypoint") or ()))
    command = action.words or tuple(map(str, lower.config.get("Cmd") or ()))
    variables = dict(str(each).partition("=")[::2] for each in lower.config.get("Env") or ())
    facts = ImageFacts(has_environment, has_runscript, (*entrypoint, *command), variables)
    return with_action(options, action, facts)


def with_action(options: ContainerOptions, action: Action, facts: ImageFacts) -> ContainerOptions:
    """The options with the command and the caller's variables, for an image of which the facts are known."""
    return options._replace(
        entrypoint="",
        command=arguments_of(action, facts),
        variables=(*variables_of(action, facts).items(), *options.variables),
    )
