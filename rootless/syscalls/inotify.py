"""inotify(7): a descriptor that can be read when something in a directory changes."""

from __future__ import annotations

import os

from rootless.syscalls.libc import check, libc, once
from unionfs.syscalls.light_ctypes import ctypes

IN_MODIFY = 0x2
IN_CREATE = 0x100
IN_MOVED_TO = 0x80
IN_MOVE_SELF = 0x800
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC  # IN_NONBLOCK, IN_CLOEXEC
_BUFFER = 4096


class Watch:
    """Watches one file or directory for the events of `mask`. Raises OSError: ENOSPC or EMFILE at the limits of
    the user (/proc/sys/fs/inotify)."""

    def __init__(self, directory: str, mask: int) -> None:
        self._descriptor = check(libc().inotify_init1(_FLAGS))
        try:
            check(_add_watch()(self._descriptor, os.fsencode(directory), mask), directory)
        except BaseException:
            os.close(self._descriptor)
            raise

    def fileno(self) -> int:
        return self._descriptor

    def clear(self) -> None:
        """Forget the changes up to now: the descriptor cannot be read until the next one."""
        try:
            while os.read(self._descriptor, _BUFFER):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self._descriptor)


@once
def _add_watch() -> ctypes._NamedFuncPointer:
    function = libc().inotify_add_watch
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return function
