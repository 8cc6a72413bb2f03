"""mount(2) and umount2(2)."""

from __future__ import annotations

import os

from unionfs.syscalls.light_ctypes import ctypes

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000

MNT_FORCE = 0x1
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.mount.restype = ctypes.c_int
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.umount2.restype = ctypes.c_int


def mount(source: bytes, target: bytes, filesystemtype: bytes, flags: int, data: bytes) -> None:
    """mount(2). Raises OSError naming the target."""
    if _libc.mount(source, target, filesystemtype, flags, data) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), os.fsdecode(target))


def umount2(target: bytes, flags: int = 0) -> None:
    """umount2(2). Raises OSError naming the target."""
    if _libc.umount2(target, flags) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), os.fsdecode(target))
