"""`rename`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.errors import UsageError


def rename(parsed: Parsed, settings: Settings) -> int:
    """Rename a container, which may be running."""
    old, new = parsed.arguments
    if not old or not new:
        raise UsageError("Neither old nor new names may be empty")
    engine_of(settings).rename(old, new)
    return 0


RENAME = Command(
    "rename",
    "Rename a container",
    "CONTAINER NEW_NAME",
    (),
    rename,
    least=2,
    most=2,
    operand="container",
)
