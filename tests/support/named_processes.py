"""Finds the processes of an engine by their names."""

from __future__ import annotations

import os

from tests.support.rootless import Rootless


def processes_named(rootless: Rootless, name: str) -> list[int]:
    """The processes with a name, the oldest first, whose start was one of this engine's."""
    marker = f"XDG_RUNTIME_DIR={rootless.runtime}".encode()
    found = {}
    for pid in sorted(map(int, filter(str.isdecimal, os.listdir("/proc")))):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                is_one = file.read().strip() == name
            with open(f"/proc/{pid}/environ", "rb") as file:
                is_one = is_one and marker in file.read().split(b"\0")
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                start = int(file.read().rpartition(")")[2].split()[19])
        except OSError:
            continue
        if is_one:
            found[pid] = start
    return sorted(found, key=found.__getitem__)
