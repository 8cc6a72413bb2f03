"""Files with the caller's entries of passwd and group, for a container that writes to a directory of the host: they
are bound, and not written to the directory.
"""

from __future__ import annotations

import os
import stat

from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def user_files(root: str, entries: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The files of `etc_files` for a root file system of the host: its own, with a line before them. `entries` are the
    lines by the names of the files, passwd and group.
    """
    return {
        name: (f"/etc/{name}", f"{entry}\n{_read(root, f'etc/{name}')}")
        for name, entry in entries.items()
    }


def _read(root: str, path: str) -> str:
    """Empty if it is missing, is not a regular file or cannot be read. Links lead nowhere outside the root."""
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    try:
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # O_NONBLOCK: a FIFO does not block.
            opened = openat2(directory, path, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
        finally:
            os.close(directory)
        with open(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                return ""
            return file.read().decode(errors="surrogateescape")
    except OSError:
        return ""
