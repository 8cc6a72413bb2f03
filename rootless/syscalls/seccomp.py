"""seccomp(2) and seccomp_unotify(2): load a filter, receive and answer its notifications. Compiling one is
libseccomp's work, see `libseccomp`."""

from __future__ import annotations

import errno
import fcntl
import posix

from rootless.light_stdlib import struct
from rootless.syscalls.libc import syscall
from unionfs.syscalls.light_ctypes import ctypes

_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "ppc64le": 358, "s390x": 348}
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER = 1 << 3
_FLAG_WAIT_KILLABLE_RECV = 1 << 5

NOTIFICATION_SIZE = 80
"""Bytes of struct seccomp_notif."""
_IOC_READ, _IOC_WRITE = (4, 2) if posix.uname().machine == "ppc64le" else (2, 1)
_IOC_SHIFT = 29 if posix.uname().machine == "ppc64le" else 30


def _request(direction: int, number: int, size: int) -> int:
    return direction << _IOC_SHIFT | size << 16 | ord("!") << 8 | number


_RECV = _request(_IOC_READ | _IOC_WRITE, 0, NOTIFICATION_SIZE)
_SEND = _request(_IOC_READ | _IOC_WRITE, 1, 24)
_ID_VALID = _request(_IOC_WRITE, 2, 8)
_SET_FLAGS = _request(_IOC_WRITE, 4, 8)
_FD_SYNC_WAKE_UP = 1


def load_filter(program: bytes) -> None:
    """Confine the calling thread. `program` is an array of struct sock_filter.

    Needs no_new_privs or CAP_SYS_ADMIN in the process's user namespace.
    """
    _load(program, 0)


def load_notifying_filter(program: bytes) -> int:
    """The same; returns a listener for its notifications, close-on-exec.

    Raises:
        OSError: EBUSY if a filter loaded before has one; EINVAL if the kernel has none (before Linux 5.0).
    """
    try:
        return _load(program, _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE_RECV)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # Before Linux 5.19 a signal interrupts a call that waits for its answer, which is restarted.
    return _load(program, _FLAG_NEW_LISTENER)


def _load(program: bytes, flags: int) -> int:
    pointer = ctypes.c_char_p(program)  # its value is the address of the bytes
    address = ctypes.c_void_p.from_buffer(pointer).value
    prog = struct.pack("@HP", len(program) // 8, address)
    return syscall(_SECCOMP[posix.uname().machine], _SET_MODE_FILTER, flags, prog)


def receive_notification(listener: int, buffer: memoryview) -> None:
    """Receive a struct seccomp_notif at the beginning of a buffer of more than 1024 bytes. The kernel writes it
    there itself, for fcntl.ioctl copies smaller buffers: a process that is killed has not received it or has it
    in the buffer.

    Raises OSError: ENOENT if the caller was killed meanwhile.
    """
    buffer[:NOTIFICATION_SIZE] = bytes(NOTIFICATION_SIZE)
    fcntl.ioctl(listener, _RECV, buffer)


def answer_notification(listener: int, identity: int, error: int) -> None:
    """Complete the call: it returns 0, or -1 with errno `error`. Raises OSError: ENOENT if it is no longer waiting."""
    fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", identity, 0, -error, 0))


def is_waiting(listener: int, identity: int) -> bool:
    """Whether the caller of a notification still waits for the answer, so that its process id is no other's."""
    try:
        fcntl.ioctl(listener, _ID_VALID, struct.pack("=Q", identity))
    except OSError:
        return False
    return True


def wake_in_place(listener: int) -> None:
    """Ask the kernel to wake callers and receivers on one processor, where it can (Linux 6.6)."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, _FD_SYNC_WAKE_UP)
    except OSError:
        pass
