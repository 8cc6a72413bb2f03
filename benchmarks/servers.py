"""Processor time and memory of a file server, from /proc (proc(5))."""

from __future__ import annotations

import os

from benchmarks.measure import Usage

_NANOSECONDS = 1_000_000_000


def usage(pid: int) -> Usage:
    """Usage of the process `pid` with all its threads. schedstat counts nanoseconds; stat has ticks of ten milliseconds."""
    seconds = 0.0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            seconds += int(file.read().split()[0]) / _NANOSECONDS
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        peak = next(line for line in file if line.startswith("VmHWM:"))
    return Usage(seconds, int(peak.split()[1]) << 10)
