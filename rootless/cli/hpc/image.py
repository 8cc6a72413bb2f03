"""Adapts a container of `hpc` to its image: the command to execute, once the image is known."""

from __future__ import annotations

from rootless.errors import NotFoundError
from rootless.hpc.image_scripts import (
    ENVIRONMENT,
    Action,
    ImageFacts,
    arguments_of,
    script_of,
    variables_of,
)
from rootless.spec.options import ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.rootfs.lower import Lower


def with_command(options: ContainerOptions, lower: Lower, action: Action) -> ContainerOptions:
    """The options with the command for what was asked for. Raises NotFoundError if the image has no such script."""
    from rootless.rootfs.image.paths import has_paths

    has_environment, has_script = has_paths(lower.tree, (ENVIRONMENT, script_of(action)))
    if not has_script and (action.name == "test" or (action.app and action.name == "run")):
        kind = "run script" if action.name == "run" else "test"
        of_app = f" for the app {action.app!r}" if action.app else ""
        raise NotFoundError(f"the image has no {kind}{of_app}")
    entrypoint = tuple(map(str, lower.config.get("Entrypoint") or ()))
    command = action.words or tuple(map(str, lower.config.get("Cmd") or ()))
    variables = dict(str(each).partition("=")[::2] for each in lower.config.get("Env") or ())
    facts = ImageFacts(has_environment, has_script, (*entrypoint, *command), variables)
    return with_action(options, action, facts)


def with_action(options: ContainerOptions, action: Action, facts: ImageFacts) -> ContainerOptions:
    """The options with the command and the caller's variables, for an image of which the facts are known."""
    return options._replace(
        entrypoint="",
        command=arguments_of(action, facts),
        variables=(*variables_of(action, facts).items(), *options.variables),
    )
