"""mount(2), umount2(2), pivot_root(2) and the calls that work on mounts as descriptors (Linux 5.2,
mount_setattr 5.12).

A mount that is a descriptor is attached to a place that is a descriptor: no path is walked twice,
so that no component can be replaced by a symbolic link in between.
"""

from __future__ import annotations

import errno
import posix

from rootless.syscalls.libc import check, encoded, libc, once, syscall
from unionfs.syscalls.light_ctypes import ctypes

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_MOUNT_SETATTR = 442

_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6

# pivot_root(2) is older than the common numbering.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


@once
def _mount() -> ctypes._NamedFuncPointer:
    function = libc().mount
    function.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_char_p,
    ]
    return function


def mount(
    source: str | None, target: str, fstype: str | None, flags: int = 0, data: str | None = None
) -> None:
    def encode(text: str | None) -> bytes | None:
        return None if text is None else encoded(text)

    check(_mount()(encode(source), encoded(target), encode(fstype), flags, encode(data)), target)


def umount2(target: str, flags: int = 0) -> None:
    check(libc().umount2(encoded(target), ctypes.c_int(flags)), target)


def pivot_root(new_root: str, put_old: str) -> None:
    number = _PIVOT_ROOT[posix.uname().machine]
    syscall(number, encoded(new_root), encoded(put_old), path=new_root)


def open_tree(path: str | int, *, clone: bool = True, recursive: bool = False) -> int:
    """A detached copy of the mount at `path` (a path or a descriptor), as a close-on-exec
    descriptor."""
    flags = (
        posix.O_CLOEXEC | (_OPEN_TREE_CLONE if clone else 0) | (AT_RECURSIVE if recursive else 0)
    )
    if isinstance(path, int):
        return syscall(_OPEN_TREE, path, b"", flags | AT_EMPTY_PATH)
    return syscall(_OPEN_TREE, AT_FDCWD, encoded(path), flags, path=path)


def move_mount(tree: int, target: int) -> None:
    """Attach a detached mount to the place `target` is a descriptor of."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    syscall(_MOVE_MOUNT, tree, b"", target, b"", flags)


def mount_setattr(
    tree: int,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    recursive: bool = False,
) -> None:
    """Change the mount that `tree` is a descriptor of; with `recursive` those below it too."""
    attributes = attr_set.to_bytes(8, "little") + attr_clr.to_bytes(8, "little")
    attributes += propagation.to_bytes(8, "little") + bytes(8)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall(_MOUNT_SETATTR, tree, b"", flags, attributes, len(attributes))


@once
def has_mount_setattr() -> bool:
    """False before Linux 5.12, and where a seccomp filter hides the call."""
    try:
        syscall(_MOUNT_SETATTR, -1, b"", AT_EMPTY_PATH, bytes(32), 32)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def new_mount(fstype: str, source: str, options: tuple[str, ...] = (), attributes: int = 0) -> int:
    """A new file system as a detached mount: fsopen(2), fsconfig(2), fsmount(2). Options are `key`
    or `key=value`."""
    context = syscall(_FSOPEN, fstype.encode(), 1, path=fstype)  # FSOPEN_CLOEXEC
    try:
        syscall(_FSCONFIG, context, _FSCONFIG_SET_STRING, b"source", encoded(source), 0)
        for option in options:
            key, separator, value = option.partition("=")
            command = _FSCONFIG_SET_STRING if separator else _FSCONFIG_SET_FLAG
            argument = encoded(value) if separator else None
            syscall(_FSCONFIG, context, command, key.encode(), argument, 0, path=option)
        syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0, path=fstype)
        return syscall(_FSMOUNT, context, 1, attributes, path=fstype)  # FSMOUNT_CLOEXEC
    finally:
        posix.close(context)
