"""Writes the record of the monitor's container: one change for each step of its life, with its event."""

from __future__ import annotations

import os

from rootless.containers.process_identity import boot_id, start_time
from rootless.containers.status import Status
from rootless.containers.timestamps import now
from rootless.errors import NotFoundError, RootlessError
from rootless.supervisor.engine_log import log
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.network.endpoint import Assigned, Endpoint
    from rootless.network.options import PublishedPort
    from rootless.supervisor.life_events import LifeEvents


class Ending(NamedTuple):
    """How a run of the container ended. `error`: why its file server failed, or empty."""

    status: int
    out_of_memory: bool
    error: str = ""


class RecordKeeper:
    """Writes the record of one container; the monitor is its only writer while the container runs,
    apart from the commands that rename or update it.
    """

    def __init__(
        self,
        containers: Containers,
        record: ContainerRecord,
        events: LifeEvents,
        *,
        has_volumes: bool = False,
    ) -> None:
        self._containers = containers
        self._events = events
        self._record = record
        self._auto_remove = record.auto_remove
        self._has_volumes = has_volumes
        self._ports: tuple[PublishedPort, ...] = ()
        self._layer_fd = 0
        self._places: tuple[Assigned, ...] = ()
        self._endpoint = record.endpoint

    def published(self, ports: tuple[PublishedPort, ...]) -> None:
        """Ports of the host that are bound; they are in the record while the container runs."""
        self._ports = ports

    def keeps_layer(self, layer_fd: int) -> None:
        """The descriptor of this process that holds the writable layer of this run in memory or in an image; 0: none does."""
        self._layer_fd = layer_fd

    def connected(self, places: tuple[Assigned, ...]) -> None:
        """What the container that has been created has in networks that a user has defined."""
        self._places = places
        if self._endpoint is not None:
            self._events.in_networks(self._endpoint.connected(places))

    def changed_networks(
        self, places: tuple[Assigned, ...], change: Callable[[Endpoint], Endpoint]
    ) -> None:
        """It has been connected to a network, or disconnected from one."""
        if self._endpoint is not None:
            self._endpoint = change(self._endpoint)
        self.connected(places)

        def change_record(record: ContainerRecord) -> ContainerRecord:
            if record.endpoint is None:
                return record
            return record._replace(endpoint=change(record.endpoint)._replace(places=places))

        self._change(change_record)

    def created(self, container: int, server: int) -> None:
        """The container waits for START; PIDs of its first process and of the file server."""
        self._containers.change(
            self._record.id, lambda record: self._with_processes(record, container, server)
        )

    def running(self, container: int, server: int, *, restarts: int, has_health: bool) -> None:
        """The command has been executed. `restarts`: how often the restart policy has done it;
        `has_health`: its health is checked.
        """
        health = "starting" if has_health else ""

        def change(record: ContainerRecord) -> ContainerRecord:
            return self._with_processes(record, container, server).moved_to(
                Status.RUNNING,
                started=now(),
                health=health,
                restart_count=restarts,
                stopped_by_user=False,
                exit_code=0,
                oom_killed=False,
                error="",
            )

        try:
            self._containers.change(self._record.id, change)
        except OSError as error:
            # The command may have filled the disk already. It goes on.
            log(f"writing the record: {error}")
        self._events.started()

    def server_replaced(self, server: int) -> None:
        """Another process is the file server."""
        self._change(
            lambda record: record._replace(server_pid=server, server_pid_start=start_time(server))
        )

    def moved_to(self, status: Status) -> None:
        """Between running and paused."""
        self._change(lambda record: record.moved_to(status))
        self._events.add("pause" if status is Status.PAUSED else "unpause")

    def found_health(self, status: str) -> None:
        """Its checks have come to another result."""
        self._change(lambda record: record._replace(health=status))

    def stopped_by_user(self) -> None:
        """A user has sent it a signal that may end it."""
        self._change(lambda record: record._replace(stopped_by_user=True))

    def restarting(self, ending: Ending) -> None:
        """It has ended, and the monitor starts it again."""
        self._change(lambda record: _without_processes(record, Status.RESTARTING, ending))
        self._ended(ending)

    def ended(self, ending: Ending) -> None:
        """It has ended for good: its record says how, or everything of it is removed."""

        def change(old: ContainerRecord) -> ContainerRecord:
            finished = _without_processes(old, Status.EXITED, ending)
            return finished._replace(monitor_pid=0, monitor_pid_start=0)

        if self._auto_remove:
            self._ended(ending)  # before `destroy`
            self._finish(change)
        else:
            self._finish(change)
            self._ended(ending)

    def failed(self, error: RootlessError) -> None:
        """It could not be started. One that has never run stays created, as under Docker."""

        def change(old: ContainerRecord) -> ContainerRecord:
            never_ran = old.status is Status.CREATED
            return old.without_processes()._replace(
                status=Status.CREATED if never_ran else Status.EXITED,
                error=error.message,
                exit_code=_exit_code(error),
                finished=old.finished if never_ran else now(),
            )

        self._events.in_networks(())
        self._events.write()
        self._finish(change)

    def _with_processes(
        self, record: ContainerRecord, container: int, server: int
    ) -> ContainerRecord:
        record = _with_processes(record, container, server)._replace(memory_fd=self._layer_fd)
        if not (self._ports or self._places) or record.endpoint is None:
            return record
        endpoint = record.endpoint._replace(ports=self._ports, places=self._places)
        return record._replace(endpoint=endpoint)

    def _ended(self, ending: Ending) -> None:
        self._events.ended(ending.status, out_of_memory=ending.out_of_memory)

    def _change(self, change: Callable[[ContainerRecord], ContainerRecord]) -> None:
        """A failure does not end the container: its status is written down at the next step."""
        try:
            self._containers.change(self._record.id, change, unreadable=self._record)
        except (OSError, RootlessError) as error:
            log(f"writing the record: {error}")

    def _finish(self, change: Callable[[ContainerRecord], ContainerRecord]) -> None:
        try:
            if self._auto_remove:
                self._remove()
            else:
                self._containers.change(self._record.id, change, unreadable=self._record)
        except NotFoundError:
            pass  # removed by force meanwhile
        except (OSError, RootlessError) as error:
            # The container's status is its own whether or not it can be written down.
            log(f"writing the record: {error}")

    def _remove(self) -> None:
        if not self._has_volumes:
            self._containers.remove(self._record.id)
            return
        from rootless.containers.volumes.anonymous import remove_with_volumes

        remove_with_volumes(self._containers, self._record.id)


