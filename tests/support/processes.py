"""What /proc tells of processes."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that are children of this one's first thread (proc_pid_task(5)), the oldest first, whose number
    is not the lowest once the kernel has begun anew with them (pid_max, proc(5)); none if it has ended.
    """
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []
