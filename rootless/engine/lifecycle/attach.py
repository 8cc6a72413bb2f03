"""`attach`, and `start -a` and `-i`: the caller's standard streams connected to those of a container."""

from __future__ import annotations

from rootless.containers.status import Status, Verb, has_nothing_to_do
from rootless.engine.lifecycle.connection import (
    connect,
    wait_for_end_of_run,
    wait_for_ending_monitor,
)
from rootless.engine.lifecycle.starting import start_monitor_of, wait_for_other_monitor
from rootless.errors import ConflictError, NotFoundError
from rootless.supervisor.client import MonitorEndedError, RefusedError
from rootless.supervisor.foreground import Attachment, ForegroundClient, Outcome
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.supervisor.client import MonitorClient
    from rootless.supervisor.foreground import Resumed
    from rootless.supervisor.start import StartedMonitor


def attach(
    paths: StoragePaths,
    record: ContainerRecord,
    attachment: Attachment,
    *,
    terminal: bool,
    resumed: Resumed | None = None,
) -> Outcome:
    """Relay until the container has ended or the user has detached. `resumed`: as in `run_in_foreground`.

    Raises ConflictError if the container does not run, RootlessError if its monitor refuses.
    """
    record.require(Verb.ATTACH)
    client = connect(paths, record)
    outcome = None
    if client is not None:
        try:
            outcome = _attach_to_running(client, attachment, resumed, terminal=terminal)
        except RefusedError:
            wait_for_end_of_run(paths, record).require(Verb.ATTACH)
            raise
    if outcome is None:
        wait_for_ending_monitor(paths, record)
        paths.containers.read(record.id).require(Verb.ATTACH)
        raise NotFoundError(f"container {record.name} has no monitor")
    return outcome


def start_attached(
    paths: StoragePaths,
    record: ContainerRecord,
    attachment: Attachment,
    *,
    terminal: bool,
    resumed: Resumed | None = None,
) -> Outcome:
    """Start a container with the caller attached, so that none of its output is missed, and relay as
    `attach` does. One that runs is attached to.

    Raises what `starting.start` raises, and ConflictError if the container is between two runs.
    """
    record.require(Verb.START)
    while True:
        if has_nothing_to_do(Verb.START, record.status):
            try:
                return attach(paths, record, attachment, terminal=terminal, resumed=resumed)
            except ConflictError:  # it has ended meanwhile
                record = paths.containers.read(record.id)
                record.require(Verb.START)
                if record.status is Status.RESTARTING:
                    raise
                continue
        claimed = start_monitor_of(paths, record)
        if claimed is not None:
            return _start_attached(*claimed, attachment, resumed)
        record = wait_for_other_monitor(paths, record)


def _start_attached(
    started: StartedMonitor,
    description: LaunchDescription,
    attachment: Attachment,
    resumed: Resumed | None,
) -> Outcome:
    client = started.client

    def begin() -> int:
        client.hello()
        client.attach(attachment.numbers())
        client.start()
        started.describe(description)
        return 0

    return ForegroundClient(
        client, attachment, started.leave, terminal=description.terminal, resumed=resumed
    ).run(begin)


def _attach_to_running(
    client: MonitorClient, attachment: Attachment, resumed: Resumed | None, *, terminal: bool
) -> Outcome | None:
    """None if the monitor has ended before it could answer."""
    try:
        running = client.receive_until(Kind.RUNNING, Kind.EXITED)
    except MonitorEndedError:
        client.close()
        return None
    except BaseException:
        client.close()
        raise
    if running.kind is Kind.EXITED:
        client.close()
        return Outcome(int(running.fields["status"]), bool(running.fields["out_of_memory"]))

    def begin() -> int:
        client.attach(attachment.numbers())
        return int(running.fields["pid"])

    return ForegroundClient(
        client, attachment, client.close, terminal=terminal, resumed=resumed
    ).run(begin)
