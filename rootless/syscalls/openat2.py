"""openat2(2), Linux 5.6: a path resolved so that it cannot leave a directory."""

from __future__ import annotations

import posix

from rootless.light_stdlib import struct
from rootless.syscalls.libc import encoded, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_OPENAT2 = 437
_SIZE = 24


def openat2(directory: int, path: str, flags: int, *, mode: int = 0, resolve: int) -> int:
    """A close-on-exec descriptor. With RESOLVE_IN_ROOT `/`, `..` and absolute links mean
    `directory`."""
    how = struct.pack("=QQQ", flags | posix.O_CLOEXEC, mode, resolve)
    # EAGAIN: a rename or mount somewhere made the kernel unsure about a `..`; openat2(2) says to
    # try again.
    for attempt in range(128):
        try:
            return syscall(_OPENAT2, directory, encoded(path), how, _SIZE, path=path)
        except BlockingIOError:
            if attempt == 127:
                raise
    raise AssertionError("unreachable")
