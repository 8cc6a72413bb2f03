"""`container prune`, `system df` and `system check`: disk usage, and removal of unused objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rootless.containers.process_identity import is_alive, is_elsewhere
from rootless.containers.record import ContainerRecord
from rootless.containers.status import MONITORED, Status
from rootless.containers.storage_paths import StoragePaths
from rootless.containers.unpacked import UNPACKED
from rootless.containers.volumes.users import mount_names
from rootless.engine.volumes.commands import VolumeUsage, volume_usage
from rootless.errors import NotFoundError, RootlessError
from rootless.events.event import EventType
from rootless.filters import PruneFilters
from rootless.images.events import report_prune
from rootless.images.gc.build_cache import CacheUsage, build_cache_usage, cache_size
from rootless.images.gc.check import Finding, Kind, Outcome
from rootless.images.gc.check import check as check_images
from rootless.images.gc.leftovers import abandoned
from rootless.images.gc.usage import (
    ImageUsage,
    image_usage,
    images_size,
    layers_size,
    tree_size,
    unpacked_size,
)
from rootless.rootfs.sizes import written_size
from rootless.store.layout import Store

_LEFTOVER_AGE = 3600.0
"""Seconds after which a container that is still being made is taken for abandoned: to make one
takes milliseconds."""


class PrunedContainers(NamedTuple):
    """Ids of the removed containers, and the bytes of disk that were freed."""

    names: list[str]
    reclaimed: int


class ContainerUsage(NamedTuple):
    """`size` is bytes on disk of what the container has written; `volumes` how many it mounts."""

    record: ContainerRecord
    size: int
    volumes: int = 0


class DiskUsage(NamedTuple):
    """`total` is the bytes on disk of all images together, those on their way included: layers that
    several share count once. `abandoned` bytes of them are what interrupted commands left."""

    images: list[ImageUsage]
    total: int
    abandoned: int
    containers: list[ContainerUsage]
    layers: int = 0
    """Bytes of the images' layers, uncompressed, each once: what of `total` the sizes of images add up
    to. The rest is compressed copies and indexes."""
    volumes: Sequence[VolumeUsage] = ()
    build_cache: Sequence[CacheUsage] = ()
    """`total` does not count what of it no image has."""
    unpacked: int = 0
    """Bytes on disk of unpacked images, which are made again by `image unpack`."""

    @property
    def images_reclaimable(self) -> int:
        """What removing every image that no container uses, what is abandoned, and unpacked images
        would free, about."""
        unneeded = sum(each.unique for each in self.images if not each.containers)
        return unneeded + self.abandoned + self.unpacked

    @property
    def volumes_reclaimable(self) -> int:
        """The bytes of volumes that no container uses."""
        return sum(each.size for each in self.volumes if not each.links)

    @property
    def containers_reclaimable(self) -> int:
        """The bytes of containers that do not run."""
        return sum(each.size for each in self.containers if each.record.status not in MONITORED)


def prune_containers(
    paths: StoragePaths, records: Sequence[ContainerRecord], filters: PruneFilters | None = None
) -> PrunedContainers:
    """Remove every container that has ended, or has never been started. One that is being started stays."""
    containers, filters = paths.containers, filters or PruneFilters()
    names, reclaimed = [], 0
    for record in records:
        if _may_go(record) and filters.match(record.created, record.labels):
            size = tree_size(Path(containers.directory(record.id)))
            try:
                containers.remove(record.id)
            except NotFoundError:
                continue
            names.append(record.id)
            reclaimed += size
    report_prune(paths, EventType.CONTAINER, reclaimed)
    return PrunedContainers(names, reclaimed)


def _may_go(record: ContainerRecord) -> bool:
    """Whether it has neither processes nor a monitor that is starting them."""
    if is_elsewhere(record.boot, record.host) and record.monitor_pid:
        return False
    if record.status is Status.CREATED:
        return not is_alive(record.monitor_pid, record.monitor_pid_start)
    return record.status is Status.EXITED


def disk_usage(store: Store, paths: StoragePaths, records: Sequence[ContainerRecord]) -> DiskUsage:
    """Sizes of images by their layers, of containers and volumes by walking what they hold."""
    containers = paths.containers
    cache = build_cache_usage(store)
    images = image_usage(store, [image_id for record in records for image_id in record.used_images])
    return DiskUsage(
        images,
        max(0, images_size(store) - cache_size([each for each in cache if not each.is_shared])),
        sum(
            each.size
            for each in abandoned(store, idle=0)
            if not each.name.startswith(UNPACKED)  # counted as unpacked
        ),
        [
            ContainerUsage(
                record,
                written_size(record, containers.directory(record.id)),
                sum(each.is_volume for each in mount_names(containers.directory(record.id))),
            )
            for record in records
        ],
        layers_size(images, store),
        volume_usage(paths),
        cache,
        unpacked_size(store),
    )


def check(
    store: Store,
    paths: StoragePaths,
    records: Callable[[], Sequence[ContainerRecord]],
    environ: Mapping[str, str],
    *,
    repair: bool,
    force: bool,
) -> list[Finding]:
    """Check images, and look for what containers and volumes left that were killed while they were
    made or removed."""
    containers, volumes = paths.containers, paths.volumes
    found = check_images(store, records, repair=repair, force=force)
    removed = Outcome.REMOVED if repair else Outcome.NONE
    leftovers = containers.leftovers(age=_LEFTOVER_AGE, remove=repair)
    # What a container has written may be worth more than its record: only `rm` takes it away.
    dead = [record for record in containers.all() if record.status is Status.DEAD]
    volume_leftovers = volumes.leftovers(age=_LEFTOVER_AGE, remove=repair)
    layers = _abandoned_layers(paths, environ, remove=repair)
    return [
        *found,
        *(Finding(Kind.LEFT_OVER, f"containers/{name}", removed) for name in leftovers),
        *(Finding(Kind.LEFT_OVER, f"volumes/{name}", removed) for name in volume_leftovers),
        *(Finding(Kind.LEFT_OVER, place, removed) for place in layers),
        *(
            Finding(Kind.DAMAGED, f"volume {each.name}: {each.reason}")
            for each in volumes.damaged()
        ),
        *(Finding(Kind.DAMAGED, f"container {record.name}: {record.error}") for record in dead),
    ]


def _abandoned_layers(
    paths: StoragePaths, environ: Mapping[str, str], *, remove: bool
) -> list[str]:
    """Writable layers in another place than the store whose container does not exist. None are found where the place is
    gone."""
    if not paths.uppers[0]:
        return []
    from rootless.containers.writable_layers.uppers import Uppers, abandoned_layers

    try:
        directory = Uppers(*paths.uppers).directory(environ)
    except RootlessError:
        return []
    return abandoned_layers(directory, paths.containers.root, age=_LEFTOVER_AGE, remove=remove)
