"""Finds the mounts of a container that file servers of their own serve, in its OCI configuration: volumes, and mounts
with options that begin with x-rootless.
"""

from __future__ import annotations

import os

from rootless.errors import NotFoundError
from rootless.runtime.mount_options import (
    IMAGE,
    OVERLAY,
    VOLUME,
    MountOptions,
    parse_mount_options,
)
from rootless.supervisor.file_servers.volume_server import ServedTree
from unionfs.light_types import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.writable_layers.cow_mounts import CowMount
    from rootless.rootfs.served import ConnectionServer
    from rootless.runtime.idmap import IdMaps
    from rootless.supervisor.file_servers.volume_tmpfs import VolumeTmpfs
    from unionfs.union import Union


def served_mounts(description: LaunchDescription, *, keeps_copies: bool) -> dict[int, ServedTree]:
    """The mounts to serve, by the position of the mount in the OCI configuration. `keeps_copies`: whether a mount
    that is copied on write has what was written there, and does not begin anew. Raises RootlessError.
    """
    found = {}
    for position, mount in enumerate(description.spec.get("mounts", ())):
        options = parse_mount_options(tuple(map(str, mount.get("options", ()))))
        if options.served:
            found[position] = _served(
                description, position, options, mount, keeps_copies=keeps_copies
            )
    return found


def served_volume(
    name: str,
    data: str,
    runtime: str,
    user: tuple[int, int] | None = None,
    *,
    is_tmpfs: bool = False,
) -> ServedTree:
    """A volume by its name and its directory (`_data`). `user`: uid and gid in the container that mounts it, which
    own what is made in the volume by an account with one id. Raises NotFoundError, and InvalidDocumentError for a
    tmpfs whose record is damaged.
    """
    directory = os.path.dirname(data)
    try:
        status = os.stat(directory)
        os.stat(data)
    except OSError as error:
        raise NotFoundError(
            f"cannot mount volume {name}: {error.filename}: {(error.strerror or '').lower()}"
        ) from None

    top = f"{runtime}/volumes"
    control = f"{top}/{status.st_dev:x}-{status.st_ino:x}"
    log = f"{directory}/server.log"
    served = ServedTree(
        f"volume {name}", name, partial(_open_volume, data, user), control, f"{top}/mount", log
    )
    return served._replace(tmpfs=_tmpfs_of(name, data)) if is_tmpfs else served


def _tmpfs_of(name: str, data: str) -> VolumeTmpfs:
    from rootless.supervisor.file_servers.volume_tmpfs import VolumeTmpfs, tmpfs_mount
    from rootless.volumes.store import Volumes

    volumes = os.path.dirname(os.path.dirname(data))
    return VolumeTmpfs(data, tmpfs_mount(Volumes(volumes).find(name).options))


def _open_volume(
    data: str, user: tuple[int, int] | None, maps: IdMaps, server: ConnectionServer
) -> Union:
    """In the server."""
    from rootless.rootfs.volume import open_volume

    only_owner = user if maps.single else None
    work = f"{os.path.dirname(data)}/work"
    return open_volume(data, work, maps, server.journal, only_owner)


def _served(
    description: LaunchDescription,
    position: int,
    options: MountOptions,
    mount: Mapping[str, Any],
    *,
    keeps_copies: bool,
) -> ServedTree:
    served, source = options.served, str(mount["source"])
    if served.startswith(VOLUME):
        name, user = served.removeprefix(VOLUME), _user(description)
        return served_volume(name, source, description.runtime, user, is_tmpfs=options.tmpfs)
    if served.startswith(IMAGE):
        open_union = partial(_open_image, description, served.removeprefix(IMAGE))
    else:
        from rootless.containers.writable_layers.cow_mounts import cow_mount

        place = cow_mount(position, mount, served)
        open_union = partial(_open_overlay, description, place, keeps_copies=keeps_copies)
    top = f"{description.runtime}/volumes"
    return ServedTree(
        f"mount {source}",
        "rootless",
        open_union,
        f"{top}/{description.record.id[:24]}-{position}",
        f"{top}/mount",
        description.log,
        writeback=served != f"{OVERLAY}real",
    )


def _user(description: LaunchDescription) -> tuple[int, int]:
    """Of the container: the one that its id map has, if that is not root, else the user of its process."""
    kept = description.id_maps.root
    user = description.spec.get("process", {}).get("user", {})
    return kept if kept != (0, 0) else (int(user.get("uid", 0)), int(user.get("gid", 0)))


def _open_image(
    description: LaunchDescription, image: str, maps: IdMaps, server: ConnectionServer
) -> Union:
    """In the server."""
    from rootless.containers.storage_paths import read_configuration, shared_stores
    from rootless.rootfs.image.tree import image_tree_by_id
    from rootless.rootfs.served import open_image
    from rootless.store.layout import Store

    stores = shared_stores(description.store, os.environ, read_configuration(os.environ))
    tree = image_tree_by_id(Store.open(description.store, stores), image)
    return open_image(tree, maps, server)


def _open_overlay(
    description: LaunchDescription,
    mount: CowMount,
    maps: IdMaps,
    server: ConnectionServer,
    *,
    keeps_copies: bool,
) -> Union:
    """In the server."""
    from rootless.rootfs.served import open_overlay

    hidden = (description.store, description.runtime)
    if not keeps_copies and server.is_first:
        mount.remove_layer(description.directory)
    return open_overlay(mount, description.directory, hidden, maps, server)


def mounted_volumes(spec: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Name, path in the container and whether it is read-only of each volume that a container mounts."""
    found = []
    for mount in spec.get("mounts", ()):
        options = [str(word) for word in mount.get("options", ())]
        for word in options:
            if word.startswith(VOLUME):
                name = word.removeprefix(VOLUME)
                found.append((name, str(mount["destination"]), "ro" in options))
    return found
