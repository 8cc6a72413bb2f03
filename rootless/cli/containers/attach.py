"""`attach`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, OnFlag, Parsed, Text

_DETACH_KEYS = Text(
    ("detach-keys",),
    "Override the key sequence for detaching a container (default ctrl-p,ctrl-q)",
    "KEYS",
)
_NO_STDIN = Flag(("no-stdin",), "Do not attach STDIN")
_SIG_PROXY = OnFlag(("sig-proxy",), "Proxy all received signals to the process (default true)")


def attach(parsed: Parsed, settings: Settings) -> int:
    """Connect to a running container; returns its status."""
    keys = b""
    if text := parsed[_DETACH_KEYS]:
        from rootless.cli.flags.detach_keys import parse_detach_keys

        keys = parse_detach_keys(text)
    outcome = engine_of(settings).attach(
        parsed.arguments[0],
        stdin=not parsed[_NO_STDIN],
        signals=parsed[_SIG_PROXY],
        detach_keys=keys,
    )
    return outcome.status


ATTACH = Command(
    "attach",
    "Attach local standard input, output, and error streams to a running container",
    "CONTAINER",
    (_DETACH_KEYS, _NO_STDIN, _SIG_PROXY),
    attach,
    least=1,
    most=1,
    operand="container",
)
