"""The command of a container whose shell records what is typed (`rootless.recording.shell`)."""

from __future__ import annotations

from rootless.recording.shell import PLACE, recorded_arguments
from rootless.spec.command import arguments
from rootless.spec.options import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.rootfs.lower import Lower
    from rootless.spec.options import ContainerOptions


def recorded_options(options: ContainerOptions, lower: Lower, recording: str) -> ContainerOptions:
    """The options with a shell that records in a directory of the host. Raises UsageError if the command is no shell."""
    return options._replace(
        command=recorded_arguments(arguments(options.command, options.entrypoint, lower.config)),
        entrypoint="",
        mounts=(*options.mounts, Bind(recording, PLACE)),
    )
