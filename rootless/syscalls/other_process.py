"""process_vm_readv(2) and capget(2): memory and capabilities of another process."""

from __future__ import annotations

import os
import struct

from rootless.syscalls.libc import check, fail, libc, once
from unionfs.syscalls.light_ctypes import ctypes

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ADDRESS = (1 << 64) - 1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


@once
def _readv() -> ctypes._NamedFuncPointer:
    function = libc().process_vm_readv
    function.restype = ctypes.c_long
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_ulong,
    ]
    return function


def read_memory(thread: int, address: int, size: int) -> bytes:
    """Up to `size` bytes from an address; fewer if what follows is not mapped.

    Raises OSError: EFAULT if nothing is mapped there, ESRCH if the thread has ended.
    """
    buffer = bytearray(size)
    local = struct.pack("@PN", _address_of(buffer), size)
    # One element for each page: a transfer stops between elements only (process_vm_readv(2)).
    remote, at, end = [], address, address + size
    while at < end:
        length = min(_PAGE - at % _PAGE, end - at)
        remote.append(struct.pack("@NN", at & _ADDRESS, length))
        at += length
    read = int(_readv()(thread, local, 1, b"".join(remote), len(remote), 0))
    if read < 0:
        fail()
    return bytes(buffer[:read])


def effective_capabilities(thread: int) -> int:
    """The effective set of a thread, as a bit mask, in its own user namespace. Raises OSError."""
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, thread)
    data = bytearray(24)
    check(libc().capget(ctypes.c_char_p(header), ctypes.c_void_p(_address_of(data))))
    low, _, _, high, _, _ = struct.unpack("=6I", data)
    return int(low | high << 32)


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_int.from_buffer(buffer))
