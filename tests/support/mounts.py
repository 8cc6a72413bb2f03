"""Mounts that an aborted run left behind: found, and taken away before pytest trips over them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _unescape(field: str) -> str:
    """Undo the octal escapes of proc_pid_mountinfo(5)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def mounted_below(directory: Path) -> Iterator[tuple[Path, str]]:
    """Mount point and file system type of every mount beneath a directory, the last mounted
    first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(lines):
        left, _, right = line.partition(" - ")
        point = Path(_unescape(left.split()[4]))
        if directory in point.parents:
            yield point, right.split()[0]


def sweep() -> None:
    """Detach FUSE mounts beneath our own temporary directories, and no others."""
    for directory in (Path(tempfile.gettempdir()), Path("/tmp")):
        for point, kind in mounted_below(directory):
            ours = directory != Path("/tmp") or point.relative_to(directory).parts[0].startswith(
                ("rl-", "pytest-of-")
            )
            if kind.startswith("fuse") and ours:
                # fusermount3 itself refuses mounts of other users.
                subprocess.run(
                    ["fusermount3", "-u", "-z", point],
                    check=False,
                    timeout=120,
                    stderr=subprocess.DEVNULL,
                )
