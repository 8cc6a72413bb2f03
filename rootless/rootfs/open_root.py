"""A function that is given the root directory of a container, as the container sees it with its mounts.

The function runs in a process of the engine that has the container's user namespace, and so its ids,
but keeps the host's root directory: what it loads, it loads from the host (CVE-2019-14271).

* Of a running container a second process joins the mount namespace, opens the root and sends the
  descriptor.
* Of any other, the union is mounted in a new mount namespace and served for the time of the call. The
  bind mounts are there; what a start makes in memory (/proc, /sys, /dev, tmpfs) is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rootless.containers.config import id_maps_of, read_spec
from rootless.containers.launch_description import LaunchDescription, log_of
from rootless.containers.status import ALIVE
from rootless.durable import locked
from rootless.errors import LaunchError, RootlessError
from rootless.light_stdlib import signal
from rootless.rootfs.read import tree_of
from rootless.rootfs.union import open_union
from rootless.run_in_child import run_in_child
from rootless.runtime import channel
from rootless.runtime.idmap import IdMaps
from rootless.runtime.idmap_writer import write_maps
from rootless.runtime.nested import SharedNamespace, maps_below, write_maps_below
from rootless.runtime.plan import make_plan
from rootless.runtime.steps import attributes, filesystem, overlay
from rootless.runtime.steps.context import Context
from rootless.spec.storage_driver import StorageDriver
from rootless.syscalls import descriptors
from rootless.syscalls.processes import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    PR_SET_DUMPABLE,
    prctl,
    setns,
    unshare,
)

if TYPE_CHECKING:
    import socket

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.runtime.steps.context import Step
    from rootless.store.layout import Store

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_DONE = b"done"
_IN_MEMORY = ("/dev/", "/proc/", "/sys/")


class VolumeTrees(Protocol):
    """The volumes of a container: detached mounts by the position of the spec's mount, and the user namespace
    that the container's has to lie below."""

    trees: dict[int, int]

    @property
    def namespace(self) -> SharedNamespace: ...

    def release(self) -> None: ...


OpenVolumes = Callable[[LaunchDescription], VolumeTrees]


def call_with_root(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    function: Callable[[int, IdMaps], int],
    open_volumes: OpenVolumes,
) -> int:
    """What `function` returns, called in another process with a descriptor of the container's root
    and the container's maps. The caller must have one thread. Raises RootlessError, and what
    `function` raises. `open_volumes` is called for a container that does not run and has volumes."""
    directory = paths.containers.directory(record.id)
    maps = id_maps_of(Path(directory))
    if record.status not in ALIVE:
        # The monitor holds the lock from before its file server opens the files until the record says
        # that the container runs.
        with locked(log_of(directory)):
            record = paths.containers.read(record.id)
            if record.status not in ALIVE:
                description = _description(record, paths, store, maps)
                return _call_with_servers(description, function, open_volumes)
    return run_in_child(lambda: _in_running(record, maps, function))


def _description(
    record: ContainerRecord, paths: StoragePaths, store: Store, maps: IdMaps
) -> LaunchDescription:
    """As much of it as the file system needs."""
    directory = paths.containers.directory(record.id)
    return LaunchDescription(
        record=record,
        directory=directory,
        spec=read_spec(Path(directory)),
        id_maps=maps,
        tree=tree_of(record, paths, store),
        storage_driver=StorageDriver(record.storage_driver or StorageDriver.UNIONFS.value),
        terminal=False,
        stop_signal=signal.SIGTERM,
        stop_timeout=None,
        cgroup_parent=None,
        seccomp_cache="",
        control_directory=paths.control_directory(record.id),
    )


def _call_with_servers(
    description: LaunchDescription,
    function: Callable[[int, IdMaps], int],
    open_volumes: OpenVolumes,
) -> int:
    if not description.has_served_mounts:
        return _with_server(description, function, None)
    volumes = open_volumes(description)
    try:
        return _with_server(description, function, volumes)
    finally:
        volumes.release()


def _in_running(
    record: ContainerRecord, maps: IdMaps, function: Callable[[int, IdMaps], int]
) -> int:
    # Users of the container's namespace could trace this process if it were dumpable.
    prctl(PR_SET_DUMPABLE, 0)
    try:
        pidfd = os.pidfd_open(record.pid)
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


