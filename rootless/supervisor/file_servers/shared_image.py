"""The files of an image as containers share them: one read-only mount and one file server for all containers of the
account that have the same layers, and so one page cache.

    RUNROOT/volumes/image-<hash of the layers>/control.sock

A container that has the caller's id alone in an account with subordinate ids (`hpc`) finds it in RUNROOT/volumes-single-id,
where that id is the owner of all files.

The containers mount kernel overlayfs over it. Those whose upper layer is a union of their own have a file server of
their own (docs/decisions/1810-one-mount-of-an-image.md).
"""

from __future__ import annotations

import os

from rootless.containers.launch_description import HostTree
from rootless.containers.record import IN_DIRECTORY
from rootless.oci.digest import hex_of, sha256_digest
from rootless.runtime.account import read_id_maps
from rootless.runtime.rootfs import SharedRootfs
from rootless.spec.options import NO_STORAGE_LIMITS, ROOT_IS_CALLER
from rootless.spec.storage_driver import StorageDriver
from rootless.supervisor.file_servers.claim import (
    PREFIX,
    has_single_servers,
    is_single,
    servers_directory,
)
from rootless.supervisor.file_servers.volume_server import ServedTree, leave_monitor, run_server
from unionfs.light_types import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.containers.launch_description import ImageTree, LaunchDescription
    from rootless.light_stdlib import socket
    from rootless.rootfs.served import ConnectionServer
    from rootless.runtime.idmap import IdMaps
    from unionfs.union import Union


def shared_image(description: LaunchDescription) -> ServedTree | None:
    """The image of a container that shares it, to be served; None for a container that has a union of its own."""
    single = has_single_servers(description.id_maps)
    if not _can_share(description) or not (single or _has_ids_of_servers(description.id_maps)):
        return None
    if single and description.has_served_mounts:
        return None  # those belong to another user namespace
    if description.storage_driver is not StorageDriver.OVERLAY and not _has_overlay():
        return None  # mount points that the image lacks are made in a union of its own
    return _served(description, single=single)


def serve_image(
    description: LaunchDescription, maps: IdMaps, end: socket.socket, *, single: bool
) -> NoReturn:
    """The program of the server of a container's image, in a user namespace with the maps, `single` as in
    `servers_directory`. `end`: where it reports.
    """
    served = _served(description, single=single)
    leave_monitor(served, (end.fileno(),))
    run_server(served, maps, end)


def shared_rootfs(description: LaunchDescription) -> SharedRootfs:
    """The root of a container that shares its image."""
    in_memory = description.storage_driver is not StorageDriver.OVERLAY
    return SharedRootfs(description.directory, description.volatile and not in_memory, in_memory)


def _served(description: LaunchDescription, *, single: bool) -> ServedTree:
    top = servers_directory(description.runtime, single=single)

    return ServedTree(
        f"image {description.record.image or description.record.rootfs}",
        "rootless",
        partial(_open, description.tree),
        f"{top}/{PREFIX}{_identity(description.tree)}",
        f"{top}/mount",
        f"{description.runtime}/images.log",
        read_only=True,
        single=single,
    )


def _open(tree: HostTree | ImageTree, maps: IdMaps, server: ConnectionServer) -> Union:
    """In the server."""
    from rootless.rootfs.served import open_image

    return open_image(tree, maps, server)


def _can_share(description: LaunchDescription) -> bool:
    """Whether the container writes through kernel overlayfs, or nothing, over files that do not change."""
    tree, spec = description.tree, description.spec
    is_traced = description.is_traced or description.access_trace is not None
    if is_traced or description.prefetch or description.storage != NO_STORAGE_LIMITS:
        return False
    if description.record.overlays or description.record.layer != IN_DIRECTORY:
        return False  # of other layers, or with a layer of a place of its own
    if description.storage_driver is not StorageDriver.OVERLAY and not spec["root"].get("readonly"):
        return False
    if any("path" in each for each in spec["linux"]["namespaces"]):
        return False  # it lies below the user namespace of another container
    return not os.path.isdir(tree.path) if isinstance(tree, HostTree) else bool(tree.layers)


def _has_overlay() -> bool:
    """Whether the kernel lets users mount overlayfs: Linux 5.11."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)))) >= (5, 11)


def _has_ids_of_servers(maps: IdMaps) -> bool:
    """Whether the owners that the server shows are right in the container: it has the server's maps, or one id,
    which is then the owner of all files.
    """
    servers = read_id_maps(ROOT_IS_CALLER)
    return maps[:2] == servers[:2] or (is_single(maps) and is_single(servers))


def _identity(tree: HostTree | ImageTree) -> str:
    """A name for the layers. That of a file of the host changes with its contents."""
    parts: tuple[object, ...] = tuple(tree)
    if isinstance(tree, HostTree):
        status = os.stat(tree.path)
        parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return hex_of(sha256_digest(repr(parts).encode(errors="surrogateescape")))[:24]
