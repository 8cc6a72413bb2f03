"""`exec`: runs a further process in a container, in the foreground or detached."""

from __future__ import annotations

import os

from rootless.containers.events import report
from rootless.containers.exec_target import check_exec, exec_text, join_args
from rootless.containers.process_identity import is_alive, require_here
from rootless.containers.status import Status
from rootless.errors import LaunchError
from rootless.supervisor.exec import run_attached, run_detached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.spec.exec_options import ExecOptions


def exec_in_container(name: str, options: ExecOptions, paths: StoragePaths) -> int:
    """Run a process in a running container; see `Engine.exec`."""
    containers = paths.containers
    record = containers.find(name)
    require_here(record)
    if record.snapshot_each == "exec" and record.status is Status.RUNNING:
        _take_snapshot(record, paths)
    args = join_args(
        record,
        containers.directory(record.id),
        options,
        seccomp_cache=f"{paths.store}/seccomp",
        hand_over=lambda listener: _hand_over(paths.control_directory(record.id), listener),
        console_size=_console_size() if options.terminal and not options.detach else None,
    )
    try:
        events = _ExecEvents(containers, record, options.command)
        if options.detach:
            run_detached(args)
            return 0
        keys = options.detach_keys
        status = run_attached(args, interactive=options.interactive, detach_keys=keys)
        events.died(status)
        return status
    except LaunchError:
        if not is_alive(record.pid, record.pid_start):
            check_exec(record, Status.EXITED)
        raise
    finally:
        os.close(args.container)


def _take_snapshot(record: ContainerRecord, paths: StoragePaths) -> None:
    from rootless.engine.snapshots import take_snapshot
    from rootless.store.layout import Store
    from rootless.supervisor.file_servers.volume_mounts import open_volumes_at_rest

    store = Store.open(paths.store, paths.shared)
    take_snapshot(record, paths, store, "", open_volumes_at_rest)


def _hand_over(control_directory: str, listener: int) -> None:
    from rootless.supervisor.owners.hand_over import hand_over

    hand_over(control_directory, listener)


class _ExecEvents:
    """The events of one exec; the first two are written when it is made. That of its end is missing where
    the caller does not wait for it.
    """

    def __init__(
        self, containers: Containers, record: ContainerRecord, command: tuple[str, ...]
    ) -> None:
        self._containers = containers
        self._record = record
        self._attributes = {"execID": os.urandom(32).hex()}
        for action in ("exec_create", "exec_start"):
            report(containers.runtime, record, f"{action}: {exec_text(command)}", self._attributes)

    def died(self, status: int) -> None:
        attributes = {**self._attributes, "exitCode": str(status)}
        report(self._containers.runtime, self._record, "exec_die", attributes)


def _console_size() -> tuple[int, int] | None:
    from rootless.spec.gather_host import console_size

    return console_size()
