"""A claim among containers that start: which of them forks a server for the image that they share, before it is known
which image that is.
"""

from __future__ import annotations

import os

from rootless.durable import acquire_lock
from rootless.private_directory import make_private_directory
from rootless.runtime.account import read_id_maps
from rootless.spec.options import ROOT_IS_CALLER
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.durable import LockFile
    from rootless.runtime.idmap import IdMaps

PREFIX = "image-"
"""Of the names of control directories of servers of images, in RUNROOT/volumes."""
_LOCK = "first.lock"


class ServerClaim(NamedTuple):
    """The right to fork such a server. `single`: in a user namespace with one id (`servers_directory`)."""

    lock: LockFile
    single: bool


def servers_directory(runtime: str, *, single: bool = False) -> str:
    """The directory of the servers whose mounts belong to one user namespace. `single`: the one with the caller's id alone, in
    an account with subordinate ids.
    """
    return f"{runtime}/volumes-single-id" if single else f"{runtime}/volumes"


def has_single_servers(maps: IdMaps) -> bool:
    """Whether a container with the maps takes mounts of the user namespace with one id."""
    return is_single(maps) and not is_single(read_id_maps(ROOT_IS_CALLER))


def is_single(maps: IdMaps) -> bool:
    """Whether the maps have one user and one group."""
    return all(len(ranges) == 1 and ranges[0].size == 1 for ranges in maps[:2])


def claim_first_server(runtime: str, *, single: bool) -> ServerClaim | None:
    """Of many containers that start at one time one needs a server. None if one waits already, or an image has a server."""
    top = servers_directory(runtime, single=single)
    try:
        if any(name.startswith(PREFIX) for name in os.listdir(top)):
            return None
    except FileNotFoundError:
        for each in (runtime, top):
            make_private_directory(each, "ROOTLESS_RUNROOT")
    lock = acquire_lock(f"{top}/{_LOCK}", wait=False)
    return None if lock is None else ServerClaim(lock, single)
