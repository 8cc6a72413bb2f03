"""Memory of this process: mmap(2), and malloc_trim(3), which glibc alone has."""

from __future__ import annotations

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

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


def zeros(size: int) -> memoryview:
    """A buffer of zero bytes. A page of it takes memory once it is written to; making a bytearray writes
    to them all.
    """
    return memoryview(mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS))
