"""The union of a container with a limited writable layer (`run --storage-opt size=…,inodes=…`)."""

from __future__ import annotations

import mmap
import os

from rootless.containers.writable_layers.usage import NAME
from unionfs.limited import union
from unionfs.limited.quota import REPORT, Quota, QuotaLimits
from unionfs.ownership import Ownership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.launch_description import LaunchDescription
    from unionfs.layer import Layer
    from unionfs.union import Union, UnionOptions


def open_limited(
    container: LaunchDescription,
    lowers: Sequence[Layer],
    options: UnionOptions,
    base_owner: tuple[int, int],
) -> Union:
    """Open it; usage is reported in a file of the container's directory. Raises OSError."""
    limits = container.storage
    quota = Quota(
        QuotaLimits(limits.size or None, limits.inodes or None),
        _report(f"{container.directory}/{NAME}"),
    )
    return union.open_limited(
        lowers,
        os.fsencode(container.upper),
        os.fsencode(container.work),
        quota,
        options,
        ownership=Ownership.DATA,
        base_owner=base_owner,
    )


def _report(path: str) -> mmap.mmap:
    """The file, mapped: it is read by commands, and outlives the container's run."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, REPORT.size)  # a store to a hole of a full disk is SIGBUS
        return mmap.mmap(fd, REPORT.size)
    finally:
        os.close(fd)
