"""Killing the file servers of a container until it ends: one that is killed is replaced, but not for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.support.waiting import wait_until


def children_of(pid: int) -> set[int]:
    """The processes that are children of this one's first thread (proc_pid_task(5))."""
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return set()


def kill_file_servers(monitor: int, container: int, has_ended: Callable[[], object]) -> None:
    """Kill every child of the monitor but the container's first process, until `has_ended`."""

    def kill() -> object:
        for pid in children_of(monitor) - {container}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return has_ended()

    wait_until(kill, 60)  # each of them takes a start of an interpreter
