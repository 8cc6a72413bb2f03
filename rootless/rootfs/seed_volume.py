"""Fills an empty volume at its first use with the files that the image has at the mount point."""

from __future__ import annotations

import errno
import os

from rootless.containers.launch_description import ImageTree
from rootless.durable import fsync_directory, locked, remove_tree
from rootless.errors import RootlessError
from rootless.rootfs.union import lower_layers
from rootless.rootfs.union_copy import UnionCopy, find_directory
from rootless.rootfs.volume import open_volume
from rootless.volumes.store import DATA, SEED, WORK
from unionfs.model import ROOT_NODE, NodeId
from unionfs.syscalls.files import syncfs
from unionfs.union import Union


def seed_volume(directory: str, tree: ImageTree, target: str) -> None:
    """Fill a volume that is empty. The copy is made beside its files and takes their place when it is complete.
    A volume that another container has mounted is left as it is.

    Raises RootlessError: the image has something else than a directory there, or there is no space.
    """
    if os.listdir(f"{directory}/{DATA}"):
        return
    source = Union(lower_layers(tree), None)
    try:
        found = find_directory(source, target)
        if found is not None:
            with locked(f"{directory}/seed.lock"):
                _copy(source, found, directory)
    except NotADirectoryError:
        raise RootlessError(
            f"cannot mount volume over existing file, file exists {target}"
        ) from None
    except OSError as error:
        if error.errno == errno.EBUSY:
            return  # a file server has it
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        raise RootlessError(
            f"cannot copy {target} of the image to the volume: {error.strerror}{where}"
        ) from error
    finally:
        source.destroy()


def _copy(source: Union, node: NodeId, directory: str) -> None:
    data, copy = f"{directory}/{DATA}", f"{directory}/{SEED}"
    if os.listdir(data):
        return  # another command has filled it meanwhile
    if os.path.isdir(copy):
        remove_tree(copy)  # of a command that was killed
    os.mkdir(copy, 0o755)
    try:
        volume = open_volume(copy, f"{directory}/{WORK}", None)
        try:
            UnionCopy(source, volume).copy(node, ROOT_NODE)
            opened = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            syncfs(opened)
            os.close(opened)
            os.rename(copy, data)
            fsync_directory(directory)
        finally:
            volume.destroy()
    except BaseException:
        remove_tree(copy)
        raise
