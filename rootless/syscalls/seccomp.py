"""seccomp(2): load a filter. Compiling one is libseccomp's work, see `libseccomp`."""

from __future__ import annotations

import os
import struct

from rootless.syscalls.libc import syscall
from unionfs.syscalls.light_ctypes import ctypes

_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "ppc64le": 358, "s390x": 348}
_SET_MODE_FILTER = 1


def load_filter(program: bytes) -> None:
    """Confine the calling thread. `program` is an array of struct sock_filter.

    Needs no_new_privs or CAP_SYS_ADMIN in the process's user namespace.
    """
    pointer = ctypes.c_char_p(program)  # its value is the address of the bytes
    address = ctypes.c_void_p.from_buffer(pointer).value
    prog = struct.pack("@HP", len(program) // 8, address)
    syscall(_SECCOMP[os.uname().machine], _SET_MODE_FILTER, 0, prog)
