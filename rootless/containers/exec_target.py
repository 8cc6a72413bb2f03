"""Describes how a further process joins a container, for `exec` and for health checks."""

from __future__ import annotations

import os

from rootless.containers.config import read_spec
from rootless.containers.process_identity import children_of, is_alive
from rootless.containers.status import Status, Verb
from rootless.runtime import extensions
from rootless.runtime.join import JoinArgs
from rootless.spec.exec_options import spec_of_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.containers.record import ContainerRecord
    from rootless.spec.exec_options import ExecOptions


def join_args(
    record: ContainerRecord,
    directory: str,
    options: ExecOptions,
    *,
    seccomp_cache: str,
    hand_over: Callable[[int], None],
    console_size: tuple[int, int] | None = None,
) -> JoinArgs:
    """The arguments to join a running container; `container` of it is the caller's to close, and `stdio` is to be
    set. `directory` is the container's, `hand_over` as in JoinArgs.

    Raises ConflictError if the container does not run or is paused.
    """
    check_exec(record, record.status)
    spec = read_spec(directory)
    pidfd = open_process(record, spec)
    try:
        return JoinArgs(
            container=pidfd,
            spec=spec_of_process(spec, options, console_size),
            stdio=None,
            groups=_groups(record),
            seccomp_cache=seccomp_cache,
            hand_over=hand_over,
            preserved=options.preserved,
        )
    except BaseException:
        os.close(pidfd)
        raise


def check_exec(record: ContainerRecord, status: Status) -> None:
    """Raises ConflictError if a container in `status` does not allow exec."""
    record._replace(status=status).require(Verb.EXEC)


def exec_text(command: tuple[str, ...]) -> str:
    """A command in the events of docker: the program, a blank, the arguments."""
    return f"{command[0]} {' '.join(command[1:])}"


def open_process(record: ContainerRecord, spec: Mapping[str, Any]) -> int:
    """A pidfd of the process whose namespaces are joined. Raises ConflictError if the container has
    ended.
    """
    has_init = spec.get("annotations", {}).get(extensions.INIT) == "true"
    pid = _child_of_init(record.pid) if has_init else record.pid
    try:
        pidfd = os.pidfd_open(pid)
    except (ValueError, OSError):
        check_exec(record, Status.EXITED)
        raise
    # After it was opened: the number may have been used again before, but not since.
    is_child = not has_init or _child_of_init(record.pid) == pid
    if not (is_child and is_alive(record.pid, record.pid_start)):
        os.close(pidfd)
        check_exec(record, Status.EXITED)
    return pidfd


def _child_of_init(pid: int) -> int:
    """The command that an init of the engine's has started, 0 if it has ended. setns(2) does not take the
    init: it has not executed a program since the clone, and is not dumpable (ptrace(2), "Ptrace access
    mode checking").
    """
    # The command comes first, then the orphans that the init has been given.
    return next(iter(children_of(pid)), 0)


def _groups(record: ContainerRecord) -> tuple[str, ...]:
    """The container's control groups. Raises ConflictError if it is being paused, as for a commit."""
    from rootless.cgroups.membership import groups_of, is_frozen

    groups = groups_of(record.pid)
    if groups and is_frozen(groups[0]):
        check_exec(record, Status.PAUSED)
    return groups
