"""Resolves the images of image mounts, and the ids of mounts with `idmap`."""

from __future__ import annotations

import os
import stat

from rootless.errors import CommandNotFoundError, UsageError
from rootless.rootfs.union import lower_layers
from rootless.rootfs.union_copy import find_node
from rootless.runtime.idmap import UserNamespaceMode
from rootless.runtime.userdb import UnknownUserError, find_identity
from rootless.spec.options import ROOT_IS_CALLER, ContainerOptions, ImageMount
from unionfs.union import Union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.rootfs.lower import Lower
    from rootless.runtime.idmap import IdMaps
    from rootless.store.image import Image
    from rootless.store.layout import Store

_USER_FILE_LIMIT = 16 * 1024 * 1024


def find_images(
    options: ContainerOptions, store: Store, find: Callable[[str], Image]
) -> ContainerOptions:
    """The options with the ids of the images that are mounted. Raises RootlessError."""

    def resolved(mount: ImageMount) -> ImageMount:
        if mount.inherited:
            return mount
        image = find(mount.image)
        if mount.subpath:
            _require(store, image, mount.subpath)
        return mount._replace(image_id=image.id)

    mounts = [resolved(each) if isinstance(each, ImageMount) else each for each in options.mounts]
    return options._replace(mounts=tuple(mounts))


def _require(store: Store, image: Image, subpath: str) -> None:
    """Raise CommandNotFoundError, which has docker's status, if the image lacks a path."""
    from rootless.rootfs.image.tree import image_tree

    union = Union(lower_layers(image_tree(store, image)), None)
    try:
        if find_node(union, subpath) is None:
            raise CommandNotFoundError(
                f"cannot access path {subpath} of image {image.id}: no such file or directory"
            )
    finally:
        union.destroy()


def map_caller_to_user(
    options: ContainerOptions, user: str, lower: Lower, maps: IdMaps
) -> ContainerOptions:
    """For a bind with `idmap`: the options with a user namespace in which the caller has the ids of the
    container's user. `user` is its name or number, `maps` are those that the options ask for.

    An account with one id has one user, whatever it is called. Raises UsageError.
    """
    union = Union(lower_layers(lower.tree), None)
    try:
        passwd, group = (_read(union, f"/etc/{name}") for name in ("passwd", "group"))
    finally:
        union.destroy()
    try:
        found = find_identity(user, passwd, group)
    except UnknownUserError as error:
        raise UsageError(str(error)) from error
    wanted = (found.uid, found.gid)
    if maps.single or maps.inside(os.getuid(), os.getgid()) == wanted:
        return options
    if options.userns != ROOT_IS_CALLER:
        raise UsageError(
            f"conflicting options: idmap makes the caller {found.uid}:{found.gid} inside, and --userns "
            "another user"
        )
    mode = UserNamespaceMode(keep=True, uid=found.uid, gid=found.gid)
    return options._replace(userns=mode, user=user)


def _read(union: Union, path: str) -> bytes:
    node = find_node(union, path)
    if node is None or not stat.S_ISREG(union.getattr(node).mode):
        return b""
    union.open(node, os.O_RDONLY)
    return union.read(node, 0, _USER_FILE_LIMIT)
