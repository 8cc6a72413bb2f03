"""Reads files of a container directly in its upper, without requests to the file server.

Names and status come from the mount. The kernel first hands over what it holds (`containers.pause`). A file that was
not modified since, and has its size in the upper, is read there: a later write gives it a new time in the kernel
(file_update_time) before it reaches the server. The time in the upper may differ, because the kernel does not report
one that it has got with the file and that has not changed at the first write. Everything else is read through the
mount: files of the image, files that are not copied up completely, and files with extended attributes.
"""

from __future__ import annotations

import os
import stat
import time

from rootless.containers.status import ALIVE
from rootless.containers.writable_layers.place import UPPER, WORK, layer_of
from rootless.errors import RootlessError
from rootless.spec.storage_driver import StorageDriver
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from unionfs.directory.attribute_store import ON_DISK, read_attributes
from unionfs.xattr_names import OVERRIDE_STAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_CLOEXEC
_NO_ATTRIBUTES = frozenset((os.fsdecode(OVERRIDE_STAT), "security.selinux"))
"""What a file without extended attributes of its own may have in the upper."""

_TICK_NS = 20_000_000
"""Twice the longest time by which the kernel's times of files are late (current_time in fs/inode.c; HZ is 100 or more)."""
_FEW = 50
"""Files that are read through the mount before it pays to look for what the container has not written out."""


class UpperFiles:
    """`root` is a descriptor of the container's root directory, `directory` the container's directory on
    the host. Raises RootlessError if the place of its writable layer is gone.
    """

    def __init__(self, record: ContainerRecord, directory: str, root: int) -> None:
        self._record = record
        self._layer = layer_of(record, directory)
        self._root = root
        self._device = os.fstat(root).st_dev
        self._few = _FEW
        self._written_out_ns = 0
        """What was modified before is in the upper."""

    def find_directory(self, place: int) -> int | None:
        """The directory of the upper that is shown at an O_PATH descriptor of the mount; None if there is
        none, or no file of it can be read there.
        """
        found = os.fstat(place)
        if found.st_dev != self._device or not self._is_usable():
            return None
        # Of a mount in this process's namespace the path of its mount point comes before.
        above = os.readlink(f"/proc/self/fd/{self._root}").rstrip("/")
        path = os.readlink(f"/proc/self/fd/{place}").removeprefix(above) or "/"
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        try:
            again = openat2(self._root, path, _PLACE, resolve=resolve)
            is_same = os.path.sameopenfile(again, place)
            os.close(again)
            if not is_same:
                return None
            top = os.open(f"{self._layer}/{UPPER}", _LIST)
            try:
                return openat2(top, path, _LIST, resolve=resolve)
            finally:
                os.close(top)
        except OSError:
            return None

    def _is_usable(self) -> bool:
        """Whether the upper keeps attributes with its files, and the mount shows each file at one place."""
        if self._record.storage_driver == StorageDriver.OVERLAY.value:
            return False
        running = self._record.pid if self._record.status in ALIVE else "self"
        device = f"{os.major(self._device)}:{os.minor(self._device)}"
        try:
            with open(f"/proc/{running}/mountinfo", encoding="utf-8", errors="replace") as file:
                if sum(line.split(" ", 3)[2] == device for line in file) != 1:
                    return False
            work = os.open(f"{self._layer}/{WORK}", _LIST)
            try:
                return read_attributes(work) is ON_DISK
            finally:
                os.close(work)
        except OSError:
            return False

    def enter(self, upper: int, name: str, shown: int) -> int | None:
        """The directory of this name in a directory of the upper. `shown`: the one in the mount."""
        try:
            if os.fstat(shown).st_dev == self._device:
                return os.open(name, _LIST, dir_fd=upper)
        except OSError:
            pass
        return None

    def open(self, upper: int, name: str, found: os.stat_result) -> int | None:
        """A descriptor of the file of this name in a directory of the upper; None if it has to be read through
        the mount, where `found` is its status.
        """
        if self._few > 0:
            self._few -= 1
            if self._few > 0 or not self._write_out():
                return None
        if found.st_dev != self._device:
            return None
        try:
            descriptor = os.open(name, _READ, dir_fd=upper)
        except OSError:
            return None
        if self._is_whole(descriptor, found):
            return descriptor
        os.close(descriptor)
        return None

    def _is_whole(self, descriptor: int, found: os.stat_result) -> bool:
        try:
            own = os.fstat(descriptor)
            return (
                stat.S_ISREG(own.st_mode)
                and own.st_size == found.st_size
                and found.st_mtime_ns < self._written_out_ns
                and _NO_ATTRIBUTES.issuperset(os.listxattr(descriptor))
            )
        except OSError:
            return False

    def _write_out(self) -> bool:
        """Whether the file server has what the container has written until now."""
        self._written_out_ns = time.time_ns() - _TICK_NS
        if self._record.status not in ALIVE:
            return True  # this call began the server
        from rootless.containers.processes.pause import write_out_from

        try:
            write_out_from(self._root, self._record)
        except (OSError, RootlessError):
            self._device = -1
            return False
        return True
