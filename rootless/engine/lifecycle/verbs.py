"""`stop`, `kill`, `wait` and other verbs of one container: sends the request to its monitor and waits for the answer."""

from __future__ import annotations

import os
import sys

from rootless.containers.reconcile import reconcile
from rootless.containers.status import MONITORED, Status, Verb, has_nothing_to_do
from rootless.engine.lifecycle.connection import ask, begin, connect
from rootless.engine.lifecycle.starting import read_launch, start
from rootless.engine.lifecycle.unanswered import UnansweredError, end_directly, signal_directly
from rootless.errors import RootlessError
from rootless.light_stdlib import signal
from rootless.supervisor.client import MonitorClient, MonitorEndedError
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.engine.lifecycle.connection import AwaitedEnd
    from rootless.engine.lifecycle.patient_wait import ResumedWait


def upgrade_server(paths: StoragePaths, record: ContainerRecord) -> None:
    """Replace the file server of a running container by one of this release.

    Raises ConflictError; RootlessError if the container's monitor cannot do that.
    """
    record.require(Verb.TOP)
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


def begin_stop(
    paths: StoragePaths, record: ContainerRecord, *, number: int | None, timeout: int | None
) -> AwaitedEnd | None:
    """Ask the monitor to end a container; None if it has ended already."""
    record.require(Verb.STOP)
    if has_nothing_to_do(Verb.STOP, record.status):
        return None
    try:
        return begin(paths, record, lambda client: client.stop(number, timeout))
    except UnansweredError:
        _stop_directly(paths, record, number, timeout)
        return None


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


def begin_shutdown(paths: StoragePaths, record: ContainerRecord) -> AwaitedEnd | None:
    """As `begin_stop`, but not by a user: the next boot may start it again."""
    return begin(paths, record, lambda client: client.stop(None, None, by_user=False))


def begin_restart(
    paths: StoragePaths, record: ContainerRecord, *, number: int | None, timeout: int | None
) -> Callable[[], None]:
    """Ask for the end of a container that runs; what is returned waits until it runs again."""
    record.require(Verb.RESTART)
    ending = None
    if record.status in MONITORED:
        try:
            ending = begin(paths, record, lambda client: client.stop(number, timeout, restart=True))
        except UnansweredError:
            _stop_directly(paths, record, number, timeout)

    def finish() -> None:
        if ending is None or ending.wait(Kind.DONE, Kind.EXITED) is None:
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
    record.require(Verb.KILL)
    try:
        ending = begin(paths, record, lambda client: client.kill(number))
    except UnansweredError:
        if number == signal.SIGKILL:
            end_directly(record, number, 0)
            reconcile(paths.containers)
        else:
            signal_directly(record, number)
        return
    if ending is None:
        record._replace(status=Status.EXITED).require(Verb.KILL)
        return
    ending.wait(Kind.EXITED if number == signal.SIGKILL else Kind.DONE, Kind.EXITED)


def wait(paths: StoragePaths, record: ContainerRecord, resumed: ResumedWait | None = None) -> int:
    """The exit status of a container, when it has ended. With `resumed` the process may stand by, and calls that
    when it continues.
    """
    ending = _begin_wait(paths, record)
    if ending is None:
        return paths.containers.read(record.id).exit_code
    if resumed is None:
        return ending.status()
    from rootless.engine.lifecycle.patient_wait import PatientWait

    return PatientWait(ending, resumed).status()


def begin_wait(paths: StoragePaths, name: str) -> AwaitedEnd | None:
    """Begin to wait for the end of a container; None if it has ended. Raises NotFoundError."""
    reconcile(paths.containers)
    return _begin_wait(paths, paths.containers.find(name))


def _begin_wait(paths: StoragePaths, record: ContainerRecord) -> AwaitedEnd | None:
    if record.status not in MONITORED:
        return None
    return begin(paths, record, None, answers=False)


def request(paths: StoragePaths, record: ContainerRecord, verb: Verb) -> None:
    """Carry out `pause` or `unpause`."""
    record.require(verb)
    wanted = MonitorClient.pause if verb is Verb.PAUSE else MonitorClient.unpause
    if ask(paths, record, wanted) is None:
        record._replace(status=Status.EXITED).require(verb)


def check_health(paths: StoragePaths, record: ContainerRecord) -> bool:
    """Ask the monitor to check the health of a container. Returns whether it is healthy."""
    record.require(Verb.EXEC)
    done = ask(paths, record, MonitorClient.check_health)
    if done is None:
        record._replace(status=Status.EXITED).require(Verb.EXEC)
        return False
    return bool(done.fields["healthy"])
