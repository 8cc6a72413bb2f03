"""The public Python API: an `Engine` over one store, with what the commands do as methods.

    from rootless import ContainerOptions, Engine
    options = ContainerOptions(image="debian:12", command=("true",), remove=True)
    status = Engine().run(options).status

Arguments are values: sizes are bytes, platforms are `Platform`s, formats and policies are enumerations.
`rootless.cli.flags` parses the text of flags. Every method raises RootlessError (`rootless.errors`) for
expected failures, and OSError for others.
"""

from __future__ import annotations

import os

from rootless.engine.container_store import ContainerStore
from rootless.errors import NotATerminalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import Any

    from rootless.containers.processes.top import ProcessTable
    from rootless.containers.processes.usage import SampledContainer
    from rootless.containers.record import ContainerRecord
    from rootless.engine.boot import Boot
    from rootless.engine.captured import Completed
    from rootless.engine.doctor.findings import Finding as HostFinding
    from rootless.engine.lifecycle.conditions import Conditions
    from rootless.engine.lifecycle.patient_wait import ResumedWait
    from rootless.engine.new_containers import NewContainers
    from rootless.engine.patient_log import ResumedLog
    from rootless.engine.pull_in_child import ShowProgress
    from rootless.engine.slim_image import SlimImage, SlimRequest
    from rootless.engine.try_session import TrySession
    from rootless.engine.upkeep import DiskUsage
    from rootless.events.filters import EventFilters
    from rootless.events.stream import EventStream
    from rootless.filters import PruneFilters
    from rootless.images.gc.build_cache import CacheUsage, PrunedCache
    from rootless.images.gc.check import Finding
    from rootless.images.gc.prune import Pruned as PrunedImages
    from rootless.images.gc.remove import Removal
    from rootless.logs.reader import LogRequest
    from rootless.network.options import NetworkOptions
    from rootless.rootfs.lower import Lower
    from rootless.spec.exec_options import ExecOptions
    from rootless.spec.options import ContainerOptions, ResourceLimits, RestartPolicy
    from rootless.spec.storage_driver import StorageDriver
    from rootless.supervisor.foreground import Outcome, Resumed


