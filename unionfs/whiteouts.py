"""Whiteouts and opaque directories: how layers on disk mark that something below is gone.

Read: a character device 0:0 (kernel overlayfs); `.wh.NAME` and `.wh..wh..opq` (OCI layers, AUFS,
fuse-overlayfs without mknod); an empty file with `overlay.whiteout` in a directory whose opaque
attribute is "x" (kernel overlayfs when nested, fs/overlayfs/namei.c); the opaque attributes of
kernel overlayfs and fuse-overlayfs. Written: a character device 0:0 and `user.overlay.opaque`,
which every reader knows; `.wh.NAME` where mknod is refused.
"""

from __future__ import annotations

import stat

PREFIX = b".wh."
OPAQUE_NAME = b".wh..wh..opq"

OPAQUE_XATTR = b"user.overlay.opaque"
OPAQUE_XATTRS = frozenset(
    (
        OPAQUE_XATTR,
        b"trusted.overlay.opaque",
        b"user.fuseoverlayfs.opaque",
        b"trusted.fuseoverlayfs.opaque",
    )
)
WHITEOUT_XATTRS = (b"user.overlay.whiteout", b"trusted.overlay.whiteout")


def is_device_whiteout(mode: int, rdev: int) -> bool:
    return rdev == 0 and stat.S_ISCHR(mode)


def is_reserved(name: bytes) -> bool:
    """Whether a name can only be a mark: the container may not use it."""
    return name.startswith(PREFIX)


def whiteout_name(name: bytes) -> bytes:
    return PREFIX + name


def hidden_by(name: bytes) -> bytes:
    """The name that the whiteout file `name` hides."""
    return name[len(PREFIX) :]
