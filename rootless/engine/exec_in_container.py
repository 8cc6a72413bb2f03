"""`exec`: which process joins which container."""

from __future__ import annotations

import os

from rootless.containers.config import read_spec
from rootless.containers.events import report
from rootless.containers.process_identity import children_of, is_alive
from rootless.containers.status import Status, Verb, check_verb
from rootless.errors import LaunchError
from rootless.runtime import extensions
from rootless.runtime.join import JoinArgs
from rootless.spec.exec_options import spec_of_process
from rootless.supervisor.exec import run_attached, run_detached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.spec.exec_options import ExecOptions


def exec_in_container(name: str, options: ExecOptions, paths: StoragePaths) -> int:
    """Run a process in a running container; see `Engine.exec`."""
    containers = paths.containers
    record = containers.find(name)
    _check(record, record.status)
    spec = read_spec(containers.directory(record.id))
    pidfd = _open_process(record, spec)
    try:
        groups = _groups(record)
        size = _console_size() if options.terminal and not options.detach else None
        args = JoinArgs(
            container=pidfd,
            spec=spec_of_process(spec, options, size),
            stdio=None,
            groups=groups,
            seccomp_cache=f"{paths.store}/seccomp",
        )
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
            _check(record, Status.EXITED)
        raise
    finally:
        os.close(pidfd)


class _ExecEvents:
    """The events of one exec; the first two are written when it is made. That of its end is missing where
    the caller does not wait for it.
    """

    def __init__(
        self, containers: Containers, record: ContainerRecord, command: Sequence[str]
    ) -> None:
        self._containers = containers
        self._record = record
        self._attributes = {"execID": os.urandom(32).hex()}
        # Docker's text: the program, a blank, the arguments.
        text = f"{command[0]} {' '.join(command[1:])}"
        for action in ("exec_create", "exec_start"):
            report(containers, record, f"{action}: {text}", self._attributes)

    def died(self, status: int) -> None:
        attributes = {**self._attributes, "exitCode": str(status)}
        report(self._containers, self._record, "exec_die", attributes)


def _open_process(record: ContainerRecord, spec: Mapping[str, Any]) -> int:
    """A pidfd of the process whose namespaces are joined. Raises ConflictError if the container has
    ended.
    """
    has_init = spec.get("annotations", {}).get(extensions.INIT) == "true"
    pid = _child_of_init(record.pid) if has_init else record.pid
    try:
        pidfd = os.pidfd_open(pid)
    except (ValueError, OSError):
        _check(record, Status.EXITED)
        raise
    # After it was opened: the number may have been used again before, but not since.
    is_child = not has_init or _child_of_init(record.pid) == pid
    if not (is_child and is_alive(record.pid, record.pid_start)):
        os.close(pidfd)
        _check(record, Status.EXITED)
    return pidfd


def _child_of_init(pid: int) -> int:
    """The command that an init of the engine's has started, 0 if it has ended. setns(2) does not take the
    init: it has not executed a program since the clone, and is not dumpable (ptrace(2), "Ptrace access
    mode checking").
    """
    # The command comes first, then the orphans that the init has been given.
    return next(iter(children_of(pid)), 0)


def _check(record: ContainerRecord, status: Status) -> None:
    """Raises ConflictError if a container in `status` does not allow exec."""
    check_verb(Verb.EXEC, status, container_id=record.id, name=record.name, error=record.error)


def _groups(record: ContainerRecord) -> tuple[str, ...]:
    """The container's control groups. Raises ConflictError if it is being paused, as for a commit."""
    from rootless.cgroups.membership import groups_of, is_frozen

    groups = groups_of(record.pid)
    if groups and is_frozen(groups[0]):
        _check(record, Status.PAUSED)
    return groups


def _console_size() -> tuple[int, int] | None:
    """Rows and columns of the caller's terminal."""
    for descriptor in (1, 0, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        return size.lines, size.columns
    return None
