"""The storage drivers: unionfs, or kernel overlayfs."""

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
    """The union file system, read and written through FUSE; owners are data."""
    OVERLAY = "overlay"
    """Kernel overlayfs over a read-only union; what is written is the kernel's, owners included."""


def parse_driver(text: str, where: str) -> StorageDriver:
    """The driver of this name; `where` names the option or variable. Raises UsageError."""
    try:
        return StorageDriver(text)
    except ValueError:
        raise UsageError(
            f"{where}: unknown storage driver {text!r}",
            hint=f"use one of {', '.join(driver.value for driver in StorageDriver)}",
        ) from None


def default_driver(environ: Mapping[str, str]) -> StorageDriver:
    """The driver that the environment names, else unionfs. Raises UsageError."""
    text = environ.get(VARIABLE)
    return parse_driver(text, VARIABLE) if text else StorageDriver.UNIONFS
