"""`logs`: selects the log to read, and when to stop following it."""

from __future__ import annotations

import os
import select
from functools import partial
from typing import TYPE_CHECKING

from rootless.containers.launch_description import log_path
from rootless.containers.process_identity import open_process
from rootless.errors import RootlessError
from rootless.logs.reader import LogRequest, read_log
from rootless.spec.options import LogDriver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.containers.record import ContainerRecord
    from rootless.engine.patient_log import ResumedLog


def container_logs(
    record: ContainerRecord,
    directory: str,
    driver: LogDriver,
    request: LogRequest | None,
    *,
    cancelled: int | None,
    resumed: ResumedLog | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Pieces of output with the number of their stream; see `Engine.logs`."""
    request = request or LogRequest()
    path = log_path(driver, directory, record.id)
    if driver is LogDriver.JOURNALD:
        from rootless.logs.journal_reader import read_journal

        read = partial(read_journal, record.id, request)
    else:
        if not path:
            raise RootlessError("configured logging driver does not support reading")
        read = partial(read_log, path, driver, request)
    monitor = open_process(record.monitor_pid, record.monitor_pid_start)
    if monitor is None:
        yield from read(None)
        return
    if resumed is not None and request.follow and driver is not LogDriver.JOURNALD:
        from rootless.engine.patient_log import PatientLog

        yield from PatientLog(path, driver, request, monitor, resumed).pieces()
        return
    # An epoll(7) descriptor can be read when one of those in it can: either is the end of the log.
    end = select.epoll()
    try:
        end.register(monitor, select.EPOLLIN)
        if cancelled is not None:
            end.register(cancelled, select.EPOLLIN)
        yield from read(end.fileno())
    finally:
        end.close()
        os.close(monitor)
