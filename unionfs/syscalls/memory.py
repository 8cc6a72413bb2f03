"""malloc_trim(3): glibc alone has it."""

from __future__ import annotations

from unionfs.syscalls.libc import LIBC
from unionfs.syscalls.light_ctypes import ctypes


def malloc_trim(pad: int) -> None:
    """Give memory that has been freed back to the kernel, but for `pad` bytes at the top. Does
    nothing where the C library has no such call."""
    try:
        trim = LIBC.malloc_trim
    except AttributeError:
        return
    trim.argtypes = [ctypes.c_size_t]
    trim.restype = ctypes.c_int
    trim(pad)
