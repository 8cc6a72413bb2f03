"""Mounting, waiting until the mount answers, unmounting.

Two ways to a mount, both give an ordinary /dev/fuse descriptor: mount(2) by ourselves, where we
hold CAP_SYS_ADMIN over our own user and mount namespace; and fusermount3 (setuid), for a mount that
the host can see.
"""

from __future__ import annotations

import os
from errno import ENOTCONN
from stat import S_IFMT
from typing import NamedTuple

from unionfs.syscalls import mounts

SUBTYPE = "rootless-unionfs"
_FUSE = "/dev/fuse"


class MountOptions(NamedTuple):
    """What mount(2) is told. `flags` are MS_* (unionfs.syscalls.mounts).

    `allow_other` admits every task of the mount's user namespace; permissions are then always
    checked by the kernel, for the server would act for anybody. In a namespace of our own fuse.conf
    has no say in it.
    """

    fsname: str = SUBTYPE
    subtype: str = SUBTYPE
    flags: int = 0
    allow_other: bool = False
    default_permissions: bool = False
    max_read: int | None = None

    @property
    def checks_permissions(self) -> bool:
        return self.default_permissions or self.allow_other


def mount_in_namespace(mountpoint: str, options: MountOptions) -> int:
    """Mount on `mountpoint` with mount(2) and return the descriptor to serve.

    The caller holds CAP_SYS_ADMIN in its user namespace, and its mount namespace belongs to that:
    the kernel wants the device opened and the mount made in one user namespace (fuse_fill_super).
    Raises OSError.
    """
    root = os.stat(mountpoint)
    device = os.open(_FUSE, os.O_RDWR | os.O_CLOEXEC)
    try:
        data = (
            f"fd={device},rootmode={S_IFMT(root.st_mode):o}"
            f",user_id={os.geteuid()},group_id={os.getegid()}"
        )
        if options.checks_permissions:
            data += ",default_permissions"
        if options.allow_other:
            data += ",allow_other"
        if options.max_read is not None:
            data += f",max_read={options.max_read}"
        mounts.mount(
            os.fsencode(options.fsname),
            os.fsencode(mountpoint),
            b"fuse." + os.fsencode(options.subtype) if options.subtype else b"fuse",
            options.flags,
            os.fsencode(data),
        )
    except BaseException:
        os.close(device)
        raise
    return device


def wait_until_answering(mountpoint: str) -> None:
    """Return once the server answers for the root of the mount. Raises OSError (ENOTCONN) if it has
    gone."""
    os.statvfs(mountpoint)
    os.stat(mountpoint)


def is_answering(mountpoint: str) -> bool:
    """False for a mount whose server is gone."""
    try:
        wait_until_answering(mountpoint)
    except OSError as error:
        if error.errno == ENOTCONN:
            return False
        raise
    return True


def unmount(mountpoint: str, *, lazy: bool = False) -> None:
    """umount2(2); through fusermount3 where we may not. Raises OSError: EBUSY while files are open
    and not `lazy`.

    Dirty pages are written to the server before this returns, so the serving thread itself must
    never call it.
    """
    mounts.umount2(os.fsencode(mountpoint), mounts.MNT_DETACH if lazy else 0)
