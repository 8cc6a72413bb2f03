"""A container's files as they lie in the store, to be read beside its processes or after their end:
its layers and its upper, and what is the engine's own work in that."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rootless.containers.config import id_maps_of, read_spec
from rootless.containers.launch_description import HostTree, ImageTree
from rootless.containers.processes.pause import paused, write_out
from rootless.containers.status import ALIVE
from rootless.containers.writable_layers.place import layer_of
from rootless.errors import RootlessError
from rootless.rootfs.archive import ContainerFiles
from rootless.rootfs.image.tree import image_tree, image_tree_by_id
from rootless.rootfs.union import lower_layers, overlay_layers
from rootless.runtime.account import read_id_maps
from rootless.snapshots import SNAPSHOTS
from rootless.snapshots.opening import open_span
from rootless.snapshots.record import WHOLE, Span
from rootless.spec.options import ROOT_IS_CALLER
from rootless.spec.storage_driver import StorageDriver
from unionfs.changes.snapshot import Snapshot
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.layer import Layer
from unionfs.memory import MemoryLayer, directory
from unionfs.ownership import Ownership

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.containers.writable_layers.cow_mounts import CowMount
    from rootless.store.image import Image
    from rootless.store.layout import Store


@contextmanager
def open_container(
    record: ContainerRecord,
    paths: StoragePaths,
    store: Store,
    *,
    pause: bool,
    span: Span = WHOLE,
) -> Iterator[ContainerFiles]:
    """The files of a container; its changes are those of `span`. One that runs is paused during the block if `pause` is
    set, and has what it wrote so far written out in any case, unless the span ends with a snapshot. Raises RootlessError."""
    with written_out(record, pause=pause, span=span):
        yield root_files(record, paths, store, span)


@contextmanager
def written_out(record: ContainerRecord, *, pause: bool, span: Span = WHOLE) -> Iterator[None]:
    """One that runs has what it wrote so far written out before the block, and is paused during it if `pause` is set;
    not for a span that ends with a snapshot, which changes no more. Raises RootlessError."""
    if record.status not in ALIVE or span.newer:
        yield
    elif pause:
        with paused(record):
            yield
    else:
        write_out(record)
        yield


def root_files(
    record: ContainerRecord, paths: StoragePaths, store: Store, span: Span = WHOLE
) -> ContainerFiles:
    """The files of the root file system of a container; its changes are those of `span`."""
    directory = Path(paths.containers.directory(record.id))
    maps = id_maps_of(directory)
    is_overlay = record.storage_driver == StorageDriver.OVERLAY.value
    tree = tree_of(record, paths, store)

    owner = maps.inside(os.getuid(), os.getgid())
    place = layer_of(record, str(directory))

    def open_snapshot() -> Snapshot:
        lowers = [*overlay_layers(record.overlays, owner), *lower_layers(tree)]
        if not os.path.exists(f"{directory}/{SNAPSHOTS}"):
            return Snapshot(lowers, open_upper())
        below, upper, known = open_span(str(directory), paths.store, owner, span, open_upper)
        return Snapshot(lowers, upper, below, known)

    def open_upper() -> ReadOnlyUpper:
        return ReadOnlyUpper(
            os.fsencode(f"{place}/upper"),
            os.fsencode(f"{place}/work"),
            ownership=Ownership.REAL if is_overlay else Ownership.DATA,
            base_owner=(0, 0) if is_overlay else owner,
        )

    return ContainerFiles(open_snapshot, maps if is_overlay else None)


def mount_files(mount: CowMount, directory: str, hidden: Sequence[str]) -> ContainerFiles:
    """The files of a mount of the container with this directory; `hidden` as for
    `rootless.rootfs.served.lower_of`. They are read in a user namespace with the maps of its file server."""

    def open_snapshot() -> Snapshot:
        from rootless.rootfs.served import lower_of

        layer = mount.layer(directory)
        upper = ReadOnlyUpper(
            os.fsencode(f"{layer}/upper"),
            os.fsencode(f"{layer}/work"),
            ownership=Ownership.DATA,
            base_owner=(0, 0),
        )
        return Snapshot([lower_of(mount, hidden)], upper if layer else None)

    return ContainerFiles(open_snapshot, read_id_maps(ROOT_IS_CALLER))


@contextmanager
def reading(record: ContainerRecord) -> Iterator[None]:
    """What goes wrong while a container's files are read, in words. Raises RootlessError."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise RootlessError(
            f"container {record.name} changed while its files were read: {error}",
            hint="leave --pause on",
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RootlessError(
            f"cannot read the files of container {record.name}: {error.strerror}{where}"
        ) from error


def compare_images(store: Store, old: Image, new: Image) -> list[tuple[str, bytes]]:
    """A, C or D and the path of everything in which the files of two images differ."""
    from unionfs.changes.comparison import compare

    with _merged(store, old) as before, _merged(store, new) as after:
        return compare(before, after)


@contextmanager
def _merged(store: Store, image: Image) -> Iterator[Layer]:
    """An image's files as one layer."""
    layers = lower_layers(image_tree(store, image))
    layer = layers[0] if layers else MemoryLayer(directory())
    try:
        yield layer
    except OSError as error:
        raise RootlessError(f"cannot read the files of image {image.id}: {error}") from error
    finally:
        layer.close()


@contextmanager
def container_changes(
    record: ContainerRecord, paths: StoragePaths, store: Store
) -> Iterator[Iterable[bytes]]:
    """The changes of a container, as the archive of a layer in pieces, while it is paused. Raises RootlessError."""
    directory = Path(paths.containers.directory(record.id))
    with open_container(record, paths, store, pause=True) as files:
        yield files.layer_archive(mountpoints(directory), room=1 << 62)


def mountpoints(directory: Path) -> list[bytes]:
    """Where something is mounted in the container: absolute paths in it."""
    return [os.fsencode(mount["destination"]) for mount in read_spec(directory).get("mounts", ())]


def tree_of(record: ContainerRecord, paths: StoragePaths, store: Store) -> HostTree | ImageTree:
    """The tree that the container's root file system is made over."""
    if record.rootfs:
        return HostTree(record.rootfs, hidden=(paths.store, paths.runtime))
    return image_tree_by_id(store, record.image_id)
