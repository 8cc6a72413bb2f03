"""Making records true: a monitor that was killed could not write that its container ended."""

from __future__ import annotations

import os
import select

from rootless.containers.directory import Containers
from rootless.containers.process_identity import is_alive
from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.containers.timestamps import now
from rootless.durable import NO_ROOM
from rootless.errors import InvalidDocumentError, NotFoundError, RootlessError
from rootless.light_stdlib import signal

KILLED = 137
"""The status of a container whose monitor was killed: it died of SIGKILL with it."""


def reconcile(containers: Containers) -> None:
    """Mark containers whose monitor is gone as exited, and remove those that were to be removed."""
    for record in containers.all():
        ended = record.status in {Status.EXITED, Status.DEAD}
        if ended or is_alive(record.monitor_pid, record.monitor_pid_start):
            continue
        try:
            if record.auto_remove:
                containers.remove(record.id)
            else:
                containers.change(record.id, _orphaned)
                containers.remove_control(record.id)
        except (NotFoundError, InvalidDocumentError):
            continue
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise  # on a full disk the record is made true by a later command


def _orphaned(record: ContainerRecord) -> ContainerRecord:
    return record._replace(
        status=Status.EXITED,
        exit_code=KILLED,
        finished=now(),
        error="its monitor was killed",
        pid=0,
        monitor_pid=0,
        server_pid=0,
    )


def kill_and_wait(record: ContainerRecord, timeout: float) -> None:
    """Kill a running container and wait until its monitor has cleaned up.

    Raises RootlessError if the monitor is still there after `timeout` seconds.
    """
    try:
        monitor = os.pidfd_open(record.monitor_pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(record.monitor_pid, record.monitor_pid_start):
            return
        # SIGTERM tells a monitor to end its container.
        signal.pidfd_send_signal(monitor, signal.SIGTERM)
        poll = select.poll()
        poll.register(monitor, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise RootlessError(f"container {record.name} did not end within {timeout:g} seconds")
    finally:
        os.close(monitor)
