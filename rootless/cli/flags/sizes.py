"""Byte sizes on the command line. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.sizes import ram_in_bytes


def parse_size(text: str, flag: str) -> int:
    """Bytes. Raises UsageError, which names the flag."""
    try:
        return ram_in_bytes(text)
    except ValueError as error:
        raise UsageError(f'invalid argument "{text}" for "{flag}" flag: {error}') from None
