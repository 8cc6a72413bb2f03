"""What stacks a container's layers, and who says so."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "ROOTLESS_STORAGE_DRIVER"


class StorageDriver(Enum):
    """By the names that --storage-driver takes."""

    UNIONFS = "unionfs"
    """Our union, read and written through FUSE; owners are data."""
    OVERLAY = "overlay"
    """Kernel overlayfs over a read-only union; what is written is the kernel's, owners included."""


def storage_driver(
    asked: str | None, default: str | None, environ: Mapping[str, str]
) -> StorageDriver:
    """The driver of a new container: what its command line says, else the global option, else the
    environment, else unionfs. Raises UsageError if there is no such driver."""
    for text, where in (
        (asked, "--storage-driver"),
        (default, "--storage-driver"),
        (environ.get(VARIABLE), VARIABLE),
    ):
        if text:
            known = {driver.value: driver for driver in StorageDriver}
            if text not in known:
                raise UsageError(
                    f"{where}: there is no storage driver {text!r}",
                    hint=f"use one of {', '.join(known)}",
                )
            return known[text]
    return StorageDriver.UNIONFS
