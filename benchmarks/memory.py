"""The memory of the processes of this user, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def processes() -> list[int]:
    """The PIDs of all processes in sight."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def proportional_size(pid: int) -> int:
    """Bytes (proportional set size): a page that n processes share counts as 1/n. 0 of a process that is gone or another
    user's."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines())
    return sum(int(line[1]) << 10 for line in lines if line[0] == "Pss:")


def total_size() -> int:
    """Bytes of all processes of this user."""
    return sum(map(proportional_size, processes()))
