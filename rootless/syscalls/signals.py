"""signalfd(2), which Python has no function for."""

from __future__ import annotations

import os

from rootless.syscalls.libc import check, libc
from unionfs.syscalls.light_ctypes import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SIGSET_WORDS = 16
"""sizeof(sigset_t) of glibc and musl is 128 bytes."""
_WORD_BITS = 64


def signalfd(numbers: Iterable[int]) -> int:
    """A descriptor, non-blocking and close-on-exec, from which blocked signals are read."""
    words = [0] * _SIGSET_WORDS
    for number in numbers:
        words[(number - 1) // _WORD_BITS] |= 1 << (number - 1) % _WORD_BITS
    mask = (ctypes.c_uint64 * _SIGSET_WORDS)(*words)
    # SFD_NONBLOCK and SFD_CLOEXEC have the values of O_NONBLOCK and O_CLOEXEC.
    return check(int(libc().signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)))
