"""Removes a container together with its anonymous volumes."""

from __future__ import annotations

import os

from rootless.containers.container_options import options_in
from rootless.containers.volumes.events import report_volumes
from rootless.containers.volumes.users import volume_users
from rootless.errors import InvalidDocumentError
from rootless.spec.options import Volume
from rootless.volumes.store import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers


def remove_with_volumes(containers: Containers, container_id: str, *, wait: bool = True) -> None:
    """Remove a container, and its anonymous volumes that no other container uses. Without `wait` they stay if a
    container is being made meanwhile: this process may be the one that makes it.
    """
    names = _anonymous_volumes(containers.directory(container_id))
    containers.remove(container_id)
    if names:
        volumes = Volumes(f"{os.path.dirname(containers.root)}/volumes")
        removed = volumes.remove(names, lambda: volume_users(containers), wait=wait)
        report_volumes(containers.runtime, "destroy", removed)


def _anonymous_volumes(directory: str) -> list[str]:
    """None of a container whose options cannot be read: they stay, and `volume prune` removes them."""
    try:
        options = options_in(directory)
    except (OSError, InvalidDocumentError):
        return []
    return [each.name for each in options.mounts if isinstance(each, Volume) and each.is_anonymous]
