"""image mount: mounts the files of an image read-only, visible to every program of the account.

fusermount3 makes the mount; a process of its own serves it until it is unmounted, with the archives
open from the start, so that an image may be removed while it is mounted. Every file is shown with the
caller as owner: only the caller may enter the directory, and could not read files of other owners.

    RUNROOT/images/<id>/    the mount point
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rootless.errors import HostSupportError, NotFoundError, RootlessError
from rootless.oci.digest import hex_of
from rootless.private_directory import make_private_directory
from rootless.rootfs.image.tree import image_tree
from rootless.rootfs.union import lower_layers
from unionfs.commands.mount import MountOptions, mount, unmount
from unionfs.ownership import IdView
from unionfs.tar.layer import IndexedLayer
from unionfs.union import Union, UnionOptions

if TYPE_CHECKING:
    from rootless.containers.storage_paths import StoragePaths
    from rootless.store.image import Image
    from rootless.store.layout import Store

_TYPE = "fuse.rootless-image"


def mount_image(paths: StoragePaths, store: Store, image: Image) -> Path:
    """The directory where the image's files are. Raises RootlessError."""
    mountpoint = _place(paths, image)
    if mountpoint in _mounts():
        return mountpoint
    for each in (paths.runtime, str(mountpoint.parent), str(mountpoint)):
        make_private_directory(each, "ROOTLESS_RUNROOT")
    try:
        layers = lower_layers(image_tree(store, image))
        for layer in layers:
            if isinstance(layer, IndexedLayer):
                layer.open_all()
        view = IdView((), (), squash_uid=os.getuid(), squash_gid=os.getgid())
        union = Union(layers, None, UnionOptions(view=view))
        options = MountOptions(
            fsname=image.id,
            subtype=_TYPE.removeprefix("fuse."),
            read_only=True,
            nosuid=True,
            nodev=True,
            default_permissions=True,
        )
        device = mount(str(mountpoint), options)
    except OSError as error:
        mountpoint.rmdir()
        raise HostSupportError(
            f"cannot mount image {image.id}: {error.strerror}",
            hint="this needs /dev/fuse and fusermount3 (package fuse3)",
        ) from error
    if os.fork() == 0:
        _serve(device, union)
    os.close(device)
    return mountpoint


def unmount_image(paths: StoragePaths, image: Image) -> None:
    """Raises NotFoundError if it is not mounted, RootlessError if it is in use."""
    mountpoint = _place(paths, image)
    if mountpoint not in _mounts():
        raise NotFoundError(f"image {image.id} is not mounted")
    try:
        unmount(str(mountpoint))
    except OSError as error:
        raise RootlessError(
            f"cannot unmount {mountpoint}: {error.strerror}", hint="leave the directory first"
        ) from error
    mountpoint.rmdir()


def mounted_images(paths: StoragePaths) -> list[tuple[str, Path]]:
    """(id, directory) of every image of this store that is mounted."""
    top = _top(paths)
    return [
        (f"sha256:{mountpoint.name}", mountpoint)
        for mountpoint in _mounts()
        if mountpoint.parent == top
    ]


def _top(paths: StoragePaths) -> Path:
    return Path(os.path.realpath(paths.runtime)) / "images"


def _place(paths: StoragePaths, image: Image) -> Path:
    return _top(paths) / hex_of(image.id)


def _mounts() -> list[Path]:
    """Where images are mounted (proc_pid_mountinfo(5); blanks and such are in octal)."""
    found = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            before, _, after = line.partition(b" - ")
            if after.split(b" ", 1)[0].decode() == _TYPE:
                raw = before.split(b" ")[4]
                found.append(Path(os.fsdecode(raw.decode("unicode_escape").encode("latin-1"))))
    return found


def _serve(device: int, union: Union) -> NoReturn:
    """The whole program of the server."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        from unionfs.session.device import serve
        from unionfs.session.workers import SWITCH_INTERVAL

        sys.setswitchinterval(SWITCH_INTERVAL)
        serve(device, union)
        status = 0
    finally:
        os._exit(status)