def _with_processes(record: ContainerRecord, container: int, server: int) -> ContainerRecord:
    return record._replace(
        pid=container,
        pid_start=start_time(container),
        monitor_pid=os.getpid(),
        monitor_pid_start=start_time(os.getpid()),
        server_pid=server,
        server_pid_start=start_time(server),
        boot=boot_id(),
        host=os.uname().nodename,
    )


def _without_processes(record: ContainerRecord, status: Status, ending: Ending) -> ContainerRecord:
    if record.status is Status.CREATED or record.status is Status.DEAD:
        # It ended before the record said that it ran.
        record = record._replace(status=Status.RUNNING)
    endpoint = record.endpoint
    return record.moved_to(
        status,
        endpoint=None if endpoint is None else endpoint._replace(ports=(), places=()),
        exit_code=ending.status,
        health="unhealthy" if record.health else "",  # as Docker shows one that has ended
        oom_killed=ending.out_of_memory,
        error=ending.error,
        finished=now(),
        pid=0,
        pid_start=0,
        server_pid=0,
        server_pid_start=0,
        memory_fd=0,
    )


def _exit_code(error: RootlessError) -> int:
    """Docker's: 126 and 127 are those of a command that cannot be executed, 128 is any other error's."""
    return error.exit_status if error.exit_status in {126, 127} else 128
