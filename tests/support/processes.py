"""What /proc tells of processes."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that are children of this one's first thread (proc_pid_task(5)), by their numbers; none if it has
    ended.
    """
    try:
        return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []
