"""Runs a command on a kernel that seems not to have some system calls: python -m tests.support.without_calls NUMBER,... COMMAND

A seccomp filter answers them with ENOSYS. It is installed without no_new_privs, which the caller may do as the
root of a user namespace: `unshare --user --map-root-user`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

# linux/seccomp.h, linux/bpf_common.h
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000

CLOSE_RANGE, OPENAT2, MOUNT_SETATTR = 436, 437, 442
"""The same on every architecture (include/uapi/asm-generic/unistd.h)."""


def without(calls: tuple[int, ...]) -> list[str]:
    """The words before a command that has to do without these calls."""
    return [sys.executable, "-m", "tests.support.without_calls", ",".join(map(str, calls))]


def _program(numbers: list[int]) -> bytes:
    """The filter as an array of struct sock_filter."""
    rows = [(_LOAD, 0, 0, 0)]  # struct seccomp_data starts with the number
    for left, number in zip(range(len(numbers), 0, -1), numbers, strict=True):
        rows.append((_EQUAL, left, 0, number))
    rows += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def main() -> None:
    program = _program([int(number) for number in sys.argv[1].split(",")])
    code = ctypes.create_string_buffer(program, len(program))
    sock_fprog = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, sock_fprog, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
