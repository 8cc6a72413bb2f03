"""The directories that files are copied from."""

from __future__ import annotations

import os
import stat

from rootless.rootfs.copying.object import xattrs_of
from unionfs.light_types import NamedTuple
from unionfs.syscalls.files import PROC_SUPER_MAGIC, SYSFS_MAGIC, TMPFS_MAGIC, file_system_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.rootfs.copying.upper_files import UpperFiles

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that has taken the place of the file does not block.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class SourceFile(NamedTuple):
    """A file that is open. `found` is its status in the container or on the host."""

    descriptor: int
    found: os.stat_result
    xattrs: dict[str, bytes]


_OF_THE_KERNEL = frozenset({PROC_SUPER_MAGIC, SYSFS_MAGIC})


class SourceDirectory:
    """A directory that is open. With `files`, `upper` is a descriptor of the same directory in the upper of
    the container, or None if it has none there.
    """

    def __init__(
        self,
        descriptor: int,
        files: UpperFiles | None = None,
        upper: int | None = None,
        *,
        outer: int | None = None,
        name: str = "",
    ) -> None:
        self.descriptor = descriptor
        self._files = files
        self._upper = upper
        self._device = os.fstat(descriptor).st_dev
        self._is_mount = outer is not None and outer != self._device
        """Another file system than that of the directory it lies in, whose device is `outer`."""
        self._name = name

    @staticmethod
    def reopen(place: int, files: UpperFiles | None = None) -> SourceDirectory:
        """One of which `place` is an O_PATH descriptor. Raises OSError."""
        descriptor = os.open(".", _LIST, dir_fd=place)
        upper = None if files is None else files.find_directory(place)
        return SourceDirectory(descriptor, files, upper)

    def enter(self, name: str) -> SourceDirectory:
        """Open a directory in it, which is not a symbolic link. Raises OSError."""
        descriptor = os.open(name, _LIST, dir_fd=self.descriptor)
        upper = None
        if self._files is not None and self._upper is not None:
            upper = self._files.enter(self._upper, name, descriptor)
        return SourceDirectory(descriptor, self._files, upper, outer=self._device, name=name)

    def names(self) -> list[str]:
        """Its names; none of the container's /proc, /sys and /dev below what is copied. Raises OSError.

        Files of the kernel are made as they are read, some cannot be read, and devices are made by root alone:
        docker copies none of them.
        """
        if self._is_mount:
            kind = file_system_type(self.descriptor)
            if kind in _OF_THE_KERNEL or (kind == TMPFS_MAGIC and self._name == "dev"):
                return []
        return os.listdir(self.descriptor)

    def open_file(self, name: str, found: os.stat_result) -> SourceFile:
        """Open what was a regular file of this status. Raises OSError."""
        if self._files is not None and self._upper is not None:
            descriptor = self._files.open(self._upper, name, found)
            if descriptor is not None:
                return SourceFile(descriptor, found, {})
        return opened_file(os.open(name, _READ, dir_fd=self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)
        if self._upper is not None:
            os.close(self._upper)


def opened_file(descriptor: int) -> SourceFile:
    """Of something else than a regular file the attributes are not read. Closes the descriptor if it fails.
    Raises OSError.
    """
    try:
        found = os.fstat(descriptor)
        return SourceFile(
            descriptor, found, xattrs_of(descriptor) if stat.S_ISREG(found.st_mode) else {}
        )
    except BaseException:
        os.close(descriptor)
        raise
