"""Seccomp rules as the runtime spec has them (`linux.seccomp`). Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

Profile: TypeAlias = "dict[str, Any]"

ENOSYS = 38
EPERM = 1
ARCHITECTURES: dict[str, tuple[str, ...]] = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
}
"""By uname(2)'s machine: the native one first, then those whose programs it runs."""


def argument_rule(index: int, value: int, op: str, value_two: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": value_two, "op": f"SCMP_CMP_{op}"}


_OWNERS = "chown chown32 fchown fchown32 fchownat lchown lchown32"
_IDENTITY = (
    "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32"
)
_S_IFMT = 0o170000
_SUCCESS: dict[str, Any] = {"action": "SCMP_ACT_ERRNO", "errnoRet": 0}
NOTIFY = "SCMP_ACT_NOTIFY"
"""A profile of a user cannot have it: nothing would receive its notifications."""


def pretending_profile(machine: str, *, owners: bool) -> Profile:
    """Success without effect for what changes the identity, and with `owners` also for the owner of a file and for
    mknod of a device, where one id is all there is and each could only fail.

    The kernel refuses such a chown before the file system hears of it, and mknod of a device for
    want of a capability on the host. capset is left alone: it works, and dropping capabilities must
    not be pretended.
    """
    names = f"{_OWNERS} {_IDENTITY}" if owners else _IDENTITY
    rules: list[dict[str, Any]] = [{"names": names.split(), **_SUCCESS}]
    if owners:
        rules += _for_devices(_SUCCESS)
    return _allowing(machine, rules)


def notifying_profile(machine: str) -> Profile:
    """A notification for each call that changes the owner of a file or makes a device (seccomp_unotify(2))."""
    notify: dict[str, Any] = {"action": NOTIFY}
    return _allowing(machine, [{"names": _OWNERS.split(), **notify}, *_for_devices(notify)])


def _for_devices(action: dict[str, Any]) -> list[dict[str, Any]]:
    """Rules for mknod of a device. The kernel lets any user make the character device 0:0, with which overlayfs
    marks a removed name (vfs_mknod, fs/namei.c)."""
    rules = []
    for name, index in (("mknod", 1), ("mknodat", 2)):
        character = argument_rule(index, _S_IFMT, "MASKED_EQ", 0o020000)
        block = argument_rule(index, _S_IFMT, "MASKED_EQ", 0o060000)
        is_no_whiteout = argument_rule(index + 1, 0, "NE")
        rules += [
            {"names": [name], "args": [character, is_no_whiteout], **action},
            {"names": [name], "args": [block], **action},
        ]
    return rules


def _allowing(machine: str, rules: list[dict[str, Any]]) -> Profile:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": list(ARCHITECTURES.get(machine, ())),
        "syscalls": rules,
    }
