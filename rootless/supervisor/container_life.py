"""The life of a container in its monitor, over all of its runs: created, started, ended, created again, removed. Each
step is written to the record and sent to the clients.
"""

from __future__ import annotations

import os
import time

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.directory import Containers
from rootless.supervisor import control_socket
from rootless.supervisor.clients import Clients
from rootless.supervisor.container_run import ContainerRun
from rootless.supervisor.engine_log import log
from rootless.supervisor.life_events import LifeEvents
from rootless.supervisor.protocol import Kind, MonitorState
from rootless.supervisor.record_keeper import RecordKeeper
from rootless.supervisor.restarts import Restarts
from rootless.supervisor.streams.container_streams import ContainerStreams
from rootless.supervisor.supervised_run import SupervisedRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.launch_description import LaunchDescription, Shared
    from rootless.errors import RootlessError
    from rootless.supervisor.clients import Client
    from rootless.supervisor.ranks import Ranks
    from rootless.supervisor.record_keeper import Ending
    from rootless.supervisor.run_resources import RunResources

_BEFORE_RECONCILING = 0.5
"""Seconds after the start of a run. One that is shorter, and the start of many at once, do without the records of other
containers."""


class ContainerLife:
    """One container. `first` is the client that the monitor was started with.

    `run` is the run that goes on, or the last one; it is there once `new_run` has been called.
    """

    run: SupervisedRun

    def __init__(
        self, description: LaunchDescription, first: Client, resources: RunResources
    ) -> None:
        self.description = description
        """Replaced when the name or the networks of the container change."""
        self.resources = resources
        self.containers = Containers(
            os.path.dirname(description.directory), remove_container_tree, description.runtime
        )
        self.first = first
        self.clients = Clients(first)
        self.events = LifeEvents(self.containers, description.record)
        if description.is_new:
            self.events.add("create")
        self.keeper = RecordKeeper(
            self.containers,
            description.record,
            self.events,
            has_volumes=description.has_served_mounts,
        )
        self.state = MonitorState.CREATING
        self.ends_with_client = description.ends_with_client
        """The container is killed when `first` ends."""
        self.restarts = Restarts(description.restart)
        self._reconciles_at: float | None = None
        """When to correct the records of other containers, by the monotonic clock."""
        self._reconciled_since = 0.0
        """The time of the start (time.time()): a monitor that begins to correct the records after it does so for this one too."""
        self._ranks = None if description.shared is None else _ranks(description.shared)

    def publish(self) -> None:
        """Bind the published ports, for as long as this process lives. Raises RootlessError."""
        if ports := self.resources.publish(self.description):
            self.keeper.published(ports)

    def new_run(self) -> ContainerRun:
        """Make the next run. Returns what is to be created. Raises RootlessError if its file server has ended."""
        self.state = MonitorState.CREATING
        streams = ContainerStreams(self.description)
        container = ContainerRun(self.description, self.resources, self.events)
        self.run = SupervisedRun(
            container,
            streams,
            self.description,
            self.resources.group,
            keeper=self.keeper,
            events=self.events,
            restarts=self.restarts,
            ranks=self._ranks,
        )
        return container

    def create(self, debug: int | None, meanwhile: Callable[[], None]) -> None:
        """Create the container of the run: `ContainerRun.create`. Raises LaunchError."""
        container = self.run.container
        self.keeper.keeps_layer(container.layer_fd)
        container.create(self.run.streams, debug, meanwhile)
        self.keeper.connected(container.places)
        self.state = MonitorState.READY

    def start(self) -> None:
        """Execute the container's command. Raises LaunchError if that fails."""
        container = self.run.container
        container.start()
        self.state = MonitorState.RUNNING
        self.restarts.started()
        pid = container.process.pid
        # Written before it is sent: a client that knows of RUNNING finds it in the record.
        check = self.description.health
        self.keeper.running(
            pid,
            container.server_pid,
            restarts=self.restarts.count,
            has_health=check is not None,
        )
        is_waited_for = self.ends_with_client
        if not is_waited_for:
            container.keep_mounts()  # the client may kill a server as soon as it knows of RUNNING
        self.clients.broadcast(Kind.RUNNING, pid=pid)
        if is_waited_for:
            container.keep_mounts()
        self._reconciles_at = time.monotonic() + _BEFORE_RECONCILING
        self._reconciled_since = time.time()
        if self.description.time_limit:
            container.signals.limit(self.description.time_limit)
        if check is not None:
            self.run.check_health(check, self.containers)
        each = self.description.record.snapshot_each
        if each.isdecimal():
            self.run.take_snapshots(int(each))

    def start_again(self) -> None:
        """Execute the command of a later run, and answer the clients that wait for the restart."""
        self.clients.broadcast(Kind.READY, pid=self.run.container.process.pid)
        self.start()
        if self.restarts.clients:
            self.events.add("restart")
        self.restarts.answer()

    def kill(self) -> None:
        """Kill the container, which has been created, and do not start it again."""
        self.restarts.is_final = True
        self.run.container.signals.kill()

    def wait_limit(self) -> float | None:
        """Milliseconds until `advance` may have something to do; None if no time is set."""
        limit = self.run.wait_limit()
        if self._reconciles_at is None:
            return limit
        left = max(0.0, self._reconciles_at - time.monotonic()) * 1000
        return left if limit is None else min(limit, left)

    def advance(self, ready: set[int]) -> None:
        """Do what is due. `ready`: descriptors for which poll(2) has returned."""
        if self._reconciles_at is not None and time.monotonic() >= self._reconciles_at:
            self._reconcile()
        self.run.advance(ready, self.clients)

    def finish_run(self) -> Ending:
        """After the end of the first process: end what is left of the run."""
        self.run.streams.close()
        self.state = MonitorState.CREATING
        was_reported = bool(self.run.container.server_failure)
        ending = self.run.finish()
        if ending.error and not was_reported:
            self.clients.broadcast(Kind.NOTICE, text=ending.error)
        self.state = MonitorState.RESTARTING
        return ending

    def report_end(self, ending: Ending) -> None:
        """EXITED is the last message of a connection, but for that of a client that wants a restart. A
        client has all output before it.
        """
        self.run.streams.flush()
        self.clients.end(
            Kind.EXITED,
            self.restarts.clients if self.state is MonitorState.RESTARTING else (),
            status=ending.status,
            out_of_memory=ending.out_of_memory,
        )

    def end(self, ending: Ending) -> None:
        """After the last run: write its end into the record, or remove the container."""
        control_socket.remove(self.description.control_directory)
        self.keeper.ended(ending)
        if self.description.removes_image:
            self._remove_image()
        self.report_end(ending)

    def fail(self, error: RootlessError) -> None:
        """The container could not be started: write the reason into its record, or remove it."""
        control_socket.remove(self.description.control_directory)
        self.keeper.failed(error)
        self.report_failure(error)

    def report_failure(self, error: RootlessError) -> None:
        """FAILED is the last message of every connection."""
        from rootless.run_in_child import error_fields

        fields = error_fields(error)
        if not self.first.is_greeted:
            self.first.send(Kind.FAILED, **fields)
            self.first.close()
        self.clients.end(Kind.FAILED, **fields)

    def _reconcile(self) -> None:
        """Correct the records of other containers whose monitors were killed. Of many containers that are started at once,
        one reads the records of all.
        """
        self._reconciles_at = None
        if not claim_reconciling(self.containers, self._reconciled_since):
            return
        from rootless.containers.reconcile import reconcile

        reconcile(self.containers)

    def _remove_image(self) -> None:
        """After the container has been removed."""
        from rootless.supervisor.image_removal import remove_image

        if failure := remove_image(self.description, self.containers):
            log(failure)
            self.clients.broadcast(Kind.NOTICE, text=failure)


def claim_reconciling(containers: Containers, since: float) -> bool:
    """False if another monitor on this machine has begun to correct the records of this store after `since`. The time of a
    file in the runtime directory says when one last did.
    """
    try:
        store = os.stat(containers.root)
        path = f"{containers.runtime}/reconciled-{store.st_dev:x}-{store.st_ino:x}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            last = os.fstat(descriptor)
            if last.st_size and since <= last.st_mtime <= time.time():
                return False
            os.write(descriptor, b"\n")
        finally:
            os.close(descriptor)
    except OSError:
        pass  # it is done once more
    return True


def _ranks(shared: Shared) -> Ranks:
    from rootless.supervisor.ranks import Ranks

    return Ranks(shared)
