"""Sizes as Docker writes them: 64m, 1.5g, 512, 10MiB; all units are powers of 1024."""

from __future__ import annotations

from rootless.errors import UsageError

_SIZE = r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?"


def parse_size(text: str, flag: str) -> int:
    """Bytes.

    Raises:
        UsageError: not a size; `flag` is named.
    """
    import re

    match = re.fullmatch(_SIZE, text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise UsageError(f"invalid argument {text!r} for {flag}: invalid size")
    number, unit = match.groups()
    return int(float(number) * 1024 ** " kmgtp".index(unit.lower() or " "))
