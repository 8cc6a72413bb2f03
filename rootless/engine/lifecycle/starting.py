"""Starts a container that exists. The container's lock serializes concurrent commands."""

from __future__ import annotations

import os
import time

from rootless.containers.process_identity import boot_id, is_alive, start_time
from rootless.containers.status import MONITORED, Verb, has_nothing_to_do
from rootless.errors import ConflictError, RootlessError
from rootless.spec.options import LogDriver
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import LaunchDescription, OutputLog
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.supervisor.start import StartedMonitor

_START_WAIT = 30.0
"""Seconds to wait for another command that is starting the container."""


def read_launch(paths: StoragePaths, record: ContainerRecord) -> LaunchDescription:
    """How a container is started. Raises InvalidDocumentError, and ConflictError for a container of a
    version that did not write it down.
    """
    from rootless.containers.config import read_spec
    from rootless.containers.launch_document import NAME, Places, decode_launch

    directory = paths.containers.directory(record.id)
    places = Places(directory, paths.control_directory(record.id), f"{paths.store}/seccomp")
    try:
        with open(f"{directory}/{NAME}", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise ConflictError(
            f"container {record.name} was made by a version of rootless that could not start it again",
            hint="use 'rootless commit', and 'rootless run' with that image",
        ) from None
    return decode_launch(data, f"{directory}/{NAME}", record, read_spec(directory), places)


def start(paths: StoragePaths, record: ContainerRecord) -> None:
    """Start a container that has none of its processes; return when its command has been executed.

    One that another command is starting is waited for. Raises LaunchError, ConflictError.
    """
    while not begin(paths, record):
        record = wait_for_other_monitor(paths, record)
        if record.status in MONITORED:
            return


def begin(paths: StoragePaths, record: ContainerRecord) -> bool:
    """As `start`; False if the container runs, or another command is starting it."""
    record.require(Verb.START)
    if has_nothing_to_do(Verb.START, record.status):
        return False
    claimed = start_monitor_of(paths, record)
    if claimed is None:
        return False
    started, description = claimed
    try:
        client = started.client
        client.hello()
        client.start()
        started.describe(description)
        client.receive_until(Kind.RUNNING)
        client.close()
    except RootlessError:
        started.wait()
        raise
    return True


def start_monitor_of(
    paths: StoragePaths, record: ContainerRecord
) -> tuple[StartedMonitor, LaunchDescription] | None:
    """A new monitor for the container, and the description to send to it; None if the container has a monitor.

    Raises ConflictError, InvalidDocumentError, and RootlessError if no monitor could be started.
    """
    from rootless.supervisor.start import start_monitor

    # It imports what it needs while this process reads.
    started = start_monitor(outlives_caller=True)
    try:
        description = read_launch(paths, record)
        _check_log(description.output_log)
        claimed = _claim(paths, record, started.pid)
    except RootlessError:
        started.wait()
        raise
    if claimed is None:
        started.wait()
        return None
    return started, description._replace(record=claimed)


def _check_log(log: OutputLog) -> None:
    """Raise HostSupportError if the output cannot be kept where it is to be."""
    if log.driver is LogDriver.JOURNALD:
        from rootless.logs.journal import require_journal

        require_journal()


def _claim(paths: StoragePaths, record: ContainerRecord, monitor: int) -> ContainerRecord | None:
    """Make the process the container's monitor, unless it has one. The container's lock decides between
    commands that start it at the same time.
    """

    class TakenError(Exception):
        pass

    def claim(current: ContainerRecord) -> ContainerRecord:
        if current.status in MONITORED or has_monitor(current):
            raise TakenError
        current.require(Verb.START)
        return current._replace(
            monitor_pid=monitor,
            monitor_pid_start=start_time(monitor),
            boot=boot_id(),
            host=os.uname().nodename,
        )

    try:
        return paths.containers.change(record.id, claim)
    except TakenError:
        return None


def has_monitor(record: ContainerRecord) -> bool:
    """Whether the process that the container belongs to lives."""
    return record.boot in {"", boot_id()} and is_alive(record.monitor_pid, record.monitor_pid_start)


def wait_for_other_monitor(paths: StoragePaths, record: ContainerRecord) -> ContainerRecord:
    """The record when another command has started the container, or when the monitor of the run before
    has ended. Raises RootlessError if the other command has failed.
    """
    end = time.monotonic() + _START_WAIT
    record = paths.containers.read(record.id)
    while record.status not in MONITORED and has_monitor(record):
        if time.monotonic() > end:
            raise RootlessError(
                f"container {record.name} did not start within {_START_WAIT:g} seconds"
            )
        time.sleep(0.005)
        record = paths.containers.read(record.id)
    if record.status not in MONITORED and record.error:
        raise RootlessError(record.error)
    return record
