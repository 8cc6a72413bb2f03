"""`image unpack`: writes the files of an image to a directory for kernel overlayfs (`rootless.containers.unpacked`).

They are made in a user namespace with the maps of a container, beside their place, synced, and renamed to it. Devices
are left out: an account cannot make any.
"""

from __future__ import annotations

import os

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.unpacked import NAME_MAX, UNPACKED, unpacked_name
from rootless.durable import acquire_lock, fsync_directory
from rootless.errors import RootlessError
from rootless.images.gc.unpacked import abandoned_unpacked
from rootless.private_directory import make_private_directory
from rootless.rootfs.image.tree import image_tree
from rootless.rootfs.union import id_view, lower_layers
from rootless.rootfs.union_copy import UnionCopy
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import UserNamespaceMode
from rootless.runtime.user_namespace import run_in_user_namespace
from unionfs.directory.upper import DirectoryUpper
from unionfs.model import ROOT_NODE
from unionfs.ownership import Ownership
from unionfs.syscalls.files import syncfs
from unionfs.union import Union, UnionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import ImageTree
    from rootless.runtime.idmap import IdMaps
    from rootless.store.image import Image
    from rootless.store.layout import Store


def unpack_image(store: Store, image: Image) -> str:
    """Unpack the layers of an image for containers with the default id maps. Returns the directory; one that is
    there stays. Raises RootlessError.
    """
    if not image.diff_ids:
        raise RootlessError(f"image {image.id} has no layers")
    tree = image_tree(store, image)
    maps = read_id_maps(UserNamespaceMode())
    name = unpacked_name(image.chain_id.removeprefix("sha256:"), maps)
    if len(name) > NAME_MAX:
        raise RootlessError(
            "this account has too many ranges of subordinate ids to unpack an image"
        )
    top = f"{store.root}/{UNPACKED}"
    make_private_directory(top, "ROOTLESS_ROOT")
    abandoned_unpacked(store, remove=True)
    place = f"{top}/{name}"
    if os.path.isdir(place):
        return place
    made = f"{top}/.new-{os.urandom(8).hex()}"
    try:
        _unpack(store, tree, maps, made, place)
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        raise RootlessError(f"cannot unpack image {image.id}: {error.strerror}{where}") from error
    return place


def _unpack(store: Store, tree: ImageTree, maps: IdMaps, made: str, place: str) -> None:
    os.mkdir(made, 0o700)
    lock = acquire_lock(f"{made}/.lock", wait=False)
    try:
        run_in_user_namespace(maps, lambda: _copy(tree, maps, made))
        with store.lock():
            # Another command may have been first.
            if not os.path.isdir(place):
                os.rename(f"{made}/root", place)
                fsync_directory(os.path.dirname(place))
    finally:
        if lock is not None:
            lock.release()  # on NFS a file that is open cannot be removed
        remove_container_tree(made)


def _copy(tree: ImageTree, maps: IdMaps, made: str) -> None:
    """In the user namespace, as its root."""
    os.umask(0)
    layers = lower_layers(tree)
    source = Union(layers, None, UnionOptions(view=id_view(maps)))
    root = os.fsencode(f"{made}/root")
    upper = DirectoryUpper(root, os.fsencode(f"{made}/work"), ownership=Ownership.REAL)
    target = Union([], upper, UnionOptions(volatile=True))
    try:
        UnionCopy(source, target, has_devices=False).copy(ROOT_NODE, ROOT_NODE)
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        syncfs(opened)
        os.close(opened)
    finally:
        target.destroy()
        source.destroy()
