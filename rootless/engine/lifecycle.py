"""From created to removed: what `start`, `stop`, `kill` and the like do to one container. The work is the
monitor's; this finds it, or starts it.
"""

from __future__ import annotations

import os
import sys
import time

from rootless.containers.process_identity import boot_id, is_alive, start_time
from rootless.containers.reconcile import reconcile, wait_for_end
from rootless.containers.status import MONITORED, Status, Verb, check_verb, has_nothing_to_do
from rootless.engine.unanswered import (
    UnansweredError,
    end_directly,
    signal_directly,
    wait_for_answer,
)
from rootless.errors import ConflictError, NotFoundError, RootlessError
from rootless.light_stdlib import signal
from rootless.spec.options import LogDriver
from rootless.supervisor.client import MonitorClient, MonitorEndedError
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.launch_description import LaunchDescription, OutputLog
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.supervisor.messages import Message
    from rootless.supervisor.start import StartedMonitor

_END_WAIT = 10.0
"""Seconds that a monitor has to end after it has closed its connections."""
_START_WAIT = 30.0
"""Seconds to wait for another command that is starting the container."""
_END_OF_RUN_WAIT = 1.0
"""Seconds in which a monitor writes down the end of a run."""


def allow(verb: Verb, record: ContainerRecord) -> None:
    """Raises ConflictError with Docker's message if the container's status does not allow the verb."""
    check_verb(
        verb,
        record.status,
        container_id=record.id,
        name=record.name,
        error=record.error,
    )


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
    allow(Verb.START, record)
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
        allow(Verb.START, current)
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


def wait_for_end_of_run(paths: StoragePaths, record: ContainerRecord) -> ContainerRecord:
    """The record after a monitor has refused a request: the run may have ended between the request and the
    greeting before it, and the monitor writes that soon. As it is after a second otherwise."""
    end = time.monotonic() + _END_OF_RUN_WAIT
    while record.status is Status.RUNNING and time.monotonic() < end:
        time.sleep(0.005)
        record = paths.containers.read(record.id)
    return record


def upgrade_server(paths: StoragePaths, record: ContainerRecord) -> None:
    """Replace the file server of a running container by one of this release.

    Raises ConflictError; RootlessError if the container's monitor cannot do that.
    """
    allow(Verb.TOP, record)
    client = connect(paths, record)
    if client is None:
        return  # it has ended meanwhile
    try:
        client.upgrade(sys.executable, os.pathsep.join(map(os.path.abspath, sys.path)))
        client.receive_until(Kind.DONE)
    except MonitorEndedError:
        raise RootlessError(
            f"the monitor of container {record.name} is of a release that cannot replace its file server"
        ) from None
    finally:
        client.close()


def connect(
    paths: StoragePaths, record: ContainerRecord, *, answers: bool = True
) -> MonitorClient | None:
    """A connection to the container's monitor; None if it has ended meanwhile, and then the record says
    how: a monitor removes its socket before it has written that. `answers`: wait for its first answer.

    Raises RootlessError if the monitor is there and has no socket, UnansweredError if it does not answer.
    """
    try:
        client = MonitorClient.connect(paths.control_directory(record.id))
        if answers:
            try:
                wait_for_answer(client, record)
            except UnansweredError:
                client.close()
                raise
        return client
    except (NotFoundError, MonitorEndedError):
        _wait_for_ending_monitor(record)
        reconcile(paths.containers)
        return None


def _wait_for_ending_monitor(record: ContainerRecord) -> None:
    """Wait for the end of a monitor that has no socket any more."""
    try:
        wait_for_end(record, _END_WAIT)
    except RootlessError:
        raise RootlessError(
            f"the control socket of container {record.name} is gone",
            hint=f"'rootless rm -f {record.name}' ends and removes the container",
        ) from None


class Ending:
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
            wait_for_end(self._record, _END_WAIT)
            reconcile(self._paths.containers)
            return None
        finally:
            self._client.close()

    def fileno(self) -> int:
        return self._client.fileno()

    def receive(self) -> int | None:
        """Read one message; the exit status if it is the last. Raises MonitorEndedError if the monitor was
        killed.
        """
        message = self._client.receive()
        return int(message.fields["status"]) if message.kind is Kind.EXITED else None

    def close(self) -> None:
        """Wait no longer. Idempotent."""
        self._client.close()


def begin_stop(
    paths: StoragePaths, record: ContainerRecord, *, number: int | None, timeout: int | None
) -> Ending | None:
    """Ask the monitor to end a container; None if it has ended already."""
    allow(Verb.STOP, record)
    if has_nothing_to_do(Verb.STOP, record.status):
        return None
    try:
        client = connect(paths, record)
    except UnansweredError:
        _stop_directly(paths, record, number, timeout)
        return None
    if client is None:
        return None
    client.stop(number, timeout)
    return Ending(paths, record, client)


