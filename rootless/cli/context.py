"""What every command of the command line is given, and how its handler is found."""

from __future__ import annotations

from rootless.cli.grammar import Command, Parsed
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from rootless.engine import Engine

Handler: TypeAlias = "Callable[[Parsed, Settings], int]"


PROGRAM = "rootless"
COMPLETION_VARIABLE = "_ROOTLESS_COMPLETE"


class Settings(NamedTuple):
    """The options that stand before the command."""

    debug: bool = False
    root: str | None = None
    runroot: str | None = None
    storage_driver: str | None = None


def engine_of(settings: Settings) -> Engine:
    """The engine over the store that the global options name."""
    from rootless.engine import Engine

    return Engine(
        root=settings.root,
        runroot=settings.runroot,
        debug=settings.debug,
        storage_driver=settings.storage_driver,
    )


def handler_of(command: Command) -> Handler:
    """The function that carries the command out; importing it is most of what a command costs."""
    module, _, function = command.handler.partition(":")
    # importlib.import_module, without the package that it is in.
    handler: Handler = getattr(__import__(module, fromlist=(function,)), function)
    return handler
