"""`attach`."""

from __future__ import annotations

from rootless.cli.containers.attaching import DETACH_KEYS, SIG_PROXY, detach_keys
from rootless.cli.containers.chosen import LATEST, with_latest
from rootless.cli.containers.ending import AttachedEnding
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed

_NO_STDIN = Flag(("no-stdin",), "Do not attach STDIN")


def attach(parsed: Parsed, settings: Settings) -> int:
    """Connect to a running container; returns its status."""
    engine = engine_of(settings)
    (name,) = with_latest(parsed, engine, "attach", most=1)
    outcome = engine.attach(
        name,
        stdin=not parsed[_NO_STDIN],
        signals=parsed[SIG_PROXY],
        detach_keys=detach_keys(parsed),
        resumed=AttachedEnding(settings.debug).exit_after,
    )
    return outcome.status


ATTACH = Command(
    "attach",
    "Attach local standard input, output, and error streams to a running container",
    "CONTAINER",
    (DETACH_KEYS, LATEST, _NO_STDIN, SIG_PROXY),
    attach,
    operand="container",
)
