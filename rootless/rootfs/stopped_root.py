"""The files of a container that does not run: its union is mounted in a new mount namespace, and served
for the time of one call. The bind mounts and the volumes are there; what a start makes in memory
(/proc, /sys, /dev, tmpfs) is not.
"""

from __future__ import annotations

import os

from rootless.containers.config import read_spec
from rootless.containers.launch_description import LaunchDescription
from rootless.containers.launch_document import NAME as LAUNCH
from rootless.containers.writable_layers.place import layer_of
from rootless.errors import InvalidDocumentError, LaunchError, RootlessError
from rootless.light_json import loads
from rootless.light_stdlib import signal
from rootless.rootfs.read import tree_of
from rootless.rootfs.union import open_union
from rootless.run_in_child import run_in_child
from rootless.runtime import channel
from rootless.runtime.idmap_writer import write_maps
from rootless.runtime.nested import maps_below, write_maps_below
from rootless.runtime.plan import make_plan
from rootless.runtime.steps import attributes, filesystem, overlay
from rootless.runtime.steps.context import Context
from rootless.snapshots.freezing import Freezer
from rootless.spec.options import NO_STORAGE_LIMITS, StorageLimits
from rootless.spec.storage_driver import StorageDriver
from rootless.syscalls import descriptors
from rootless.syscalls.processes import CLONE_NEWNS, CLONE_NEWUSER, setns, unshare
from unionfs.light_types import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.runtime.idmap import IdMaps
    from rootless.runtime.nested import SharedNamespace
    from rootless.runtime.steps.context import Step
    from rootless.store.layout import Store

    OpenVolumes = Callable[[LaunchDescription], "VolumeTrees"]

_DONE = b"done"
_IN_MEMORY = ("/dev/", "/proc/", "/sys/")


class VolumeTrees(Protocol):
    """The volumes of a container: detached mounts by the position of the spec's mount, and the user namespace
    that the container's has to lie below."""

    trees: dict[int, int]

    @property
    def namespace(self) -> SharedNamespace: ...

    def release(self) -> None: ...


def call_with_stopped_root(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    maps: IdMaps,
    function: Callable[[int, IdMaps], int],
    *,
    open_volumes: OpenVolumes,
) -> int:
    """As `open_root.call_with_root`, for a container that does not run. The caller holds the lock of its
    log, so that nothing else serves the files."""
    layer_of(record, paths.containers.directory(record.id))
    description = _description(record, paths, store, maps)
    if not description.has_served_mounts:
        return _with_server(description, function, None)
    volumes = open_volumes(description)
    try:
        return _with_server(description, function, volumes)
    finally:
        volumes.release()


def _description(
    record: ContainerRecord, paths: StoragePaths, store: Store, maps: IdMaps
) -> LaunchDescription:
    """As much of it as the file system needs."""
    directory = paths.containers.directory(record.id)
    return LaunchDescription(
        record=record,
        directory=directory,
        spec=read_spec(directory),
        id_maps=maps,
        tree=tree_of(record, paths, store),
        storage_driver=StorageDriver(record.storage_driver or StorageDriver.UNIONFS.value),
        storage=_storage_limits(directory),
        terminal=False,
        stop_signal=signal.SIGTERM,
        stop_timeout=None,
        cgroup_parent=None,
        seccomp_cache="",
        control_directory=paths.control_directory(record.id),
    )


def _storage_limits(directory: str) -> StorageLimits:
    """No limits for a container of a version that did not write down how it is started. Raises
    InvalidDocumentError."""
    path = f"{directory}/{LAUNCH}"
    try:
        with open(path, "rb") as file:
            return StorageLimits(**loads(file.read()).get("storage", {}))
    except FileNotFoundError:
        return NO_STORAGE_LIMITS
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{path} is damaged: {error}") from error


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
        from unionfs.session.options import ServeOptions

        os.umask(0)
        union = open_union(description)
        union.on_freeze = Freezer(union, description.directory, description.store)
        message = channel.receive(end)
        end.close()
        if message.descriptor is not None:
            options = ServeOptions(records_owners=description.id_maps.single)
            serve(message.descriptor, union, options)
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
