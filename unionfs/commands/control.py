"""Asking the server of a mount.

It answers through extended attributes of the mount's root that are in no listing. So there is no socket
to find and to guard, and it works wherever the mount can be seen, from another namespace too. It
answers processes of its own user alone.
"""

from __future__ import annotations

import errno
import os

_UNANSWERED = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)


def ask_server(mountpoint: str, name: bytes) -> bytes:
    """What the server of a mount says to the attribute `name` of its root. Raises OSError, ENODATA where
    no server of ours answers, or not this user."""
    try:
        return os.getxattr(mountpoint, name)
    except OSError as error:
        if error.errno in _UNANSWERED:
            raise OSError(
                errno.ENODATA, "no union mount of this user, or without extended attributes",
                mountpoint,
            ) from error  # fmt: skip
        raise
