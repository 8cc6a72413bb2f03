"""The context of a command: settings, files and directories that every handler is given."""

from __future__ import annotations

import os
import sys

from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.configuration.values import Configuration
    from rootless.engine import Engine
    from rootless.engine.new_containers import NewContainers
    from rootless.ranks.recipe import Claim
    from rootless.spec.storage_driver import StorageDriver
    from rootless.supervisor.ahead import MonitorAhead

PROGRAM = "rootless"
COMPLETION_VARIABLE = "_ROOTLESS_COMPLETE"


class Settings(NamedTuple):
    """The options that stand before the command, the recipe that this process is to write if it becomes a rank, and the
    monitor that has been forked for the container of `run`."""

    debug: bool = False
    root: str | None = None
    runroot: str | None = None
    storage_driver: str | None = None
    claim: Claim | None = None
    ahead: MonitorAhead | None = None


def engine_of(settings: Settings) -> Engine:
    """The engine over the store that the global options name. Raises UsageError."""
    from rootless.engine import Engine

    return Engine(
        root=absolute(settings.root) if settings.root else None,
        runroot=absolute(settings.runroot) if settings.runroot else None,
        debug=settings.debug,
        storage_driver=_driver(settings),
    )


def new_containers(settings: Settings, configuration: Configuration | None) -> NewContainers:
    """The maker of containers in the store that the global options name; `configuration` is what rootless.toml
    sets. Raises UsageError.
    """
    from rootless.containers.storage_paths import storage_paths
    from rootless.engine.new_containers import NewContainers

    root, runroot = settings.root, settings.runroot
    return NewContainers(
        storage_paths(
            absolute(root) if root else None,
            absolute(runroot) if runroot else None,
            os.environ,
            configuration,
        ),
        os.environ,
        settings.debug,
        _driver(settings),
    )


def _driver(settings: Settings) -> StorageDriver | None:
    if not settings.storage_driver:
        return None
    from rootless.spec.storage_driver import parse_driver

    return parse_driver(settings.storage_driver, "--storage-driver")


def absolute(path: str) -> str:
    """The path from the root. Raises UsageError where the current directory has been removed."""
    return os.path.normpath(path if path.startswith("/") else f"{current_directory()}/{path}")


def current_directory() -> str:
    """Where relative paths begin. Raises UsageError if it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise UsageError(
            "the current directory does not exist any more",
            hint="change to another directory, or use absolute paths",
        ) from None


def preserved_descriptors(count: int | None, lists: Sequence[str]) -> tuple[int, ...]:
    """The descriptors of --preserve-fds and --preserve-fd, which the command gets. Raises UsageError."""
    if not (count or lists):
        return ()
    from rootless.cli.inherited_descriptors import inherited_descriptors

    return inherited_descriptors(count, lists)


def read_text(path: str) -> str:
    """A file of --env-file or --label-file; `-` is standard input. Raises UsageError."""
    if path == "-":
        return sys.stdin.read()
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from error
