"""The commands about volumes, each over the volumes of one store and the containers that use them."""

from __future__ import annotations

from pathlib import Path

from rootless.containers.timestamps import now
from rootless.containers.volumes.events import report_volumes
from rootless.containers.volumes.users import volume_users
from rootless.errors import InUseError, InvalidDocumentError, NotFoundError
from rootless.events.event import EventType
from rootless.filters import VolumeFilters
from rootless.images.events import report_prune
from rootless.images.gc.usage import tree_size
from rootless.volumes.names import new_name
from rootless.volumes.record import ANONYMOUS_LABEL, VolumeRecord
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.containers.storage_paths import StoragePaths


class PrunedVolumes(NamedTuple):
    """Names of the removed volumes, and the bytes of disk that were freed."""

    names: list[str]
    reclaimed: int


class VolumeUsage(NamedTuple):
    """`links`: how many containers mount it. `size` is bytes on disk."""

    record: VolumeRecord
    links: int
    size: int


def create_volume(
    paths: StoragePaths, name: str, labels: Mapping[str, str], options: Mapping[str, str]
) -> VolumeRecord:
    """Make a volume, under a random name where none is given; one that is there is left as it is."""
    if not name:
        labels = {**labels, ANONYMOUS_LABEL: ""}
        name = new_name()
    asked = VolumeRecord(name, now(), labels, options)
    record = paths.volumes.create(asked)
    if record is asked:
        report_volumes(paths.runtime, "create", [name])
    return record


def list_volumes(paths: StoragePaths, filters: VolumeFilters) -> list[VolumeRecord]:
    """The volumes that pass the filters, sorted by name."""
    users = volume_users(paths.containers) if filters.dangling is not None else {}
    return [
        record
        for record in paths.volumes.all()
        if filters.match(record.name, record.labels, in_use=record.name in users)
    ]


def inspect_volume(paths: StoragePaths, name: str) -> dict[str, Any]:
    """The document of `docker volume inspect`. Raises NotFoundError, InvalidDocumentError."""
    record = paths.volumes.find(name)
    return {
        "CreatedAt": f"{record.created[:19]}Z",  # whole seconds, as docker has it
        "Driver": "local",
        "Labels": dict(sorted(record.labels.items())) or None,
        "Mountpoint": paths.volumes.mountpoint(name),
        "Name": record.name,
        "Options": dict(sorted(record.options.items())) or None,
        "Scope": "local",
    }


def remove_volume(paths: StoragePaths, name: str, *, force: bool) -> None:
    """Remove a volume, also one whose record is damaged. Raises NotFoundError, unless `force` is set, and
    InUseError if a container uses it.
    """
    try:
        paths.volumes.find(name)
    except NotFoundError:
        if force:
            return
        raise
    except InvalidDocumentError:
        pass
    users: dict[str, list[str]] = {}

    def in_use() -> dict[str, list[str]]:
        users.update(volume_users(paths.containers))
        return users

    removed = paths.volumes.remove([name], in_use)
    report_volumes(paths.runtime, "destroy", removed)
    if not removed and name in users:
        raise InUseError(f"remove {name}: volume is in use - [{', '.join(users[name])}]")


def prune_volumes(
    paths: StoragePaths, filters: VolumeFilters, *, everything: bool
) -> PrunedVolumes:
    """Remove volumes that no container uses: anonymous ones, or with `everything` those with a name
    too. One with options of the driver stays, as with docker: it stands for something else.
    """
    volumes = paths.volumes
    candidates = [
        record
        for record in volumes.all()
        if (everything or record.is_anonymous)
        and record.created
        and not record.options
        and filters.match(record.name, record.labels, in_use=False)
    ]
    sizes = {each.name: tree_size(Path(volumes.directory(each.name))) for each in candidates}
    names = volumes.remove(list(sizes), lambda: volume_users(paths.containers))
    report_volumes(paths.runtime, "destroy", names)
    reclaimed = sum(sizes[name] for name in names)
    report_prune(paths, EventType.VOLUME, reclaimed)
    return PrunedVolumes(names, reclaimed)


def volume_usage(paths: StoragePaths) -> list[VolumeUsage]:
    """Every volume with its size and how many containers use it."""
    users = volume_users(paths.containers)
    return [
        VolumeUsage(
            record,
            len(users.get(record.name, ())),
            tree_size(Path(paths.volumes.mountpoint(record.name))),
        )
        for record in paths.volumes.all()
    ]
