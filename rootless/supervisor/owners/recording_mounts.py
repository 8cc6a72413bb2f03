"""The file systems of the engine in a container that record owners and devices."""

from __future__ import annotations

import errno
import os

from rootless.rootfs.recorded_device import make_recorded_device
from unionfs.xattr_names import NODE, OWNER, USER_NODE, USER_OWNER

_MOST_MOUNTS = 64
_USER_NAMES = {OWNER: USER_OWNER, NODE: USER_NODE}


class RecordingMounts:
    """`own_files`: a directory descriptor of this process's /proc/PID/fd. The methods change the working directory. Their
    argument `device` is the st_dev of the file or directory.
    """

    def __init__(self, own_files: int) -> None:
        self._own_files = own_files
        self._is_above: dict[int, bool] = {}
        """Whether a file system is a mount of a user namespace above, as those of volumes are, by st_dev. If another file
        system gets the same number after an unmount, an attribute is set on it that nothing reads."""

    def include(self, file: int, device: int) -> bool:
        """Whether a file is on such a file system, where the attribute has the owner that is stored."""
        if device in self._is_above:
            return True
        os.fchdir(self._own_files)
        try:
            os.getxattr(b"%d" % file, OWNER)
        except OSError:
            return False
        if len(self._is_above) >= _MOST_MOUNTS:
            self._is_above.clear()
        self._is_above[device] = False
        return True

    def is_own(self, directory: int) -> bool:
        """Whether a file system without such an attribute has been mounted in this process's user namespace: nowhere else
        may an attribute of this class be set. None is set, because there is none to be replaced.
        """
        os.fchdir(self._own_files)
        try:
            os.setxattr(b"%d" % directory, OWNER, b"", os.XATTR_REPLACE)
        except OSError as error:
            return error.errno != errno.EPERM
        return True

    def set_owner(self, file: int, device: int, uid: int | None, gid: int | None) -> None:
        """Raises OSError."""
        value = b"%s:%s" % tuple(b"" if n is None else b"%d" % n for n in (uid, gid))
        try:
            self._set(file, device, OWNER, value)
        except PermissionError:
            # A symbolic link of a volume, which can have no attribute of users.
            if not self._is_above[device]:
                raise

    def make_device(
        self, directory: int, device: int, name: bytes, node: tuple[int, int, int], number: int
    ) -> None:
        """Make a device of this mode, number and umask. A recorder that goes on after another gives the same `number`.
        Raises OSError.
        """

        def set_attribute(value: bytes) -> None:
            self._set(directory, device, NODE, value)

        temporary = b".rootless-node-%d" % number
        make_recorded_device(directory, name, node, temporary, set_attribute)

    def _set(self, file: int, device: int, name: bytes, value: bytes) -> None:
        """Raises OSError."""
        os.fchdir(self._own_files)
        if not self._is_above[device]:
            try:
                os.setxattr(b"%d" % file, name, value)
                return
            except PermissionError:
                self._is_above[device] = True
        os.setxattr(b"%d" % file, _USER_NAMES[name], value)
