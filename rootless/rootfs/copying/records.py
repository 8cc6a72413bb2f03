"""The owners and devices that a union with one id records because the process can neither set nor make them.

`place` is an O_PATH descriptor.
"""

from __future__ import annotations

import errno
import os

from rootless.durable import TEMPORARY_PREFIX
from rootless.rootfs.recorded_device import make_recorded_device
from unionfs.xattr_names import NODE, OWNER, USER_NODE, USER_OWNER

_NO_RECORDS = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODATA})


def recorded_owner(place: int) -> tuple[int, int] | None:
    """The owner that is stored; None where the file system shows it. Raises OSError."""
    try:
        uid, _, gid = os.getxattr(_link_of(place), OWNER).partition(b":")
    except OSError as error:
        if error.errno not in _NO_RECORDS:
            raise
        return None
    return int(uid), int(gid)


def record_owner(place: int, uid: int, gid: int) -> None:
    """Store an owner; without effect where the file system stores the owner that it shows. Raises OSError."""
    if recorded_owner(place) not in {None, (uid, gid)}:
        try:
            _set(place, (OWNER, USER_OWNER), b"%d:%d" % (uid, gid))
        except PermissionError:
            pass  # a symbolic link of a volume, which can have no attribute of users


def record_device(mode: int, device: int, directory: int, name: str) -> None:
    """Make a device. `mode` has the type. Raises OSError: EPERM where the file system records none."""
    if recorded_owner(directory) is None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)

    def set_attribute(value: bytes) -> None:
        _set(directory, (NODE, USER_NODE), value)

    temporary = b"%s%s" % (TEMPORARY_PREFIX.encode(), os.urandom(6).hex().encode())
    make_recorded_device(directory, os.fsencode(name), (mode, device, 0), temporary, set_attribute)


def _set(place: int, names: tuple[bytes, bytes], value: bytes) -> None:
    """The second name is for a mount of a user namespace above, as those of volumes are. Raises OSError."""
    try:
        os.setxattr(_link_of(place), names[0], value)
    except PermissionError:
        os.setxattr(_link_of(place), names[1], value)


def _link_of(place: int) -> str:
    """A link of procfs: it is followed to the object, also to a symbolic link."""
    return f"/proc/self/fd/{place}"
