"""Corrects the records of containers whose monitor was killed before it could record their end."""

from __future__ import annotations

import os
import select
import time

from rootless.containers.directory import Containers
from rootless.containers.process_identity import (
    boot_id,
    is_alive,
    is_elsewhere,
    is_in_mask,
    open_process,
)
from rootless.containers.record import KILL_CONTAINER, ContainerRecord
from rootless.containers.status import ALIVE, MONITORED, Status
from rootless.containers.timestamps import now
from rootless.durable import NO_ROOM
from rootless.errors import InvalidDocumentError, NotFoundError, RootlessError
from rootless.light_stdlib import read_file, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_AGAIN = 0.25
"""Seconds from one signal to a monitor to the next."""
KILLED = 137
"""The status of a container whose monitor was killed: it died of SIGKILL with it."""


def reconcile(containers: Containers) -> None:
    """Mark containers whose monitor is gone as exited, and remove those that were to be removed, or whose
    removal was interrupted."""
    boot = None
    for record in containers.all():
        unfinished = record.status in MONITORED or record.status is Status.REMOVING
        if record.status is Status.DEAD or not (record.monitor_pid or unfinished):
            continue
        if boot is None:
            boot = boot_id()
        if _has_monitor(record, boot) or is_elsewhere(record.boot, record.host):
            continue  # what runs on another machine is that machine's to look after
        try:
            if record.auto_remove or record.status is Status.REMOVING:
                if record.status in ALIVE:
                    _mark(containers, record.id)
                from rootless.containers.volumes.anonymous import remove_with_volumes

                remove_with_volumes(containers, record.id, wait=False)
            else:
                _mark(containers, record.id)
        except (NotFoundError, InvalidDocumentError):
            continue
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise  # on a full disk the record is made true by a later command


def _mark(containers: Containers, container_id: str) -> None:
    """Mark a container whose monitor is gone as exited, or to be removed. Of several commands that do, one writes the event."""
    found: list[ContainerRecord] = []

    def orphaned(record: ContainerRecord) -> ContainerRecord:
        found.append(record)
        marked = _orphaned(record)
        if marked is not record and record.auto_remove:
            return marked._replace(status=Status.REMOVING)
        return marked

    marked = containers.change(container_id, orphaned)
    containers.remove_control(container_id)
    before = found[-1]
    if before.status in ALIVE and marked.status not in ALIVE:
        _report_end(containers, before, marked.exit_code)


def _report_end(containers: Containers, before: ContainerRecord, status: int) -> None:
    """Write the events of the end of a container, in the place of its monitor."""
    from rootless.containers.events import report, report_networks

    report_networks(containers.runtime, before, "disconnect")
    report(containers.runtime, before, "die", {"exitCode": str(status)})


def _has_monitor(record: ContainerRecord, boot: str) -> bool:
    """Whether its monitor lives, in the boot of this id. Records of earlier versions name no boot."""
    same = record.boot in {"", boot}
    return same and is_alive(record.monitor_pid, record.monitor_pid_start)


def _orphaned(record: ContainerRecord) -> ContainerRecord:
    """After the death of the monitor. One that another command changed meanwhile is left as it is."""
    if _has_monitor(record, boot_id()) or is_elsewhere(record.boot, record.host):
        return record
    kept = record.without_processes()
    if record.status is Status.EXITED:
        return kept
    if record.status is Status.RESTARTING:
        return kept._replace(status=Status.EXITED)
    if kept.health:
        kept = kept._replace(health="unhealthy")
    return kept._replace(
        status=Status.EXITED, exit_code=KILLED, finished=now(), error="its monitor was killed"
    )


def kill_and_wait(record: ContainerRecord, timeout: float) -> None:
    """Kill a container that has a monitor, and wait until the monitor has cleaned up. One that hangs is killed
    after `timeout` seconds, and with it the container.

    Raises RootlessError if the monitor is still there after that.
    """
    # To a monitor of a release before that signal it is SIGTERM that kills the container.
    number = KILL_CONTAINER if knows_signal(KILL_CONTAINER, record.monitor_pid) else signal.SIGTERM
    # SIGCONT lets a monitor that is stopped take the other signal.
    if not _has_ended(record, timeout, (number, signal.SIGCONT)) and not _has_ended(
        record, timeout, (signal.SIGKILL,)
    ):
        raise RootlessError(f"container {record.name} did not end within {2 * timeout:g} seconds")


def knows_signal(number: int, pid: int) -> bool:
    """Whether a process catches, ignores or blocks a signal: its default action is not what follows."""
    try:
        status = read_file(f"/proc/{pid}/status").decode(errors="replace")
    except OSError:
        return False  # it has ended
    return any(is_in_mask(number, mask, status) for mask in ("SigBlk", "SigIgn", "SigCgt"))


def wait_for_end(record: ContainerRecord, timeout: float) -> None:
    """Wait for the end of a container's monitor.

    Raises RootlessError if the monitor is still there after `timeout` seconds.
    """
    if not _has_ended(record, timeout):
        raise RootlessError(f"container {record.name} did not end within {timeout:g} seconds")


def _has_ended(record: ContainerRecord, timeout: float, numbers: Sequence[int] = ()) -> bool:
    """Whether a container's monitor ends within some seconds, while it is sent these signals."""
    monitor = open_process(record.monitor_pid, record.monitor_pid_start)
    if monitor is None:
        return True
    try:
        poll = select.poll()
        poll.register(monitor, select.POLLIN)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            for number in numbers:
                # Sent again: Python would not run the handler of one that comes just before poll(2).
                signal.pidfd_send_signal(monitor, number)
            if poll.poll((min(left, _AGAIN) if numbers else left) * 1000):
                return True
        return False
    except ProcessLookupError:
        return True  # it ended between two signals, and its parent has waited for it
    finally:
        os.close(monitor)
