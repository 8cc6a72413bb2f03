"""Makes containers and starts them: `run` and `create`. `rootless.engine.engine.Engine` has the same as methods;
commands import this module, which is smaller.
"""

from __future__ import annotations

import os

from rootless import module_packs
from rootless.errors import NotATerminalError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, TypeAlias

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.engine.pull_in_child import ShowProgress
    from rootless.ranks.rank import Rank
    from rootless.ranks.recipe import Claim
    from rootless.rootfs.lower import Lower
    from rootless.spec.options import ContainerOptions
    from rootless.spec.storage_driver import StorageDriver
    from rootless.supervisor.ahead import MonitorAhead
    from rootless.supervisor.file_servers.claim import ServerClaim
    from rootless.supervisor.foreground import Outcome, Resumed
    from rootless.supervisor.start import StartedMonitor

    Adapt: TypeAlias = Callable[[ContainerOptions, Lower], ContainerOptions]


class NewContainers(NamedTuple):
    """New containers of one store. The fields are the arguments of an Engine."""

    paths: StoragePaths
    environ: Mapping[str, str]
    debug: bool = False
    storage_driver: StorageDriver | None = None

    def run(
        self,
        options: ContainerOptions,
        *,
        progress: ShowProgress | None = None,
        recording: str = "",
        adapt: Adapt | None = None,
        preserved: tuple[int, ...] = (),
        resumed: Resumed | None = None,
        ahead: MonitorAhead | None = None,
    ) -> Outcome:
        """As Engine.run. `preserved`: descriptors that the command gets by their numbers, beside the standard streams; this
        process must have one thread. `resumed`: as in `run_in_foreground`. `ahead`: a monitor that is taken if it is of the
        kind that the options ask for.
        """
        from rootless.supervisor.start import start_monitor

        streams = options.attach
        stdin = options.interactive and streams.stdin
        if options.terminal and stdin and not os.isatty(0):
            raise NotATerminalError("the input device is not a TTY")
        # It imports what it needs while this process imports the rest of what it needs itself.
        forks_server, claim = self._server_ahead(options)
        started = _taken(ahead, forks_server) or start_monitor(
            debug=self.debug, forks_server=forks_server, claim=claim
        )
        module_packs.load(module_packs.PREPARE)
        from rootless.supervisor.foreground import Attachment, run_in_foreground

        attachment = Attachment(
            stdin,
            streams.stdout,
            streams.stderr,
            signals=options.signals,
            detach_keys=options.detach_keys,
            job_control=options.job_control,
        )
        return run_in_foreground(
            started,
            lambda monitor: self._prepare(
                options, progress, monitor=monitor, recording=recording, adapt=adapt
            )._replace(preserved=preserved),
            attachment,
            terminal=options.terminal,
            resumed=resumed,
        )

    def run_in_place(
        self,
        options: ContainerOptions,
        *,
        progress: ShowProgress | None = None,
        adapt: Adapt | None = None,
    ) -> int:
        """As Engine.run_in_place."""
        module_packs.load(module_packs.IN_PLACE)
        from rootless.spec.options import Bind, Tmpfs
        from rootless.spec.storage_driver import StorageDriver
        from rootless.supervisor.start import has_one_thread

        options = options._replace(remove=True)
        if (
            options.namespaces.pid
            or options.terminal
            or options.volumes_from
            or not all(isinstance(each, Bind | Tmpfs) for each in options.mounts)
            or not has_one_thread()
        ):
            return self.run(options, progress=progress, adapt=adapt).status
        from rootless.supervisor.in_place import run_in_place

        options = options._replace(storage_driver=StorageDriver.UNIONFS)
        forks_server, claim = self._server_ahead(options)

        def prepare(monitor: int) -> LaunchDescription:
            module_packs.load(module_packs.PREPARE)
            return self._prepare(options, progress, monitor=monitor, adapt=adapt)

        return run_in_place(prepare, debug=self.debug, forks_server=forks_server, claim=claim)

    def create(
        self, options: ContainerOptions, *, progress: ShowProgress | None = None
    ) -> ContainerRecord:
        """As Engine.create."""
        return self._prepare(options, progress, monitor=0).record

    def run_detached(
        self,
        options: ContainerOptions,
        *,
        progress: ShowProgress | None = None,
        created: Callable[[ContainerRecord], None] | None = None,
        caller_ends: bool = False,
        preserved: tuple[int, ...] = (),
        ahead: MonitorAhead | None = None,
    ) -> ContainerRecord:
        """As Engine.run_detached. `caller_ends`: as in `rootless.supervisor.background`, `preserved` and `ahead` as in `run`."""
        from rootless.spec.options import Streams
        from rootless.supervisor.background import run_in_background

        options = options._replace(attach=Streams(stdin=False, stdout=False, stderr=False))
        forks_server, claim = self._server_ahead(options)

        def prepare(monitor: int) -> LaunchDescription:
            module_packs.load(module_packs.PREPARE)
            module_packs.load(module_packs.DETACHED)
            description = self._prepare(options, progress, monitor=monitor)
            return description._replace(preserved=preserved)

        return run_in_background(
            prepare,
            created,
            debug=self.debug,
            forks_server=forks_server,
            claim=claim,
            caller_ends=caller_ends,
            started=_taken(ahead, forks_server),
        )

    def run_joined(
        self,
        options: ContainerOptions,
        rank: Rank,
        *,
        progress: ShowProgress | None = None,
        claim: Claim | None = None,
    ) -> NoReturn:
        """Become one of the processes that share a container, which the first of them makes. `claim` is of the recipe
        that has been written for them. Raises RootlessError.
        """
        from rootless.engine.join_container import run_joined
        from rootless.spec.options import Streams

        options = options._replace(attach=Streams(stdin=False, stdout=False, stderr=False))

        def start(describe: Callable[[int], LaunchDescription]) -> ContainerRecord:
            module_packs.load(module_packs.AHEAD)
            module_packs.load(module_packs.RUN)
            from rootless.supervisor.background import run_in_background

            forks_server, server = self._server_ahead(options)
            return run_in_background(
                describe, None, debug=self.debug, forks_server=forks_server, claim=server
            )

        def prepare(monitor: int) -> LaunchDescription:
            module_packs.load(module_packs.PREPARE)
            return self._prepare(options, progress, monitor=monitor)

        run_joined(options, rank, self.paths, prepare, start, claim=claim)

    def _server_ahead(self, options: ContainerOptions) -> tuple[bool, ServerClaim | None]:
        """Whether the monitor forks a file server of the container before it knows what that serves, and the claim with
        which it forks one of a shared image instead.
        """
        from rootless.spec.storage_driver import StorageDriver

        if options.in_place:
            return False, None
        if not options.read_only and self._driver(options) is not StorageDriver.OVERLAY:
            return True, None
        from rootless.supervisor.file_servers.claim import claim_first_server

        single = False
        if options.userns.single:
            from rootless.runtime.account import read_id_maps
            from rootless.supervisor.file_servers.claim import has_single_servers

            single = has_single_servers(read_id_maps(options.userns))
        return False, claim_first_server(self.paths.runtime, single=single)

    def _driver(self, options: ContainerOptions) -> StorageDriver:
        from rootless.spec.storage_driver import default_driver

        return options.storage_driver or self.storage_driver or default_driver(self.environ)

    def _prepare(
        self,
        options: ContainerOptions,
        progress: ShowProgress | None,
        *,
        monitor: int,
        recording: str = "",
        adapt: Adapt | None = None,
    ) -> LaunchDescription:
        from rootless.engine.preparation.prepare import prepare

        if options.replace and options.name is not None:
            from rootless.containers.remove import remove_named

            remove_named(self.paths, options.name)
        return prepare(
            options,
            self.paths,
            self.environ,
            self._driver(options),
            progress,
            monitor=monitor,
            recording=recording,
            adapt=adapt,
        )


def _taken(ahead: MonitorAhead | None, forks_server: bool) -> StartedMonitor | None:
    """The monitor that has been started ahead, if it is what is wanted: one with a file server of its own."""
    if ahead is None:
        return None
    if forks_server:
        return ahead.take()
    ahead.abandon()
    return None
