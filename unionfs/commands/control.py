"""Requests to the server of a mount.

The server answers through extended attributes of the mount's root that no listing shows. There is no
socket to find and to protect, and it works wherever the mount is visible, from another namespace
too. The server answers only processes of its own user.
"""

from __future__ import annotations

import errno
import os

_UNANSWERED = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)


def ask_server(mountpoint: str, name: bytes) -> bytes:
    """The value of the attribute `name` of a mount's root. Raises OSError: ENODATA if this is no mount
    of this program, or its server belongs to another user."""
    try:
        return os.getxattr(mountpoint, name)
    except OSError as error:
        if error.errno in _UNANSWERED:
            raise OSError(
                errno.ENODATA, "no union mount of this user, or without extended attributes",
                mountpoint,
            ) from error  # fmt: skip
        raise
