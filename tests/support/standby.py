"""Processes of the engine that stand by: they wait in a small program (docs/decisions/1870)."""

from __future__ import annotations

from pathlib import Path

MEMORY = 64 << 10
"""Bytes of one that stands by, without files that are mapped: how many processes share those is chance."""


def stands_by(pid: int) -> bool:
    """Whether it waits, in the program for that."""
    waits = "poll" in Path(f"/proc/{pid}/wchan").read_text()
    return waits and b"standby" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def memory_of(pid: int) -> int:
    """Bytes, without files that are mapped."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(
        int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Anonymous:")
    )
