"""Numbers of block devices by path. Reads the file system."""

from __future__ import annotations

import os
import stat

from rootless.errors import UsageError


def block_device_number(path: str) -> tuple[int, int]:
    """Major and minor number of a whole disk. Raises UsageError for anything else.

    A partition is refused: the kernel throttles request queues, which belong to disks
    (block/blk-cgroup.c, blkg_conf_prep).
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise UsageError(f"no such device: {path}: {error.strerror}") from None
    if not stat.S_ISBLK(status.st_mode):
        raise UsageError(f"{path} is not a block device")
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    entry = os.path.realpath(f"/sys/dev/block/{major}:{minor}")
    if os.path.exists(f"{entry}/partition"):
        disk = os.path.basename(os.path.dirname(entry))
        raise UsageError(
            f"{path} is a partition, and the kernel limits whole disks",
            hint=f"name the disk: /dev/{disk}",
        )
    return major, minor
