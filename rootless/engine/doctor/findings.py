"""The result of a check of `doctor`, and the file system of a directory."""

from __future__ import annotations

import errno
import os
from enum import Enum
from pathlib import Path
from typing import NamedTuple


class Verdict(Enum):
    """The result of a check."""

    OK = "ok"
    DEGRADED = "degraded"
    """Containers run, but not with every option."""
    MISSING = "missing"
    """No container can run."""


class Finding(NamedTuple):
    """The result of one check. `why`: what needs the feature; `remedy`: how to enable it."""

    subject: str
    verdict: Verdict
    found: str
    why: str
    remedy: str = ""


def has_attributes(directory: Path) -> bool:
    """Whether the file system of a directory has `user.*` attributes."""
    try:
        os.getxattr(directory, "user.rootless.probe")
    except OSError as error:
        return error.errno == errno.ENODATA
    return True


def file_system_name(path: Path) -> str:
    """The kind of file system that holds `path`: the last mount at or above it in
    /proc/self/mountinfo.
    """
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    best = ""
    kind = "unknown"
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        where = fields[4]
        inside = str(path) == where or str(path).startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best) and fields[2] == wanted:
            best, kind = where, after.split(" ")[0]
    return kind
