"""Shell completion of arguments and of the values of options: names of images and containers, and fixed words."""

from __future__ import annotations

from collections.abc import Callable

import typer

from rootless.cli.context import Settings, engine_of
from rootless.engine import Engine
from rootless.errors import RootlessError

# Called by typer with the context and what has been typed of the word.
Completer = Callable[[typer.Context, str], list[str]]


def words(choices: tuple[str, ...]) -> Completer:
    """A completer for an option that takes one of these words."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
        return [each for each in choices if each.startswith(incomplete)]

    return complete


def operands(kind: str, arguments: str, *, only_first: bool) -> Completer:
    """A completer for the arguments of a command.

    Args:
        kind: `network`, `volume`, `image`, `container`, or `object` for the latter two.
        arguments: The name of the parameter that holds the arguments before.
        only_first: The others belong to another program, or are no names of such objects.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        before = ctx.params.get(arguments) or ()
        if only_first and before:
            return []
        return [
            each
            for each in names(kind, _engine(ctx))
            if each.startswith(incomplete) and each not in before
        ]

    return complete


def names(kind: str, engine: Engine) -> list[str]:
    """The names of every object of a kind; of images without a name, short ids. Nothing where the
    store cannot be read: a shell has no use for the error.
    """
    found: dict[str, None] = {}
    try:
        if kind == "network":
            from rootless.filters import NetworkFilters

            return [record.name for record in engine.networks.matching(NetworkFilters())]
        if kind == "volume":
            return [record.name for record in engine.volumes.matching()]
        if kind != "image":
            found |= dict.fromkeys(record.name for record in engine.containers())
        if kind != "container":
            found |= dict.fromkeys(
                f"{row.repository}:{row.tag}"
                if row.tag != "<none>"
                else row.id.removeprefix("sha256:")[:12]
                for row in engine.images()
            )
    except (OSError, RootlessError):
        return []
    return list(found)


def _engine(ctx: typer.Context) -> Engine:
    """The engine over the store of the global options."""
    given = ctx.find_root().params
    return engine_of(Settings(root=given.get("root"), runroot=given.get("runroot")))
