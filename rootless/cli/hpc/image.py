"""What is executed in an image of `hpc`, once the image is known."""

from __future__ import annotations

from rootless.hpc.image_scripts import ENVIRONMENT, RUNSCRIPT, Action, ImageFacts, arguments_of
from rootless.spec.options import ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.rootfs.lower import Lower


def with_command(options: ContainerOptions, lower: Lower, action: Action) -> ContainerOptions:
    """The options with the command for what was asked for."""
    from rootless.rootfs.image.paths import has_paths

    has_environment, has_runscript = has_paths(lower.tree, (ENVIRONMENT, RUNSCRIPT))
    entrypoint = tuple(map(str, lower.config.get("Entrypoint") or ()))
    command = action.words or tuple(map(str, lower.config.get("Cmd") or ()))
    facts = ImageFacts(has_environment, has_runscript, (*entrypoint, *command))
    return options._replace(entrypoint="", command=arguments_of(action, facts))
