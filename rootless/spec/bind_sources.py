"""Checks the sources of binds before anything is started: a missing one is made for -v, and is an error elsewhere."""

from __future__ import annotations

import os
import stat

from rootless.errors import MissingFileError, UsageError
from rootless.spec.options import Bind, ContainerOptions


def prepare_bind_sources(options: ContainerOptions) -> None:
    """Make the directories that -v names and are not there, as Docker does.

    Raises:
        UsageError: a source of --mount or a device does not exist, or a directory cannot be made.
    """
    for mount in options.mounts:
        if not isinstance(mount, Bind) or os.path.lexists(mount.source):
            continue
        if not mount.create:
            raise UsageError(
                'invalid mount config for type "bind": '
                f"bind source path does not exist: {mount.source}"
            )
        try:
            os.makedirs(mount.source, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"error while creating mount source path '{mount.source}': {error.strerror}"
            ) from error
    for device in options.devices:
        failed = f'error gathering device information while adding custom device "{device.source}"'
        try:
            mode = os.stat(device.source).st_mode
        except OSError:
            raise MissingFileError(f"{failed}: no such file or directory") from None
        # Docker looks for devices below a directory.
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)):
            raise UsageError(f"{failed}: not a device node")
