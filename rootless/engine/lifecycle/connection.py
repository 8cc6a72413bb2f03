"""The connection to the monitor of a container, and how it ends."""

from __future__ import annotations

import os
import time

from rootless.containers.process_identity import is_alive, open_process
from rootless.containers.reconcile import knows_signal, reconcile, wait_for_end
from rootless.containers.record import LISTEN_AGAIN
from rootless.containers.status import Status
from rootless.engine.lifecycle.unanswered import UnansweredError, wait_for_answer
from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import signal
from rootless.supervisor.client import MonitorClient, MonitorEndedError
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.supervisor.messages import Message

    Request: TypeAlias = Callable[[MonitorClient], None]
    """Sends a request."""

_END_WAIT = 10.0
"""Seconds that a monitor has to end after it has closed its connections."""
_SOCKET_WAIT = 3.0
"""Seconds that a monitor has to make its socket again; it takes some tens of milliseconds."""
_END_OF_RUN_WAIT = 1.0
"""Seconds in which a monitor writes down the end of a run."""


def connect(
    paths: StoragePaths,
    record: ContainerRecord,
    request: Request | None = None,
    *,
    answers: bool = True,
) -> MonitorClient | None:
    """A connection to the container's monitor, over which the request has been sent. None if the monitor has ended meanwhile:
    this waits for its end, because it removes its socket before it writes the record. `answers`: wait for its first answer.

    Raises UnansweredError if the monitor is there and does not answer, or has no socket any more.
    """
    try:
        client = _connect(paths.control_directory(record.id), record)
        try:
            if answers:
                wait_for_answer(client, record)
            if request is not None:
                request(client)
        except BaseException:
            client.close()
            raise
        return client
    except (NotFoundError, MonitorEndedError):
        wait_for_ending_monitor(paths, record)
        return None


def _connect(directory: str, record: ContainerRecord) -> MonitorClient:
    """A connection to the socket in the directory, which a monitor makes again if it was removed while the container runs.
    Raises NotFoundError.
    """
    try:
        return MonitorClient.connect(directory)
    except NotFoundError:
        if not _ask_for_socket(record):
            raise
    end = time.monotonic() + _SOCKET_WAIT
    while True:
        try:
            return MonitorClient.connect(directory)
        except NotFoundError:
            if time.monotonic() > end or not is_alive(record.pid, record.pid_start):
                raise
        time.sleep(0.005)


def _ask_for_socket(record: ContainerRecord) -> bool:
    """False for a monitor that ends, and one of a release that does not know the signal, which would end it."""
    if not is_alive(record.pid, record.pid_start):
        return False
    process = open_process(record.monitor_pid, record.monitor_pid_start)
    if process is None:
        return False
    try:
        if not knows_signal(LISTEN_AGAIN, record.monitor_pid):
            return False
        signal.pidfd_send_signal(process, LISTEN_AGAIN)
    except ProcessLookupError:
        return False
    finally:
        os.close(process)
    return True


def wait_for_ending_monitor(paths: StoragePaths, record: ContainerRecord) -> None:
    """Wait for the end of a monitor that has closed its socket. Afterwards the record has the end of the container.

    Raises UnansweredError if it does not end, and the container runs: something else has removed the socket. RootlessError
    if the container has ended: its monitor takes that long to clean up.
    """
    try:
        wait_for_end(record, _END_WAIT)
    except RootlessError:
        if not is_alive(record.pid, record.pid_start):
            raise
        raise UnansweredError(
            f"the control socket of container {record.name} is gone",
            hint=f"'rootless rm -f {record.name}' ends and removes the container",
        ) from None
    reconcile(paths.containers)


def begin(
    paths: StoragePaths, record: ContainerRecord, request: Request | None, *, answers: bool = True
) -> AwaitedEnd | None:
    """Send the monitor a request that ends the container, or none; None if the container has ended already."""
    client = connect(paths, record, request, answers=answers)
    return None if client is None else AwaitedEnd(paths, record, client)


def ask(paths: StoragePaths, record: ContainerRecord, request: Request) -> Message | None:
    """Ask the monitor to carry out a request, and return its DONE; None if the container has ended before."""
    ending = begin(paths, record, request)
    return None if ending is None else ending.wait(Kind.DONE)


def wait_for_end_of_run(paths: StoragePaths, record: ContainerRecord) -> ContainerRecord:
    """The record after a monitor has refused a request: the run may have ended between the request and the
    greeting before it, and the monitor writes that soon. As it is after a second otherwise."""
    end = time.monotonic() + _END_OF_RUN_WAIT
    while record.status is Status.RUNNING and time.monotonic() < end:
        time.sleep(0.005)
        record = paths.containers.read(record.id)
    return record


class AwaitedEnd:
    """A container whose end is waited for: by `wait`, or by `receive` whenever `fileno()` can be read.
    Several can end at once.
    """

    def __init__(self, paths: StoragePaths, record: ContainerRecord, client: MonitorClient) -> None:
        self._paths = paths
        self._record = record
        self._client = client

    def wait(self, *kinds: Kind) -> Message | None:
        """The monitor's last message, or the first of the kinds; None if it was killed."""
        try:
            return self._client.receive_until(*(kinds or (Kind.EXITED,)))
        except MonitorEndedError:
            self._reconcile()
            return None
        finally:
            self._client.close()

    def status(self) -> int:
        """The exit status of the container, when it has ended."""
        try:
            while (status := self.receive()) is None:
                pass
            return status
        finally:
            self._client.close()

    def fileno(self) -> int:
        return self._client.fileno()

    def receive(self) -> int | None:
        """Read one message; the exit status if it is the last. That of a container whose monitor was killed is in the record,
        where it is written here.
        """
        try:
            message = self._client.receive()
        except MonitorEndedError:
            self._reconcile()
            return self._paths.containers.read(self._record.id).exit_code
        return int(message.fields["status"]) if message.kind is Kind.EXITED else None

    def _reconcile(self) -> None:
        """Record the end of a container whose monitor was killed."""
        wait_for_end(self._record, _END_WAIT)
        reconcile(self._paths.containers)

    def close(self) -> None:
        """Wait no longer. Idempotent."""
        self._client.close()
