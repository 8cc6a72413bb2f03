"""Sizes as Docker writes them: 64m, 1.5g, 512, 10MiB; all units are powers of 1024."""

from __future__ import annotations

import re

from rootless.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


def parse_size(text: str, flag: str) -> int:
    """Bytes.

    Raises:
        UsageError: not a size; `flag` is named.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"invalid argument {text!r} for {flag}: invalid size")
    number, unit = match.groups()
    return int(float(number) * 1024 ** " kmgtp".index(unit.lower() or " "))
