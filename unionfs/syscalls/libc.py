"""The C library: loaded once, and the one place where -1 becomes OSError."""

from __future__ import annotations

import os

from unionfs.syscalls.light_ctypes import ctypes

LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int, path: bytes | None = None) -> int:
    """Return `result`, or raise OSError from errno if it is -1."""
    if result != -1:
        return result
    errno = ctypes.get_errno()
    raise OSError(errno, os.strerror(errno), path)
