"""The calls of the chown and mknod families, from the data of a notification. Pure."""

from __future__ import annotations

import errno
import os
import struct

from unionfs.light_types import NamedTuple

AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_X32 = 0x40000000
"""__X32_SYSCALL_BIT: x32 has the numbers of x86-64."""

LISTENER_NUMBER = slice(128, 136)
"""Of the page that recorders share, which has a notification at its beginning: whose it is, little-endian."""

NAME_IS_FREE = 136
"""The byte behind it: 1 if the recorder has found that the device may be made, and may have made it."""

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags, and seccomp_data: number, architecture, instruction pointer, arguments."""

_OF_32_BITS = {
    14: "mknod", 16: "lchown", 95: "fchown", 182: "chown", 198: "lchown32", 207: "fchown32", 212: "chown32",
}  # fmt: skip
_GENERIC = {33: "mknodat", 54: "fchownat", 55: "fchown"}
"""include/uapi/asm-generic/unistd.h."""
NUMBERS: dict[int, dict[int, str]] = {
    0xC000003E: {
        92: "chown", 93: "fchown", 94: "lchown", 133: "mknod", 259: "mknodat", 260: "fchownat",
    },
    0x40000003: {**_OF_32_BITS, 297: "mknodat", 298: "fchownat"},
    0xC00000B7: _GENERIC,
    0x40000028: {**_OF_32_BITS, 324: "mknodat", 325: "fchownat"},
    0xC0000015: {
        14: "mknod", 16: "lchown", 95: "fchown", 181: "chown", 288: "mknodat", 289: "fchownat",
    },
    0x80000016: {
        14: "mknod", 198: "lchown", 207: "fchown", 212: "chown", 290: "mknodat", 291: "fchownat",
    },
    0x00000016: {**_OF_32_BITS, 290: "mknodat", 291: "fchownat"},
    0xC00000F3: _GENERIC,
}  # fmt: skip
"""Names by AUDIT_ARCH (linux/audit.h) and number: x86-64, i386, aarch64, arm, ppc64le, s390x, s390, riscv64."""
_WITH_SHORT_IDS = frozenset((0x40000003, 0x40000028, 0x00000016))
"""Architectures whose calls without `32` have ids of 16 bits (fs/open.c, kernel/uid16.c)."""


class ChownCall(NamedTuple):
    """One call. `path` is an address in the caller's memory, None for fchown. `directory` is the descriptor that a
    relative path is resolved from, and of fchown the file. An id of None is left as it is."""

    identity: int
    thread: int
    path: int | None
    directory: int
    uid: int | None
    gid: int | None
    follows: bool = True
    takes_empty_path: bool = False


class MknodCall(NamedTuple):
    """One call. `path` is an address in the caller's memory, `directory` the descriptor that a relative path is
    resolved from. `mode` has the type, `device` is the number as in st_rdev.
    """

    identity: int
    thread: int
    path: int
    directory: int
    mode: int
    device: int


def decode(data: bytes) -> ChownCall | MknodCall:
    """The call of a struct seccomp_notif.

    Raises:
        OSError: EINVAL for unknown flags, ENOSYS for a call that is none of these.
    """
    identity, thread, _, number, architecture, _, *arguments = _NOTIFICATION.unpack_from(data)
    if architecture == 0xC000003E:
        number &= ~_X32
    name = NUMBERS.get(architecture, {}).get(number)
    if name is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if not architecture & 0x80000000:  # __AUDIT_ARCH_64BIT
        arguments = [each & 0xFFFFFFFF for each in arguments]
    if name == "mknod":
        return _mknod(identity, thread, AT_FDCWD, arguments)
    if name == "mknodat":
        return _mknod(identity, thread, _descriptor(arguments[0]), arguments[1:])
    has_short_ids = architecture in _WITH_SHORT_IDS and name in {"chown", "fchown", "lchown"}
    first = 2 if name == "fchownat" else 1
    uid, gid = (_id(each, is_short=has_short_ids) for each in arguments[first : first + 2])
    if name.startswith("fchown") and name != "fchownat":
        return ChownCall(identity, thread, None, _descriptor(arguments[0]), uid, gid)
    if name != "fchownat":
        follows = not name.startswith("lchown")
        return ChownCall(identity, thread, arguments[0], AT_FDCWD, uid, gid, follows)
    flags = arguments[4] & 0xFFFFFFFF
    if flags & ~(_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return ChownCall(
        identity,
        thread,
        arguments[1],
        _descriptor(arguments[0]),
        uid,
        gid,
        not flags & _AT_SYMLINK_NOFOLLOW,
        bool(flags & _AT_EMPTY_PATH),
    )


def _mknod(identity: int, thread: int, directory: int, arguments: list[int]) -> MknodCall:
    path, mode, device = arguments[:3]
    return MknodCall(identity, thread, path, directory, mode & 0xFFFF, device & 0xFFFFFFFF)


def identity_of(data: bytes) -> int:
    """The number by which a notification is answered; 0 if there is none in the buffer."""
    identity: int = _NOTIFICATION.unpack_from(data)[0]
    return identity


def _id(value: int, *, is_short: bool) -> int | None:
    no_id = 0xFFFF if is_short else 0xFFFFFFFF
    return None if value & no_id == no_id else value & no_id


def _descriptor(value: int) -> int:
    """As the kernel takes it from the register: an int."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low & 0x80000000 else low
