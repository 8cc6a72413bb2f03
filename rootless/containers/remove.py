"""Removes a container; one that runs only by force."""

from __future__ import annotations

import os
import sys

from rootless.containers.directory import CONTROL_SOCKET
from rootless.containers.process_identity import is_alive, start_time
from rootless.containers.reconcile import kill_and_wait, reconcile
from rootless.containers.status import Status, Verb
from rootless.errors import InUseError, NotFoundError
from rootless.light_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths

_KILL_WAIT = 10.0
"""Seconds that a monitor has to clean up after its container is killed."""


def remove_named(paths: StoragePaths, name: str) -> None:
    """Remove the container that has a name, also if it runs (--replace). No error if there is none."""
    reconcile(paths.containers)
    try:
        record = paths.containers.find(name)
    except NotFoundError:
        return
    if record.name == name.removeprefix("/"):
        control = paths.control_directory(record.id)
        remove_container(paths.containers, record, control, force=True)


def remove_container(
    containers: Containers,
    record: ContainerRecord,
    control_directory: str,
    *,
    force: bool,
    volumes: bool = False,
) -> None:
    """Remove a container; with `force` one that runs is killed first, and with `volumes` its anonymous
    volumes go too.

    A container whose record cannot be read runs if a monitor listens in its `control_directory`.

    Raises:
        ConflictError, InUseError: it has not ended, and `force` is not set.
        RootlessError: its monitor does not end.
    """
    if record.status is Status.DEAD:
        record = _as_its_monitor_has_it(record, control_directory)
    if not force:
        record.require(Verb.REMOVE)
        if record.status is Status.CREATED and is_alive(
            record.monitor_pid, record.monitor_pid_start
        ):
            raise InUseError(
                f'cannot remove container "{record.name}": it is being started',
                hint="stop it first, or use --force",
            )
    kill_and_wait(record, _KILL_WAIT)
    if volumes:
        from rootless.containers.volumes.anonymous import remove_with_volumes

        remove_with_volumes(containers, record.id)
    else:
        containers.remove(record.id)


def _as_its_monitor_has_it(record: ContainerRecord, control_directory: str) -> ContainerRecord:
    """The record, running where the process that made the control socket still listens on it."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    directory = -1
    try:
        # By a descriptor, because the path of a socket has 107 bytes at most (unix(7)).
        directory = os.open(control_directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        client.connect(f"/proc/self/fd/{directory}/{CONTROL_SOCKET}")
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        return record
    finally:
        client.close()
        if directory >= 0:
            os.close(directory)
    pid = int.from_bytes(credentials[:4], sys.byteorder)
    return record._replace(
        status=Status.RUNNING, monitor_pid=pid, monitor_pid_start=start_time(pid)
    )
