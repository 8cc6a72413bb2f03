"""What every command of the command line is given."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine

PROGRAM = "rootless"
COMPLETION_VARIABLE = "_ROOTLESS_COMPLETE"


class Settings(NamedTuple):
    """The options that stand before the command."""

    debug: bool = False
    root: str | None = None
    runroot: str | None = None
    storage_driver: str | None = None


def engine_of(settings: Settings) -> Engine:
    """The engine over the store that the global options name. Raises UsageError."""
    from rootless.engine import Engine
    from rootless.spec.storage_driver import parse_driver

    driver = settings.storage_driver
    return Engine(
        root=settings.root,
        runroot=settings.runroot,
        debug=settings.debug,
        storage_driver=parse_driver(driver, "--storage-driver") if driver else None,
    )
