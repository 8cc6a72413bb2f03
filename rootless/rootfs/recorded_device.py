"""Makes a device on a union that keeps it as data, for a process that may not call mknod(2)."""

from __future__ import annotations

import os
import stat

from unionfs.syscalls.files import RENAME_NOREPLACE, renameat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def make_recorded_device(
    directory: int,
    name: bytes,
    node: tuple[int, int, int],
    temporary: bytes,
    set_attribute: Callable[[bytes], None],
) -> None:
    """Make a device of this mode, number and umask, where there is nothing of that name.

    The kernel may have cached that the name does not exist, and would not look it up again. So the union makes the device
    under another name, and this renames it.

    Args:
        temporary: A name that no process has asked for. The caller may have failed to rename such a device before.
        set_attribute: Sets `unionfs.xattr_names.NODE` of the directory to a value. Raises OSError.

    Raises OSError.
    """
    try:
        set_attribute(b"%d:%d:%d/%s" % (*node, temporary))
    except FileExistsError:
        if not has_device(directory, temporary, *node[:2]):
            raise
    try:
        renameat2(directory, temporary, directory, name, RENAME_NOREPLACE)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
        raise


def has_device(directory: int, name: bytes, mode: int, device: int) -> bool:
    """Whether a name is that of a device of this type, which `mode` has, and number. Raises OSError."""
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return stat.S_IFMT(found.st_mode) == stat.S_IFMT(mode) and found.st_rdev == device
