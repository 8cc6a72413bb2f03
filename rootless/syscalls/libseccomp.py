"""libseccomp's compiler: rules into a program for seccomp(2)."""

from __future__ import annotations

import os
import struct

from rootless.light_stdlib import read_file
from rootless.syscalls.libc import once
from unionfs.syscalls.light_ctypes import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_NAME = "libseccomp.so.2"
_SCMP_FLTATR_CTL_OPTIMIZE = 8
_NR_SCMP_ERROR = -1

_OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
"""seccomp.h; those with a number take it in the low sixteen bits."""


@once
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_NAME, use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_char_p,
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


def path() -> str:
    """Load the library, and return the path of its file; empty if /proc/self/maps does not list it. Raises OSError when it is
    not installed.
    """
    _library()
    for line in read_file("/proc/self/maps").splitlines():
        name = line.partition(b"/")[2]
        if os.path.basename(name).startswith(_NAME.encode()):
            return os.fsdecode(b"/" + name)
    return ""


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)


class FilterCompiler:
    """One filter being made. Use as a context manager."""

    def __init__(self, default_action: int) -> None:
        self._library = _library()
        self._default = default_action
        self._context = self._library.seccomp_init(default_action)
        if not self._context:
            raise OSError(22, "unknown action", hex(default_action))
        # A binary search instead of a list of some four hundred comparisons at each call
        # (libseccomp 2.5).
        self._library.seccomp_attr_set(self._context, _SCMP_FLTATR_CTL_OPTIMIZE, 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.seccomp_release(self._context)

    def add_architecture(self, name: str) -> None:
        """`name` as libseccomp has it: x86_64, x86, aarch64. The native one is there already."""
        token = self._library.seccomp_arch_resolve_name(name.encode())
        if token == 0:
            raise OSError(22, "unknown architecture", name)
        result = self._library.seccomp_arch_add(self._context, token)
        if result != -17:  # EEXIST
            _check(result, name)

    def add_rule(
        self, action: int, name: str, arguments: tuple[tuple[int, str, int, int], ...] = ()
    ) -> bool:
        """False when no architecture knows the call. Arguments are (index, operator, value, second
        value)."""
        if action == self._default:
            return True
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == _NR_SCMP_ERROR:
            return False
        packed = b"".join(
            struct.pack("@IiQQ", index, _OPERATORS[operator], value, second)
            for index, operator, value, second in arguments
        )
        result = self._library.seccomp_rule_add_array(
            self._context, action, number, len(arguments), packed
        )
        if result == -33:  # EDOM: not a call of this architecture
            return False
        _check(result, name)
        return True

    def program(self) -> bytes:
        """The filter as an array of struct sock_filter."""
        memory = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            _check(self._library.seccomp_export_bpf(self._context, memory), "seccomp_export_bpf")
            return os.pread(memory, os.fstat(memory).st_size, 0)
        finally:
            os.close(memory)