def _with_server(
    description: LaunchDescription,
    function: Callable[[int, IdMaps], int],
    volumes: VolumeTrees | None,
) -> int:
    """Returns when the file server has written everything and has ended, however the process that
    used it did."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, "rb") as reports:
        try:
            result = run_in_child(lambda: _in_stopped(description, function, volumes, writer))
        except BaseException:
            os.close(writer)
            _check_report(reports.read(), description, or_nothing=True)
            raise
        os.close(writer)
        _check_report(reports.read(), description)
    return result


def _check_report(
    report: bytes, description: LaunchDescription, *, or_nothing: bool = False
) -> None:
    """Raises RootlessError for what the file server has reported."""
    if report != _DONE and not (or_nothing and not report):
        reason = report.decode(errors="replace") or "it was killed"
        name = description.record.name
        raise RootlessError(f"the files of container {name} cannot be served: {reason}")


def _in_stopped(
    description: LaunchDescription,
    function: Callable[[int, IdMaps], int],
    volumes: VolumeTrees | None,
    writer: int,
) -> int:
    """The program of the process that uses the file server. The mount ends with it."""
    device_end, server_end = descriptors.pair()
    if os.fork() == 0:
        device_end.close()
        _serve(description, server_end, writer)
    server_end.close()
    os.close(writer)
    _enter_namespaces(description.id_maps, None if volumes is None else volumes.namespace)
    context = Context(device_end, {} if volumes is None else volumes.trees)
    for step in _steps(description):
        step.perform(context)
    os.umask(0)
    return function(context.root, description.id_maps)


def _steps(description: LaunchDescription) -> list[Step]:
    """Those of a start that make the tree of files."""
    plan = make_plan(
        description.spec,
        rootfs=description.rootfs,
        id_maps=description.id_maps,
        bundle=description.directory,
    )
    kinds = (
        filesystem.DetachPropagation,
        filesystem.OpenSource,
        filesystem.TakeTree,
        filesystem.MountUnion,
        overlay.MountOverlay,
        attributes.BecomeSetupUser,
        filesystem.AttachSource,
        filesystem.ProtectRoot,
    )
    return [
        step
        for step in plan.steps
        if isinstance(step, kinds)
        and not (isinstance(step, filesystem.AttachSource) and step.target.startswith(_IN_MEMORY))
    ]


def _enter_namespaces(maps: IdMaps, below: SharedNamespace | None) -> None:
    """Move this process to a new user and mount namespace, of which the former lies below the given one.
    The maps are written by a process that stays outside."""
    own_end, other_end = descriptors.pair()
    parent = os.getpid()
    writer = os.fork()
    if writer == 0:
        status = 1
        try:
            own_end.close()
            if other_end.recv(16):
                if below is None:
                    write_maps(parent, maps)
                else:
                    setns(below.descriptor, CLONE_NEWUSER)
                    write_maps_below(parent, maps_below(maps, below.id_maps))
                status = 0
        except RootlessError as error:
            other_end.send(error.message.encode(errors="replace"))
        finally:
            os._exit(status)
    other_end.close()
    if below is not None:
        setns(below.descriptor, CLONE_NEWUSER)
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    own_end.send(b"unshared")
    reason = own_end.recv(4096).decode(errors="replace")
    own_end.close()
    if os.waitpid(writer, 0)[1] != 0:
        raise LaunchError(reason or "the id maps of the container could not be written")


def _serve(description: LaunchDescription, end: socket.socket, writer: int) -> None:
    """The program of the file server. Never returns."""
    report = b"it failed"
    try:
        from unionfs.session.device import serve

        os.umask(0)
        union = open_union(description)
        message = channel.receive(end)
        end.close()
        if message.descriptor is not None:
            serve(message.descriptor, union)
        else:
            union.destroy()
        report = _DONE
    except OSError as error:
        report = str(error.strerror).lower().encode()
    except RootlessError as error:
        report = error.message.encode(errors="replace")
    finally:
        os.write(writer, report)
        os._exit(0)
