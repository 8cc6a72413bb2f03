"""Mounting, waiting until the mount answers, unmounting.

There are two ways to mount, and both give a /dev/fuse descriptor: mount(2), where the caller has
CAP_SYS_ADMIN over its user and mount namespace; and fusermount3 (setuid root), for a mount in the
host's mount namespace.
"""

from __future__ import annotations

import os
import sys
from errno import EACCES, EIO, ENOENT, ENOTCONN, EPERM
from stat import S_IFMT

from unionfs.light_types import NamedTuple
from unionfs.options import Options
from unionfs.syscalls import mounts

SUBTYPE = "rootless-unionfs"

_FUSE = "/dev/fuse"
_FUSERMOUNT = ("fusermount3", "fusermount")


class MountOptions(NamedTuple):
    """The part of the mount options that is the kernel's.

    `allow_other` admits every process of the mount's user namespace. It implies
    `default_permissions`: the server itself checks no permissions. fuse.conf applies only to
    fusermount3.
    """

    fsname: str = SUBTYPE
    subtype: str = SUBTYPE
    read_only: bool = False
    nosuid: bool = False
    nodev: bool = False
    noexec: bool = False
    noatime: bool = False
    allow_other: bool = False
    default_permissions: bool = False
    max_read: int | None = None
    context: str | None = None

    @property
    def flags(self) -> int:
        """MS_* of mount(2)."""
        return (
            (mounts.MS_RDONLY if self.read_only else 0)
            | (mounts.MS_NOSUID if self.nosuid else 0)
            | (mounts.MS_NODEV if self.nodev else 0)
            | (mounts.MS_NOEXEC if self.noexec else 0)
            | (mounts.MS_NOATIME if self.noatime else 0)
        )

    @property
    def checks_permissions(self) -> bool:
        return self.default_permissions or self.allow_other


def of_options(options: Options, *, as_root: bool) -> MountOptions:
    """The kernel's part of the options; `as_root`: mounted by root of a user namespace.

    A mount by root admits all users of its namespace, as with fuse-overlayfs. The kernel always
    checks permissions: it sends no OPEN, so the server could refuse only at the first write.
    Without an upper directory the mount is read-only; this also saves a request after each read,
    because no access time can change (fuse_invalidate_atime).
    """
    return MountOptions(
        fsname=options.fsname or SUBTYPE,
        subtype=options.subtype or SUBTYPE,
        read_only=options.read_only or options.upperdir is None,
        nosuid=options.nosuid,
        nodev=options.nodev,
        noexec=options.noexec,
        noatime=options.noatime,
        allow_other=options.allow_other or options.allow_root or as_root,
        default_permissions=True,
        max_read=options.max_read,
        context=options.context,
    )


def mount(mountpoint: str, options: MountOptions) -> int:
    """Mount on `mountpoint`, with mount(2) or, if that is not permitted, with fusermount3. Returns
    the /dev/fuse descriptor. Raises OSError.
    """
    try:
        return mount_in_namespace(mountpoint, options)
    except PermissionError as refused:
        if refused.errno not in (EPERM, EACCES) or os.geteuid() == 0:
            raise
    return mount_through_fusermount(mountpoint, options)


def mount_in_namespace(mountpoint: str, options: MountOptions) -> int:
    """Mount with mount(2).

    The caller holds CAP_SYS_ADMIN in its user namespace, and its mount namespace belongs to that:
    the kernel wants the device opened and the mount made in one user namespace (fuse_fill_super).
    Raises OSError.
    """
    root = os.stat(mountpoint)
    device = os.open(_FUSE, os.O_RDWR | os.O_CLOEXEC)
    try:
        data = [
            f"fd={device}",
            f"rootmode={S_IFMT(root.st_mode):o}",
            f"user_id={os.geteuid()}",
            f"group_id={os.getegid()}",
            *_common(options),
        ]
        if options.context is not None:
            data.append(f'context="{options.context}"')
        mounts.mount(
            os.fsencode(options.fsname),
            os.fsencode(mountpoint),
            b"fuse." + os.fsencode(options.subtype),
            options.flags,
            os.fsencode(",".join(data)),
        )
    except BaseException:
        os.close(device)
        raise
    return device


