"""capset(2) and the numbers of include/uapi/linux/capability.h."""

from __future__ import annotations

from rootless.light_stdlib import struct
from rootless.syscalls.libc import check, libc
from unionfs.syscalls.light_ctypes import ctypes

NAMES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""By number, without the CAP_ prefix."""

_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def bits(names: frozenset[str]) -> int:
    return sum(1 << number for number, name in enumerate(NAMES) if name in names)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling process's sets, given as bit masks."""
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    data = b""
    for shift in (0, 32):
        words = ((mask >> shift) & 0xFFFFFFFF for mask in (effective, permitted, inheritable))
        data += struct.pack("=III", *words)
    check(libc().capset(ctypes.c_char_p(header), ctypes.c_char_p(data)))
