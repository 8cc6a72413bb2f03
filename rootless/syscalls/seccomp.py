"""seccomp(2): load a filter. Compiling one is libseccomp's work, see `libseccomp`."""

from __future__ import annotations

import ctypes
import os
import struct

from rootless.syscalls.libc import syscall

_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "ppc64le": 358, "s390x": 348}
_SET_MODE_FILTER = 1


def load_filter(program: bytes) -> None:
    """Confine the calling thread. `program` is an array of struct sock_filter.

    Needs no_new_privs or CAP_SYS_ADMIN in the process's user namespace.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    prog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    syscall(_SECCOMP[os.uname().machine], _SET_MODE_FILTER, 0, prog)