def mount_through_fusermount(mountpoint: str, options: MountOptions) -> int:
    """Mount with the setuid program, which passes the descriptor over a socket.

    Raises OSError; fusermount3 prints its reason to stderr.
    """
    from socket import AF_UNIX, CMSG_LEN, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socketpair

    parts = [f"fsname={_escaped(options.fsname)}", f"subtype={_escaped(options.subtype)}"]
    flags = ("nosuid", "nodev", "noexec", "noatime")
    parts += [flag for flag in flags if getattr(options, flag)]
    if options.read_only:
        parts.append("ro")
    here, there = socketpair(AF_UNIX, SOCK_STREAM)
    with here:
        with there:
            arguments = ["-o", ",".join(parts + _common(options)), "--", mountpoint]
            os.set_inheritable(there.fileno(), True)
            helper = _spawn(arguments, {"_FUSE_COMMFD": str(there.fileno())})
        _, ancillary, _, _ = here.recvmsg(1, CMSG_LEN(4))
    _, status = os.waitpid(helper, 0)
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            device = int.from_bytes(data[:4], sys.byteorder)
            os.set_inheritable(device, False)
            return device
    code = os.waitstatus_to_exitcode(status)
    raise OSError(EIO, f"fusermount3 did not mount (exit status {code})", mountpoint)


def _common(options: MountOptions) -> list[str]:
    parts = []
    if options.checks_permissions:
        parts.append("default_permissions")
    if options.allow_other:
        parts.append("allow_other")
    if options.max_read is not None:
        parts.append(f"max_read={options.max_read}")
    return parts


def _escaped(text: str) -> str:
    """For fusermount's own list: a comma or backslash in a name."""
    return text.replace("\\", "\\\\").replace(",", "\\,")


def _spawn(arguments: list[str], environment: dict[str, str]) -> int:
    """Start fusermount3, or fusermount where only libfuse 2 is installed. Raises OSError (ENOENT)."""
    for program in _FUSERMOUNT:
        try:
            return os.posix_spawnp(program, [program, *arguments], os.environ | environment)
        except FileNotFoundError:
            continue
    raise OSError(ENOENT, "not installed, and needed to mount without privileges", _FUSERMOUNT[0])


def wait_until_answering(mountpoint: str) -> None:
    """Return once the server answers for the root of the mount. Raises OSError (ENOTCONN) if it
    has gone."""
    os.statvfs(mountpoint)
    os.stat(mountpoint)


def is_answering(mountpoint: str) -> bool:
    """Whether the mount has a server. Raises OSError other than ENOTCONN."""
    try:
        wait_until_answering(mountpoint)
    except OSError as error:
        if error.errno == ENOTCONN:
            return False
        raise
    return True


def unmount(mountpoint: str, *, lazy: bool = False, follow_symlinks: bool = True) -> None:
    """Unmount with umount2(2) or, if that is not permitted, with fusermount3.

    Dirty pages go to the server before this returns, so the serving thread must never call it. Without `follow_symlinks`
    a symbolic link is no mount point. Raises OSError: EBUSY while files are open and not `lazy`.
    """
    flags = (mounts.MNT_DETACH if lazy else 0) | (0 if follow_symlinks else mounts.UMOUNT_NOFOLLOW)
    try:
        mounts.umount2(os.fsencode(mountpoint), flags)
    except PermissionError:
        if os.geteuid() == 0:
            raise
    else:
        return
    arguments = ["-u", "-q", *(["-z"] if lazy else []), "--", mountpoint]
    _, status = os.waitpid(_spawn(arguments, {}), 0)
    if status:
        raise OSError(EPERM, "fusermount3 did not unmount", mountpoint)
