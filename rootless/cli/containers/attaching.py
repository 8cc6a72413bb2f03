"""Options of the commands that connect the caller's streams to a container: `attach` and `start`."""

from __future__ import annotations

from rootless.cli.grammar import OnFlag, Parsed, Text

DETACH_KEYS = Text(
    ("detach-keys",),
    "Override the key sequence for detaching a container (default ctrl-p,ctrl-q)",
    "KEYS",
)
SIG_PROXY = OnFlag(("sig-proxy",), "Proxy all received signals to the process (default true)")


def detach_keys(parsed: Parsed) -> bytes:
    """The keys of --detach-keys; empty for docker's. Raises UsageError."""
    text = parsed[DETACH_KEYS]
    if not text:
        return b""
    from rootless.cli.flags.detach_keys import parse_detach_keys

    return parse_detach_keys(text)
