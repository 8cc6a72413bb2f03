"""setgroups(2), setresgid(2), setresuid(2), setfsuid(2) and setfsgid(2) of the calling thread only.

The C library's functions of these names change all threads of the process and wait for each to have
done so. After a raw clone3 it still believes in the threads of the parent, and would wait for ever
for one that was just starting.
"""

from __future__ import annotations

import posix

from rootless.light_stdlib import struct
from rootless.syscalls.libc import libc, syscall
from unionfs.syscalls.light_ctypes import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# setgroups, setresgid, setresuid. arch/*/entry/syscalls; asm-generic for the rest.
_NUMBERS = {
    "x86_64": (116, 119, 117),
    "ppc64le": (81, 169, 164),
    "s390x": (206, 210, 208),
}
_GENERIC = (159, 149, 147)


def _number(which: int) -> int:
    return _NUMBERS.get(posix.uname().machine, _GENERIC)[which]


def setgroups(groups: Sequence[int]) -> None:
    syscall(_number(0), len(groups), struct.pack(f"={len(groups)}I", *groups))


def become(uid: int, gid: int, *, drop_groups: bool = False) -> None:
    """Set the real, effective and saved ids. `drop_groups`: give up the supplementary groups first."""
    if drop_groups:
        setgroups(())
    syscall(_number(1), gid, gid, gid)
    syscall(_number(2), uid, uid, uid)


def setfsid(uid: int, gid: int) -> bool:
    """Become another user for the file system alone. Whether it happened: the calls report no errors."""
    # The library has no function for them that changes all threads: they are the system calls.
    library, nothing = libc(), ctypes.c_uint(0xFFFFFFFF)
    library.setfsgid(ctypes.c_uint(gid))
    library.setfsuid(ctypes.c_uint(uid))
    # Each returns the id before it; -1 is none, and changes nothing.
    seen = library.setfsuid(nothing), library.setfsgid(nothing)
    return seen == (ctypes.c_int(uid).value, ctypes.c_int(gid).value)
