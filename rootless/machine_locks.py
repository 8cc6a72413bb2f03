"""Tells a lock that other machines see from one that holds on this machine only.

On a network file system that is mounted without a lock service (NFS 3 with `nolock`, Lustre with `localflock`) flock(2)
succeeds, and each machine has locks of its own. Such a mount is known by its options.
"""

from __future__ import annotations

import hashlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.durable import LockFile

_LOCAL = frozenset({"nolock", "local_lock=all", "local_lock=flock", "localflock"})
"""Options of nfs(5) and mount.lustre(8)."""


def is_of_this_machine_only(lock: LockFile) -> bool:
    """Whether another machine can hold the same lock at the same time."""
    if lock.is_substitute:
        return True
    device = os.fstat(lock.descriptors[0]).st_dev
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        return not _LOCAL.isdisjoint(options_of(device, mounts))


def machine() -> str:
    """Sixteen digits that other machines do not have, as long as their host names differ."""
    return hashlib.sha256(os.uname().nodename.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def options_of(device: int, mounts: Iterable[str]) -> list[str]:
    """Those of the file system with this number (proc_pid_mountinfo(5)); none if it is not in the list."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts:
        before, _, after = line.partition(" - ")
        if before.split(" ")[2] == wanted:
            return after.rstrip("\n").split(" ")[2].split(",")
    return []
