"""Which containers a command is about: those of its arguments, or the one that was created last."""

from __future__ import annotations

from rootless.cli.grammar import Flag, GrammarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.grammar import Parsed
    from rootless.engine import Engine

LATEST = Flag(("latest", "l"), "Act on the container that was created last")


def chosen(parsed: Parsed, engine: Engine, command: str) -> Sequence[str]:
    """Names or ids. Raises GrammarError where there are neither arguments nor --latest, or both."""
    if parsed[LATEST]:
        if parsed.arguments:
            raise GrammarError("--latest and containers cannot be used together")
        return (engine.latest(),)
    if not parsed.arguments:
        raise GrammarError(f"'rootless {command}' requires at least 1 argument", exit_status=1)
    return parsed.arguments
