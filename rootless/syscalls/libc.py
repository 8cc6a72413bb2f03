"""The C library, loaded once, and how a failed call becomes OSError.

Every declaration is made at the first call of its function, because loading and declaring all of
them would cost a start more than the calls do. System calls without a wrapper in the oldest
supported glibc go through syscall(2); the numbers of calls added since Linux 5.0 are the same on
every architecture (include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import posix
import sys

from unionfs.syscalls.light_ctypes import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeVar

    T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """functools.cache for a function without arguments, without what importing functools costs."""
    made: list[T] = []

    def get() -> T:
        if not made:
            made.append(make())
        return made[0]

    return get


@once
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@once
def _syscall() -> ctypes._NamedFuncPointer:
    function = libc().syscall
    function.restype = ctypes.c_long
    return function


def encoded(path: str) -> bytes:
    """os.fsencode."""
    return path.encode(sys.getfilesystemencoding(), "surrogateescape")


def fail(path: str | bytes | None = None) -> NoReturn:
    """Raise the OSError of the call that has just failed."""
    number = ctypes.get_errno()
    raise OSError(number, posix.strerror(number), path)


def check(result: int, path: str | bytes | None = None) -> int:
    if result < 0:
        fail(path)
    return result


def syscall(number: int, *arguments: object, path: str | bytes | None = None) -> int:
    """syscall(2). Plain integers are passed as long, so that a 64-bit value is not cut."""
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(int(_syscall()(ctypes.c_long(number), *values)), path)