def _stop_directly(
    paths: StoragePaths, record: ContainerRecord, number: int | None, timeout: int | None
) -> None:
    """End a container whose monitor does not answer."""
    from rootless.containers.launch_description import STOP_TIMEOUT

    description = read_launch(paths, record)
    if timeout is None:
        timeout = description.stop_timeout
    end_directly(
        record,
        description.stop_signal if number is None else number,
        STOP_TIMEOUT if timeout is None else timeout,
    )
    reconcile(paths.containers)


def begin_shutdown(paths: StoragePaths, record: ContainerRecord) -> Ending | None:
    """As `begin_stop`, but not by a user: the next boot may start it again."""
    client = connect(paths, record)
    if client is None:
        return None
    client.stop(None, None, by_user=False)
    return Ending(paths, record, client)


def begin_restart(
    paths: StoragePaths, record: ContainerRecord, *, number: int | None, timeout: int | None
) -> Callable[[], None]:
    """Ask for the end of a container that runs; what is returned waits until it runs again."""
    allow(Verb.RESTART, record)
    client = connect(paths, record) if record.status in MONITORED else None
    if client is None:
        return lambda: _start_again(paths, record)
    client.stop(number, timeout, restart=True)
    ending = Ending(paths, record, client)

    def finish() -> None:
        if ending.wait(Kind.DONE, Kind.EXITED) is None:
            _start_again(paths, record)

    return finish


def _start_again(paths: StoragePaths, record: ContainerRecord) -> None:
    """The half of `restart` that is left for a container without a monitor."""
    from rootless.containers.events import report

    start(paths, paths.containers.read(record.id))
    report(paths.containers.runtime, record, "restart")


def kill(paths: StoragePaths, record: ContainerRecord, number: int) -> None:
    """Send a signal to the first process of a container. After SIGKILL its end is waited for; one that
    waits for its restart is not started again, whatever the signal is.
    """
    allow(Verb.KILL, record)
    try:
        client = connect(paths, record)
    except UnansweredError:
        if number == signal.SIGKILL:
            end_directly(record, number, 0)
            reconcile(paths.containers)
        else:
            signal_directly(record, number)
        return
    if client is None:
        allow(Verb.KILL, record._replace(status=Status.EXITED))
        return
    client.kill(number)
    ending = Ending(paths, record, client)
    ending.wait(Kind.EXITED if number == signal.SIGKILL else Kind.DONE, Kind.EXITED)


def wait(paths: StoragePaths, record: ContainerRecord) -> int:
    """The exit status of a container, when it has ended."""
    ending = _begin_wait(paths, record)
    message = None if ending is None else ending.wait()
    if message is not None:
        return int(message.fields["status"])
    return paths.containers.read(record.id).exit_code


def begin_wait(paths: StoragePaths, name: str) -> Ending | None:
    """Begin to wait for the end of a container; None if it has ended. Raises NotFoundError."""
    reconcile(paths.containers)
    return _begin_wait(paths, paths.containers.find(name))


def _begin_wait(paths: StoragePaths, record: ContainerRecord) -> Ending | None:
    if record.status not in MONITORED:
        return None
    client = connect(paths, record, answers=False)
    return None if client is None else Ending(paths, record, client)


def request(paths: StoragePaths, record: ContainerRecord, verb: Verb) -> None:
    """Carry out `pause` or `unpause`."""
    allow(verb, record)
    client = connect(paths, record)
    if client is None:
        allow(verb, record._replace(status=Status.EXITED))
        return
    try:
        if verb is Verb.PAUSE:
            client.pause()
        else:
            client.unpause()
        client.receive_until(Kind.DONE)
    finally:
        client.close()


def check_health(paths: StoragePaths, record: ContainerRecord) -> bool:
    """Have the monitor check the health of a container."""
    allow(Verb.EXEC, record)
    client = connect(paths, record)
    if client is None:
        allow(Verb.EXEC, record._replace(status=Status.EXITED))
        return False
    try:
        client.check_health()
        return bool(client.receive_until(Kind.DONE).fields["healthy"])
    finally:
        client.close()


def remove_named(paths: StoragePaths, name: str) -> None:
    """Remove the container that has a name, also if it runs (--replace). No error if there is none."""
    from rootless.containers.remove import remove_container

    reconcile(paths.containers)
    try:
        record = paths.containers.find(name)
    except NotFoundError:
        return
    if record.name == name.removeprefix("/"):
        control = paths.control_directory(record.id)
        remove_container(paths.containers, record, control, force=True)


def latest(paths: StoragePaths) -> str:
    """The id of the container that was created last. Raises NotFoundError."""
    records = paths.containers.all()
    if not records:
        raise NotFoundError("no containers found", hint="'rootless ps -a' lists them")
    return records[-1].id
