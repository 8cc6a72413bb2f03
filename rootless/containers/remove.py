"""Removing a container, which `rm` does not do to one that runs unless it is forced."""

from __future__ import annotations

from rootless.containers.reconcile import kill_and_wait
from rootless.containers.status import Status
from rootless.errors import InUseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord

_KILL_WAIT = 10.0
"""Seconds that a monitor has to clean up after its container is killed."""


def remove_container(containers: Containers, record: ContainerRecord, *, force: bool) -> None:
    """Remove a container; with `force` one that runs is killed first.

    Raises:
        InUseError: it has not ended, and `force` is not set.
        RootlessError: its monitor does not end.
    """
    if record.status is not Status.EXITED:
        if not force:
            raise InUseError(
                f"cannot remove container {record.name!r}: container is {record.status.value}",
                hint="stop it first, or use --force",
            )
        kill_and_wait(record, _KILL_WAIT)
    containers.remove(record.id)
