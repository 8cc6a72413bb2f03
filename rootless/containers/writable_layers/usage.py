"""Reads the usage of a limited writable layer, which its file server writes."""

from __future__ import annotations

from struct import error

from unionfs.light_types import NamedTuple
from unionfs.limited.quota import REPORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

NAME = "storage-usage"


class StorageUsage(NamedTuple):
    """Sizes in bytes. A limit is 0 where there is none."""

    size: int
    inodes: int
    size_limit: int
    inodes_limit: int


def storage_usage(directory: str | os.PathLike[str]) -> StorageUsage | None:
    """Of the container with this directory; None if its writable layer has no limit."""
    try:
        with open(f"{directory}/{NAME}", "rb") as report:
            return StorageUsage(*REPORT.unpack(report.read(REPORT.size)))
    except (OSError, error):
        return None
