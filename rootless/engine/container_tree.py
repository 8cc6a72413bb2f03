"""A container's files as they lie in the store, to be read beside its processes or after their end:
its layers and its upper, and what is the engine's own work in that."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootless.engine.container import HostTree, ImageTree
from rootless.engine.stillness import held_still
from rootless.engine.union_tree import lower_layers
from rootless.errors import InvalidDocumentError, NotFoundError, RootlessError
from rootless.state.status import Status
from unionfs.changes import Snapshot
from unionfs.directory.at_rest import UpperAtRest
from unionfs.ownership import Ownership

if TYPE_CHECKING:
    from rootless.engine.places import Places
    from rootless.state.record import ContainerRecord
    from rootless.store.image import Image
    from rootless.store.layout import Store


def read_spec(directory: Path) -> dict[str, Any]:
    """The OCI configuration of a container. Raises InvalidDocumentError."""
    path = directory / "config.json"
    try:
        spec: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error}") from error
    return spec


@contextmanager
def open_container(
    record: ContainerRecord, places: Places, store: Store, *, pause: bool
) -> Iterator[Snapshot]:
    """The files of a container; one that runs is held still meanwhile, or with `pause` false goes
    on. Raises RootlessError."""
    directory = places.containers.directory(record.id)
    base_owner = _caller_inside(read_spec(directory))
    with ExitStack() as stack:
        if record.status is Status.RUNNING:
            stack.enter_context(held_still(record, pause=pause))
        try:
            snapshot = Snapshot(
                lower_layers(_tree(record, places, store)),
                UpperAtRest(
                    os.fsencode(directory / "upper"),
                    os.fsencode(directory / "work"),
                    ownership=Ownership.DATA,
                    base_owner=base_owner,
                ),
            )
            stack.callback(snapshot.close)
            yield snapshot
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise RootlessError(
                f"cannot read the files of container {record.name}: {error.strerror}{where}"
            ) from error


@contextmanager
def open_image(store: Store, image: Image) -> Iterator[Snapshot]:
    """The merged files of an image."""
    snapshot = Snapshot(lower_layers(image_tree(store, image)), None)
    try:
        yield snapshot
    except OSError as error:
        raise RootlessError(f"cannot read the files of image {image.id}: {error}") from error
    finally:
        snapshot.close()


def image_tree(store: Store, image: Image) -> ImageTree:
    """What a union takes of an image, its merged index built if it is not there."""
    from rootless.store.chains import chain_index
    from rootless.store.image import layer_files

    layers = tuple((files.tar, files.index) for files in layer_files(store, image))
    return ImageTree(layers, chain_index(store, image))


def mountpoints(directory: Path) -> list[bytes]:
    """Where something is mounted in the container: absolute paths in it."""
    return [os.fsencode(mount["destination"]) for mount in read_spec(directory).get("mounts", ())]


def _tree(record: ContainerRecord, places: Places, store: Store) -> HostTree | ImageTree:
    if record.rootfs:
        return HostTree(Path(record.rootfs), hidden=(places.store, places.runtime))
    return _tree_of_id(store, record.image_id)


def _tree_of_id(store: Store, image_id: str) -> ImageTree:
    """By the config alone: an image that a container needs keeps its layers when its names go."""
    from rootless.oci.digest import chain_id
    from rootless.oci.image_config import read_image_config
    from rootless.store.chains import CHAIN_INDEX

    diff_ids = read_image_config(store.read_document(image_id, "image config"), image_id).diff_ids
    files = [store.layer_files(diff_id) for diff_id in diff_ids]
    for each in files:
        if not each.index.exists():
            raise NotFoundError(f"the layer {each.tar} of image {image_id} is missing")
    layers = tuple((each.tar, each.index) for each in files)
    chain = store.chain_directory(chain_id(diff_ids)) / CHAIN_INDEX if len(files) > 1 else None
    return ImageTree(layers, chain if chain is not None and chain.exists() else None)


def _caller_inside(spec: Mapping[str, Any]) -> tuple[int, int]:
    """What the caller's ids are in the container: the owner of a file without an override."""

    def inside(kind: str, number: int) -> int:
        for entry in spec["linux"][kind]:
            if entry["hostID"] <= number < entry["hostID"] + entry["size"]:
                return int(entry["containerID"] + number - entry["hostID"])
        return 0

    return inside("uidMappings", os.getuid()), inside("gidMappings", os.getgid())
