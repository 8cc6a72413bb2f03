"""Snapshots of a container's writable layer: takes one, rolls back to one, and makes a container over one."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from rootless.containers.create import create_container
from rootless.containers.directory import new_container_id
from rootless.containers.launch_description import log_of
from rootless.containers.launch_document import NAME as LAUNCH
from rootless.containers.options_document import NAME as OPTIONS
from rootless.containers.record import IN_DIRECTORY, IN_MEMORY
from rootless.containers.status import ALIVE, Status
from rootless.containers.timestamps import now
from rootless.containers.writable_layers.place import cannot_freeze, layer_directory
from rootless.durable import locked
from rootless.errors import (
    ConflictError,
    ExistsError,
    HostSupportError,
    InUseError,
    NotFoundError,
    RootlessError,
    UsageError,
)
from rootless.light_json import dumps, loads
from rootless.snapshots import steps
from rootless.snapshots.layers import DIRECTORY, chain_of, layer_path, new_layer_id
from rootless.snapshots.record import COMMANDS_LOCK, Snapshot, SnapshotRecord, Span
from rootless.spec import etc_files
from rootless.spec.storage_driver import StorageDriver
from unionfs.session.counters import FREEZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.rootfs.stopped_root import OpenVolumes
    from rootless.runtime.idmap import IdMaps
    from rootless.store.layout import Store

_TAG = 128
_COPIED = ("config.json", LAUNCH, OPTIONS, *etc_files.NAMES)
_OF_REMOVED = {LAUNCH: "volatile", OPTIONS: "remove"}
"""What documents say of a container that is removed at its end: a branch stays."""
_MOUNT_POINTS = ("lower", "rootfs")


def list_snapshots(record: ContainerRecord, paths: StoragePaths) -> list[Snapshot]:
    """The snapshots of a container, the oldest first."""
    return list(steps.read_record(paths.containers.directory(record.id)).snapshots)


def take_snapshot(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    tag: str,
    open_volumes: OpenVolumes,
) -> Snapshot:
    """Freeze the writable layer of a container; an empty tag takes the next free number. The caller must have one thread.

    Raises:
        UsageError: the tag is none.
        ExistsError: it is taken.
        RootlessError: the container has no writable layer that can be frozen, or the disk is full.
    """
    from rootless.rootfs.open_root import call_with_root

    directory = paths.containers.directory(record.id)
    _require_usable(record, directory)

    def freeze(root: int, _maps: IdMaps) -> int:
        try:
            if record.status in ALIVE:
                from rootless.containers.processes.pause import write_out_from

                write_out_from(root, record)
            os.getxattr(f"/proc/self/fd/{root}", FREEZE + snapshot.layer.encode())
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise RootlessError(
                f"cannot take a snapshot of container {record.name}: {reason}"
            ) from error
        return 0

    with locked(f"{directory}/{COMMANDS_LOCK}"):
        known = steps.read_record(directory)
        tag = _checked(tag) if tag else _next_tag(known)
        if known.find(tag) is not None:
            raise ExistsError(
                f"container {record.name} has a snapshot {tag} already", hint="choose another tag"
            )
        snapshot = Snapshot(tag, new_layer_id(), now())
        steps.begin(directory, paths.store, snapshot)
        try:
            call_with_root(record, paths, store, freeze, open_volumes)
        except BaseException:
            steps.give_up(directory, paths.store)
            raise
    return snapshot


def roll_back(record: ContainerRecord, paths: StoragePaths, tag: str) -> None:
    """Give a container that does not run the files of a snapshot; what was written since is lost.

    Raises:
        NotFoundError: it has no snapshot of this tag.
        InUseError: it runs.
    """
    directory = paths.containers.directory(record.id)
    with locked(f"{directory}/{COMMANDS_LOCK}"), locked(log_of(directory)):
        record = paths.containers.read(record.id)
        snapshot = find_snapshot(record, paths, tag)
        if record.status in ALIVE:
            raise InUseError(
                f"container {record.name} is {record.status.value}: a rollback would change its files under its processes",
                hint="stop it first, or use --stop or --force",
            )
        steps.roll_back(directory, paths.store, snapshot)


def remove_snapshots(record: ContainerRecord, paths: StoragePaths, tags: Sequence[str]) -> None:
    """Remove snapshots of a container. Raises NotFoundError, and then removes none, if it has not all of them."""
    from rootless.snapshots.layers import sweep

    directory = paths.containers.directory(record.id)
    with locked(f"{directory}/{COMMANDS_LOCK}"):
        found = [find_snapshot(record, paths, tag) for tag in tags]
        steps.forget(directory, paths.store, found)
    sweep(paths.store)


def find_snapshot(record: ContainerRecord, paths: StoragePaths, tag: str) -> Snapshot:
    """The snapshot of a container with this tag. Raises NotFoundError."""
    found = steps.read_record(paths.containers.directory(record.id)).find(tag)
    if found is None:
        raise NotFoundError(
            f"container {record.name} has no snapshot {tag}",
            hint=f"list them: rootless snapshots {record.name}",
        )
    return found


def span_of(record: ContainerRecord, paths: StoragePaths, since: str, until: str) -> Span:
    """From one snapshot of a container to another, by their tags; empty for its beginning, and for now.

    Raises NotFoundError, UsageError if the one does not lie below the other.
    """
    older = find_snapshot(record, paths, since).layer if since else ""
    newer = find_snapshot(record, paths, until).layer if until else ""
    if older:
        head = newer or steps.read_record(paths.containers.directory(record.id)).head
        if older == newer or older not in chain_of(paths.store, head):
            later = f"snapshot {until}" if until else "what it is now"
            raise UsageError(
                f"{later} of container {record.name} was not made from snapshot {since}",
                hint="name the earlier one first",
            )
    return Span(older, newer)


def require_tag(record: ContainerRecord, paths: StoragePaths, tag: str) -> None:
    """Raises NotFoundError if the container has no snapshot of this tag."""
    find_snapshot(record, paths, tag)


def removed_at_end(record: ContainerRecord) -> ConflictError:
    """Why a container is not stopped for a rollback."""
    return ConflictError(
        f"container {record.name} is removed when it ends (--rm): it cannot be rolled back",
        hint=f"make a container of the snapshot: rootless branch {record.name}@TAG NAME",
    )


def branch(
    record: ContainerRecord, paths: StoragePaths, snapshot: Snapshot, name: str
) -> ContainerRecord:
    """Make a container like another one, with the files of one of its snapshots, which both share.

    Raises ExistsError if the name is taken, UsageError if it is none.
    """
    source = paths.containers.directory(record.id)
    made = record.without_processes()._replace(
        id=new_container_id(),
        created=now(),
        status=Status.CREATED,
        started="",
        finished="",
        exit_code=0,
        oom_killed=False,
        restart_count=0,
        stopped_by_user=False,
        auto_remove=False,
        error="",
        endpoint=None,
    )
    saved = f"{layer_path(paths.store, snapshot.layer)}/{steps.WORK}"

    def fill(directory: str) -> None:
        known = steps.read_record(source)
        at = known.snapshots.index(snapshot) + 1 if snapshot in known.snapshots else 0
        if not at:
            raise NotFoundError(f"container {record.name} has no snapshot {snapshot.tag} any more")
        inherited = SnapshotRecord(snapshot.layer, True, known.snapshots[:at])
        steps.write_record(directory, inherited)
        steps.make_upper(directory)
        steps.make_work(directory, saved)
        for each in _MOUNT_POINTS:
            os.mkdir(f"{directory}/{each}")
        _copy_documents(source, directory, record.id, made.id)

    with locked(f"{paths.store}/{DIRECTORY}/.lock"):
        return create_container(paths.containers, made, fill, name=name, cidfile=None)


def _copy_documents(source: str, target: str, old: str, new: str) -> None:
    """Copy what else the directory of a container holds, with the new id in the place of the old."""
    for name in _COPIED:
        path = f"{source}/{name}"
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue
        data = data.replace(old.encode(), new.encode())
        data = data.replace(old[:12].encode(), new[:12].encode())
        if name in _OF_REMOVED:
            document = loads(data)
            document.pop(_OF_REMOVED[name], None)
            data = dumps(document) + b"\n"
        with open(f"{target}/{name}", "wb") as file:
            file.write(data)
        shutil.copymode(path, f"{target}/{name}")


def _require_usable(record: ContainerRecord, directory: str) -> None:
    """Raises RootlessError for a container whose writable layer cannot be frozen."""
    name = f"container {record.name}"
    if record.storage_driver == StorageDriver.OVERLAY.value:
        raise HostSupportError(
            f"{name} uses the storage driver overlay: the kernel cannot freeze its writable layer",
            hint="create it with --storage-driver unionfs",
        )
    if record.layer == IN_MEMORY:
        raise cannot_freeze(name, "memory", "create it without --writable-tmpfs")
    if record.layer != IN_DIRECTORY:
        raise cannot_freeze(name, layer_directory(directory), None)


def _checked(tag: str) -> str:
    """The tag, by the grammar of the tags of images. Raises UsageError."""
    plain = tag.replace("_", "").replace(".", "").replace("-", "")
    if len(tag) > _TAG or tag[0] in ".-" or not (plain.isalnum() and plain.isascii()):
        raise UsageError(
            f"invalid tag {tag!r}: only [a-zA-Z0-9_][a-zA-Z0-9_.-]* of at most {_TAG} characters is allowed"
        )
    return tag


def _next_tag(record: SnapshotRecord) -> str:
    number = len(record.snapshots) + 1
    while record.find(str(number)) is not None:
        number += 1
    return str(number)
