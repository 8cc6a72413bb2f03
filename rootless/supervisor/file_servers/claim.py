"""Which of the containers that start forks a server for the image that it shares, before it is known which that is."""

from __future__ import annotations

import os

from rootless.durable import acquire_lock
from rootless.private_directory import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.durable import LockFile

PREFIX = "image-"
"""Of the names of control directories of servers of images, in RUNROOT/volumes."""
_LOCK = "first.lock"


def claim_first_server(runtime: str) -> LockFile | None:
    """The right to fork such a server: of many containers that start at one time one needs it. None if one waits
    already, or an image has a server.
    """
    top = f"{runtime}/volumes"
    try:
        if any(name.startswith(PREFIX) for name in os.listdir(top)):
            return None
    except FileNotFoundError:
        for each in (runtime, top):
            make_private_directory(each, "ROOTLESS_RUNROOT")
    return acquire_lock(f"{top}/{_LOCK}", wait=False)
