"""Waits for a status or a health of a container (podman wait --condition)."""

from __future__ import annotations

import time

from rootless.containers.health import HealthStatus
from rootless.containers.reconcile import reconcile
from rootless.containers.status import Status
from rootless.errors import ConflictError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths


class Conditions(NamedTuple):
    """Alternatives: any of the statuses or any of the healths."""

    statuses: frozenset[Status] = frozenset()
    healths: frozenset[HealthStatus] = frozenset()


_HEALTHS = {each.value: each for each in (HealthStatus.HEALTHY, HealthStatus.UNHEALTHY)}


def wait_for(
    paths: StoragePaths, record: ContainerRecord, conditions: Conditions, *, interval: float
) -> int:
    """Return when one of the conditions is true: the exit status of a container that has ended, else -1.

    Args:
        interval: Seconds between two looks at the record.

    Raises:
        NotFoundError: the container has been removed.
        ConflictError: it has ended, and only healths are waited for.
    """
    while True:
        reconcile(paths.containers)
        record = paths.containers.read(record.id)
        has_ended = record.status is Status.EXITED
        if record.status in conditions.statuses:
            return record.exit_code if has_ended else -1
        if not has_ended and _HEALTHS.get(record.health) in conditions.healths:
            return -1
        if has_ended and not conditions.statuses:
            words = " or ".join(sorted(each.value for each in conditions.healths))
            raise ConflictError(f"container {record.name} has ended and cannot become {words}")
        time.sleep(interval)
