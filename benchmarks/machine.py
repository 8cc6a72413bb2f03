"""The machine that a run is made on: what it is, and how busy other processes keep it."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


def description() -> dict[str, object]:
    """What a reader needs to know of the machine. No names of hosts or people."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tempfile.gettempdir()],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "processor": cpu,
        "memory_mib": memory,
        "file_system": kind.stdout.strip(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its length in seconds, the load average at its end, and the part of the processors' time
    (0 to 1) that was used by processes that are not part of the benchmark, or by other virtual machines."""

    seconds: float
    load: float
    others: float


class RoundMeter:
    """Measures a round from its construction to `finish`."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def finish(self) -> Round:
        seconds = time.perf_counter() - self._start
        busy = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        others = busy / (seconds * (os.cpu_count() or 1))
        return Round(seconds, os.getloadavg()[0], min(1.0, max(0.0, others)))


def _busy_seconds() -> float:
    """user, nice, system, irq, softirq and steal of all processors: proc_stat(5)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = ticks[:8]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Of this process and its descendants that have been waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
