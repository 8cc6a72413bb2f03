"""What /proc tells of processes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that are children of this one's first thread (proc_pid_task(5)), the oldest first, whose number
    is not the lowest once the kernel has begun anew with them (pid_max, proc(5)); none if it has ended.
    """
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def own_children() -> set[int]:
    """The processes that are children of any thread of this one, those included that have ended: of other tests
    too, whose threads may end meanwhile.
    """
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):
            found.update(map(int, Path(f"/proc/self/task/{thread}/children").read_text().split()))
    return found
