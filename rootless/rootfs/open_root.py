"""Calls a function with the root directory of a container, as the container sees it with its mounts.

The function runs in a process of the engine that has the container's user namespace, and so its ids,
but keeps the host's root directory: what it loads, it loads from the host (CVE-2019-14271).

* Of a running container a second process joins the mount namespace, opens the root and sends the
  descriptor.
* Of any other, `stopped_root` mounts the union and serves it for the time of the call.
"""

from __future__ import annotations

import os

from rootless.containers.config import id_maps_of, read_spec
from rootless.containers.launch_description import log_of
from rootless.containers.status import ALIVE
from rootless.durable import locked
from rootless.errors import RootlessError
from rootless.run_in_child import run_in_child
from rootless.syscalls import descriptors
from rootless.syscalls.processes import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    PR_SET_DUMPABLE,
    prctl,
    setns,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.rootfs.stopped_root import OpenVolumes
    from rootless.runtime.idmap import IdMaps
    from rootless.store.layout import Store

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def call_with_root(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    function: Callable[[int, IdMaps], int],
    open_volumes: OpenVolumes,
) -> int:
    """Return what `function` returns, called in another process with a descriptor of the container's root and the
    container's maps. The caller must have one thread. Raises RootlessError, and what `function` raises.
    `open_volumes` is called for a container that does not run and has volumes.
    """
    directory = paths.containers.directory(record.id)
    maps = id_maps_of(directory)
    if record.status not in ALIVE:
        # The monitor holds the lock from before its file server opens the files until the record says
        # that the container runs.
        with locked(log_of(directory)):
            record = paths.containers.read(record.id)
            if record.status not in ALIVE:
                from rootless.rootfs.stopped_root import call_with_stopped_root

                return call_with_stopped_root(
                    record, paths, store, maps, function, open_volumes=open_volumes
                )
    return run_in_child(lambda: _in_running(record, read_spec(directory), maps, function))


def _in_running(
    record: ContainerRecord,
    spec: Mapping[str, Any],
    maps: IdMaps,
    function: Callable[[int, IdMaps], int],
) -> int:
    from rootless.containers.exec_target import open_process

    # Users of the container's namespace could trace this process if it were dumpable.
    prctl(PR_SET_DUMPABLE, 0)
    try:
        pidfd = open_process(record, spec)
        own_end, other_end = descriptors.pair()
        pid = os.fork()
        if pid == 0:
            _send_root(pidfd, other_end)
        other_end.close()
        _, received = descriptors.receive(own_end, 16, 1)
        os.waitpid(pid, 0)
        if not received:
            raise RootlessError(f"cannot enter container {record.name}", hint="try again")
        setns(pidfd, CLONE_NEWUSER)
    except ProcessLookupError:
        raise RootlessError(f"container {record.name} ended meanwhile", hint="try again") from None
    os.umask(0)
    return function(received[0], maps)


def _send_root(pidfd: int, end: socket.socket) -> None:
    """The program of the process that joins the mount namespace. Never returns."""
    try:
        setns(pidfd, CLONE_NEWUSER | CLONE_NEWNS)
        descriptors.send(end, b"root", [os.open("/", _DIRECTORY)])
    finally:
        os._exit(0)