class Engine(ContainerStore):
    """The operations on one store. It keeps nothing open; several engines may use one store.

    Args:
        root: The store; by default $ROOTLESS_ROOT, else below $XDG_DATA_HOME.
        runroot: Sockets and locks; by default $ROOTLESS_RUNROOT, else below $XDG_RUNTIME_DIR.
        debug: Print each step of a start on standard error.
        storage_driver: For containers whose options name none; by default
            $ROOTLESS_STORAGE_DRIVER, else unionfs.
        environ: The caller's environment, by default that of the process.
    """

    def __init__(
        self,
        *,
        root: str | os.PathLike[str] | None = None,
        runroot: str | os.PathLike[str] | None = None,
        debug: bool = False,
        storage_driver: StorageDriver | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root=root, runroot=runroot, environ=environ)
        self._debug = debug
        self._storage_driver = storage_driver

    # Containers.

    def run(
        self,
        options: ContainerOptions,
        *,
        progress: ShowProgress | None = None,
        recording: str = "",
        adapt: Callable[[ContainerOptions, Lower], ContainerOptions] | None = None,
    ) -> Outcome:
        """Run a container in the foreground, connected to this process's standard streams, to its
        end. An image that is not in the store is pulled; `progress` is called if so. Its shell records
        what is typed in the directory `recording`, made by `rootless.recording.shell.make_recording`;
        `adapt` changes the options when the image is known.

        A process with several threads starts the container more slowly, because it may not fork.
        Signals are passed on in the main thread only. Raises RootlessError if the container could not
        be started.
        """
        return self._new.run(options, progress=progress, recording=recording, adapt=adapt)

    def run_in_place(
        self,
        options: ContainerOptions,
        *,
        progress: ShowProgress | None = None,
        adapt: Callable[[ContainerOptions, Lower], ContainerOptions] | None = None,
    ) -> int:
        """Become the container's command: the calling process is replaced by it, with its PID, descriptors,
        session and ignored signals. Its container is removed at its end.

        This is not possible with a PID namespace, a terminal of the container's own, a volume, or several
        threads: then it does what `run` does, and returns the status. `adapt` changes the options when the
        image is known.

        Raises RootlessError if the container could not be started; after that no module can be imported.
        """
        return self._new.run_in_place(options, progress=progress, adapt=adapt)

    def create(
        self, options: ContainerOptions, *, progress: ShowProgress | None = None
    ) -> ContainerRecord:
        """Make a container and start none of its processes. Raises RootlessError."""
        return self._new.create(options, progress=progress)

    def run_detached(
        self,
        options: ContainerOptions,
        *,
        progress: ShowProgress | None = None,
        created: Callable[[ContainerRecord], None] | None = None,
    ) -> ContainerRecord:
        """Create a container and start it; it outlives the caller. `created` is called before the start.

        Raises RootlessError. A container whose command cannot be executed stays, with status created.
        """
        return self._new.run_detached(options, progress=progress, created=created)

    def start(self, name: str) -> None:
        """Start a container that does not run. Raises NotFoundError, ConflictError for one that is
        paused, LaunchError if its command cannot be executed.
        """
        from rootless.engine.lifecycle.starting import start

        start(self.paths, self._container(name))

    def begin_stop(
        self, name: str, *, signal: int | None = None, timeout: int | None = None
    ) -> Callable[[], None]:
        """Begin to stop a container; returns a function that waits for its end.

        Args:
            signal: By default the container's stop signal.
            timeout: Seconds until SIGKILL follows; -1 for never, by default the container's own or 10.

        Raises:
            NotFoundError: there is no such container.
        """
        from rootless.engine.lifecycle import verbs

        record = self._container(name)
        ending = verbs.begin_stop(self.paths, record, number=signal, timeout=timeout)

        def finish() -> None:
            if ending is not None:
                ending.wait()

        return finish

    def stop(self, name: str, *, signal: int | None = None, timeout: int | None = None) -> None:
        """Stop a container and wait for its end; see `begin_stop`."""
        self.begin_stop(name, signal=signal, timeout=timeout)()

    def begin_restart(
        self, name: str, *, signal: int | None = None, timeout: int | None = None
    ) -> Callable[[], None]:
        """Begin to stop a container and to start it again; returns a function that waits until it is started.
        The arguments are those of `begin_stop`.
        """
        from rootless.engine.lifecycle import verbs

        record = self._container(name)
        return verbs.begin_restart(self.paths, record, number=signal, timeout=timeout)

    def restart(self, name: str, *, signal: int | None = None, timeout: int | None = None) -> None:
        """Stop a container, if it runs, and start it; see `begin_stop`."""
        self.begin_restart(name, signal=signal, timeout=timeout)()

    def rollback(self, name: str, tag: str, *, stop: bool = False, force: bool = False) -> None:
        """Give a container the files of its snapshot `tag`. What it has written since is lost. One that runs is stopped
        first with `stop`, and killed with `force`; it is not started again.

        Raises NotFoundError, InUseError if it runs and neither is set.
        """
        from rootless.containers.status import ALIVE
        from rootless.engine import snapshots

        record = self._container(name)
        snapshots.require_tag(record, self.paths, tag)
        if (stop or force) and record.status in ALIVE:
            if record.auto_remove:
                raise snapshots.removed_at_end(record)
            self.stop(record.id, timeout=0 if force else None)
            record = self._container(record.id)
        snapshots.roll_back(record, self.paths, tag)

    def kill(self, name: str, signal: int) -> None:
        """Send a signal to the first process of a container. Raises NotFoundError, ConflictError if it
        does not run.
        """
        from rootless.engine.lifecycle import verbs

        verbs.kill(self.paths, self._container(name), signal)

    def wait(self, name: str, resumed: ResumedWait | None = None) -> int:
        """Wait for the end of a container; returns its exit status. `resumed` is for the command line, whose
        process may stand by. Raises NotFoundError.
        """
        from rootless.engine.lifecycle import verbs

        return verbs.wait(self.paths, self._container(name), resumed)

    def wait_for(self, name: str, conditions: Conditions, *, interval: float = 0.25) -> int:
        """Wait until a container has a status or a health; returns its exit status if it has ended, else -1.
        `interval`: seconds between checks. Raises NotFoundError, and ConflictError if it has ended and
        `conditions` has only healths.
        """
        from rootless.engine.lifecycle.conditions import wait_for

        return wait_for(self.paths, self._container(name), conditions, interval=interval)

    def pause(self, name: str) -> None:
        """Stop all processes of a container. Raises NotFoundError, ConflictError."""
        from rootless.containers.status import Verb
        from rootless.engine.lifecycle import verbs

        verbs.request(self.paths, self._container(name), Verb.PAUSE)

    def unpause(self, name: str) -> None:
        """Resume the processes of a paused container. Raises NotFoundError, ConflictError."""
        from rootless.containers.status import Verb
        from rootless.engine.lifecycle import verbs

        verbs.request(self.paths, self._container(name), Verb.UNPAUSE)

    def upgrade_server(self, name: str) -> None:
        """Replace the file server of a running container by one of this release. Raises NotFoundError,
        ConflictError, and RootlessError if its monitor or the kernel cannot do that."""
        from rootless.engine.lifecycle.verbs import upgrade_server

        upgrade_server(self.paths, self._container(name))

    def update(
        self, name: str, limits: ResourceLimits, restart: RestartPolicy | None = None
    ) -> None:
        """Set the limits that are not zero, and the restart policy unless it is None, also of a running
        container. Raises NotFoundError, UsageError, and HostSupportError for a limit that cannot be enforced;
        then nothing has changed.
        """
        from rootless.engine.lifecycle.update import update

        record = self._container(name)
        update(self.paths, record, limits, restart)
        self._report(record, "update")

    def check_health(self, name: str) -> bool:
        """Check the health of a container now; returns whether the check succeeded.

        Raises NotFoundError, ConflictError if it does not run, RootlessError if it has no health check.
        """
        from rootless.engine.lifecycle import verbs

        return verbs.check_health(self.paths, self._container(name))

    def run_captured(self, options: ContainerOptions) -> Completed:
        """Run a container to its end, without standard input, and return its status and its output. It is
        removed if `options.remove` is set. Raises RootlessError if it could not be started.
        """
        from rootless.engine.captured import run_captured

        return run_captured(self, options)

    def try_(
        self,
        *,
        on: Sequence[str] = (),
        through: Sequence[str] = (),
        hide: Sequence[str] = (),
        network: NetworkOptions | None = None,
        name: str | None = None,
        keep: bool = False,
        trace: bool = False,
    ) -> TrySession:
        """A layer over the host's files for a `with` block. Commands of the session change the layer, not the
        files. It is dropped at the end, with the changes that were not applied, unless `keep` is set.

        Args:
            on: Directories that are copy on write, while the rest is read-only; none for all.
            through: Files and directories that are changed on the host itself.
            hide: Paths that appear empty, besides those in the lists of the user and of the site.
            network: By default the host's.
            name: The name of the container.
            trace: Record which files the commands read, list and look for.

        Raises RootlessError if it cannot be started.
        """
        from rootless.engine.try_session import start_session

        return start_session(
            self,
            on,
            through,
            hide,
            network=network,
            name=name,
            keep=keep,
            trace=trace,
            environ=self._environ,
        )

    def slim(self, request: SlimRequest) -> SlimImage:
        """Make an image of the files of another one that commands use. They run traced, and again in the new
        image, where they must end with the same status; else nothing is kept. The calling process must have one
        thread.

        Raises NotFoundError, UsageError, and RootlessError if a command ends otherwise in the new image.
        """
        from rootless.engine.slim_image import slim

        made = slim(self, self._environ, request)
        self._image_events().of_image("tag", made.id, made.tag)
        return made

    def exec_captured(self, name: str, options: ExecOptions, data: bytes = b"") -> Completed:
        """As `exec`, with `data` as the standard input of the command; returns its status and its output.
        The caller may have several threads.
        """
        from rootless.engine.captured import exec_captured

        return exec_captured(self.paths, name, options, data)

    def exec(self, name: str, options: ExecOptions) -> int:
        """Run a command in a running container, connected to this process's standard streams, and
        return its exit status: 128+n when signal n ended it, 0 at once with `detach`.

        Raises NotFoundError, ConflictError if the container does not run or is paused, NotATerminalError,
        and LaunchError if the command could not be executed.
        """
        from rootless.engine.exec_in_container import exec_in_container

        if options.terminal and options.interactive and not options.detach and not os.isatty(0):
            raise NotATerminalError("the input device is not a TTY")
        return exec_in_container(name, options, self.paths)

    def top(self, name: str, options: Sequence[str] = ()) -> ProcessTable:
        """The processes of a running container as ps(1) lists them: as -ef without `options`.

        Raises NotFoundError, ConflictError if the container does not run, UsageError if ps does not take
        the options.
        """
        from rootless.containers.processes.top import list_processes

        record = self._container(name)
        processes = list_processes(record, self.paths.containers.directory(record.id), options)
        self._report(record, "top")
        return processes

    def container_usage(
        self, names: Sequence[str] = (), *, everything: bool = False
    ) -> list[SampledContainer]:
        """The current resource usage of containers: of `names`, else of those that run, or of all with
        `everything`, newest first. Raises NotFoundError.
        """
        from rootless.containers.processes.usage import SampledContainer, sample

        found = [(name, self._container(name)) for name in names]
        if not names:
            found = [(each.id[:12], each) for each in self.find_containers(everything=everything)]
        directory = self.paths.containers.directory
        return [
            SampledContainer(name, each, sample(each, directory(each.id))) for name, each in found
        ]

    def attach(
        self,
        name: str,
        *,
        stdin: bool = True,
        signals: bool = True,
        detach_keys: bytes = b"",
        resumed: Resumed | None = None,
    ) -> Outcome:
        """Connect this process's standard streams to those of a container that runs, to its end or
        until the user detaches.

        Args:
            resumed: For the command line, whose process may stand by; as in `run_in_foreground`.

        Raises:
            NotFoundError: there is no such container.
            ConflictError: it does not run.
            RootlessError: its streams belong to another client.
            NotATerminalError: it has a terminal, and standard input is none.
        """
        from rootless.containers.status import Verb
        from rootless.engine.lifecycle import attach
        from rootless.supervisor.foreground import Attachment

        record, options = self._container_and_options(name)
        record.require(Verb.ATTACH)
        if options.terminal and stdin and not os.isatty(0):
            raise NotATerminalError("the input device is not a TTY")
        attachment = Attachment(
            stdin and options.interactive, signals=signals, detach_keys=detach_keys
        )
        return attach.attach(
            self.paths, record, attachment, terminal=options.terminal, resumed=resumed
        )

    def start_attached(
        self,
        name: str,
        *,
        stdin: bool = False,
        signals: bool = True,
        detach_keys: bytes = b"",
        resumed: Resumed | None = None,
    ) -> Outcome:
        """Start a container that does not run, connected to this process's standard output and error,
        and with `stdin` to its standard input, to its end or until the user detaches; one that runs is
        attached to. It outlives this process. `resumed`: as in `attach`.

        Raises NotFoundError, ConflictError for one that is paused, LaunchError if its command cannot be
        executed.
        """
        from rootless.engine.lifecycle import attach
        from rootless.supervisor.foreground import Attachment

        record, options = self._container_and_options(name)
        attachment = Attachment(
            stdin and options.interactive, signals=signals, detach_keys=detach_keys
        )
        return attach.start_attached(
            self.paths, record, attachment, terminal=options.terminal, resumed=resumed
        )

    def logs(
        self,
        name: str,
        request: LogRequest | None = None,
        *,
        cancelled: int | None = None,
        resumed: ResumedLog | None = None,
    ) -> Generator[tuple[int, bytes], None, None]:
        """The output of a container: pieces with the number of their stream, 1 or 2. `request` may follow it
        until the container ends or the descriptor `cancelled` becomes readable. With `resumed` the process may stand
        by meanwhile, and calls that when it continues.

        Raises NotFoundError, ConflictError while it is being removed, and RootlessError if its log driver
        keeps nothing.
        """
        from rootless.containers.status import Verb
        from rootless.engine.container_logs import container_logs

        record, options = self._container_and_options(name)
        record.require(Verb.LOGS)
        directory = self.paths.containers.directory(record.id)
        yield from container_logs(
            record, directory, options.log.driver, request, cancelled=cancelled, resumed=resumed
        )

    @property
    def _new(self) -> NewContainers:
        from rootless.engine.new_containers import NewContainers

        return NewContainers(self.paths, self._environ, self._debug, self._storage_driver)

    # The engine itself.

    @property
    def boot(self) -> Boot:
        """The operations after a boot and before a shutdown."""
        from rootless.engine.boot import Boot

        return Boot(self.paths, self._environ)

    def events(
        self,
        filters: EventFilters | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
    ) -> EventStream:
        """The events of containers, images and volumes: a stream to iterate over and to close.

        Args:
            since: Nanoseconds since the epoch: the first event. None: now, or the oldest event if `until` is
                given.
            until: Nanoseconds since the epoch: the end. None: no end.
        """
        from rootless.containers.monitored_events import MonitoredEvents
        from rootless.events.filters import EventFilters
        from rootless.events.log import EventLog

        return MonitoredEvents(
            self.paths.containers,
            EventLog(self.paths.runtime),
            filters or EventFilters(),
            since,
            until,
        )

    def examine(self) -> list[HostFinding]:
        """Test each feature of this machine that containers need, by trying it."""
        from rootless.engine.doctor.checks import examine

        return examine(self._environ, self.paths)

    def info(self) -> dict[str, Any]:
        """The document of `docker info` about this engine and machine."""
        from rootless.engine.information import information

        return information(
            self._environ,
            self.paths,
            self.containers(),
            self._store(),
            self._driver(),
            configuration=self.configuration,
        )

    # Images, where containers use them.

    def remove_image(self, name: str, *, force: bool = False) -> list[Removal]:
        """Remove a name, and the image with its last one; returns what was removed."""
        from rootless.images.gc.remove import remove

        store = self._store()
        return self._image_events().remove(
            name, lambda: remove(store, name, self.containers, force=force)
        )

    def prune_images(
        self, *, everything: bool = False, filters: PruneFilters | None = None
    ) -> PrunedImages:
        """Remove images without a name, or, with `everything`, those that no container uses."""
        from rootless.images.gc.prune import prune_images

        store = self._store()
        return self._image_events().prune(
            lambda: prune_images(store, self.containers, everything=everything, filters=filters)
        )

    def build_cache_usage(self) -> list[CacheUsage]:
        """Every step of the build cache with its size, the most recently used first."""
        from rootless.images.gc.build_cache import build_cache_usage

        return build_cache_usage(self._store())

    def prune_build_cache(
        self, *, everything: bool = False, filters: PruneFilters | None = None, keep: int = 0
    ) -> PrunedCache:
        """Remove steps of the build cache whose layers no image has, or all with `everything`, except `keep`
        bytes of the most recently used ones.
        """
        from rootless.images.gc.build_cache import prune_build_cache

        return prune_build_cache(
            self._store(), self.containers, everything=everything, filters=filters, keep=keep
        )

    def disk_usage(self) -> DiskUsage:
        """Sizes of images, containers and volumes, and how much pruning would free."""
        from rootless.engine.upkeep import disk_usage

        return disk_usage(self._store(), self.paths, self.containers())

    def check(self, *, repair: bool = False, force: bool = False) -> list[Finding]:
        """Check the store. `repair` makes damaged layers again and removes unused objects; with `force` also
        images that cannot be repaired.
        """
        from rootless.engine.upkeep import check

        return check(
            self._store(), self.paths, self.containers, self._environ, repair=repair, force=force
        )

    def _driver(self, asked: StorageDriver | None = None) -> StorageDriver:
        from rootless.spec.storage_driver import default_driver

        return asked or self._storage_driver or default_driver(self._environ)
