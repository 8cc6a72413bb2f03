"""mount -o remount: change the flags of a mount that is there.

mount(8) calls its helper for that, too, with the options of the mount table and those of the command
line. As with kernel overlayfs, directories stay what they are.
"""

from __future__ import annotations

import os
from errno import EINVAL, EPERM

from unionfs.commands.mount import of_options
from unionfs.options import Options
from unionfs.syscalls import mounts


def remount(mountpoint: str, options: Options) -> str | None:
    """Set ro, nosuid, nodev, noexec and noatime of a mount as in `options`; the rest of them has no
    effect. Returns a line for the user if some option would be expected to have one.

    Raises OSError: EINVAL if `mountpoint` is no FUSE mount, EPERM for a user who is not root of the
    user namespace that the mount belongs to.
    """
    mountpoint = os.path.realpath(mountpoint, strict=True)
    kind = _type_of(mountpoint)
    if kind is None or not kind.startswith("fuse."):
        raise OSError(EINVAL, "cannot remount: not a mount of this program", mountpoint)
    flags = of_options(options, as_root=False)._replace(read_only=options.read_only).flags
    try:
        mounts.mount(b"none", os.fsencode(mountpoint), b"fuse", flags | mounts.MS_REMOUNT, b"")
    except OSError as error:
        if error.errno != EPERM:
            raise
        why = "cannot remount: only root of the user namespace that mounted it can; unmount it and mount it again"
        raise OSError(EPERM, why, mountpoint) from error
    if options.lowerdirs or options.upperdir:
        return "remount changes ro, nosuid, nodev, noexec and noatime only; directories stay as they are"
    return None


def _type_of(mountpoint: str) -> str | None:
    """The type of the topmost mount on `mountpoint`: /proc/self/mountinfo, proc_pid_mountinfo(5)."""
    found = None
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            fields, _, rest = line.partition(b" - ")
            place = fields.split()[4].decode("unicode_escape").encode("latin-1")
            if os.fsdecode(place) == mountpoint:
                found = os.fsdecode(rest.split()[0])
    return found
