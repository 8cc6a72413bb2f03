"""Which containers are started after a boot, and their end before a shutdown."""

from __future__ import annotations

from rootless.containers.restart_policy import restarts
from rootless.containers.status import MONITORED, Status
from rootless.engine.lifecycle import begin_shutdown, read_launch
from rootless.errors import InvalidDocumentError, RootlessError
from rootless.spec.options import RestartName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths


def containers_of_boot(
    paths: StoragePaths, records: Sequence[ContainerRecord]
) -> list[ContainerRecord]:
    """Those that have been started before and that their restart policy starts again, as docker's daemon
    does at its start: always, unless-stopped and on-failure unless a user has stopped them.
    """
    return [record for record in records if _is_started(paths, record)]


def stop_before_shutdown(paths: StoragePaths, records: Sequence[ContainerRecord]) -> None:
    """Stop all that run, at the same time. None of it counts as stopped by a user: the next boot starts
    them again.
    """
    endings = [begin_shutdown(paths, record) for record in records if record.status in MONITORED]
    for ending in endings:
        if ending is not None:
            ending.wait()


def _is_started(paths: StoragePaths, record: ContainerRecord) -> bool:
    if record.status is not Status.EXITED or not record.started or record.auto_remove:
        return False
    try:
        policy = read_launch(paths, record).restart
    except InvalidDocumentError:
        return True  # the start reports what is damaged
    except (OSError, RootlessError):
        return False
    if policy.name is RestartName.ON_FAILURE and record.stopped_by_user:
        return False
    return restarts(
        policy, exit_code=record.exit_code, count=0, stopped_by_user=record.stopped_by_user
    )
