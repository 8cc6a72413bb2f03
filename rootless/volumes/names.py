"""Names of volumes. Pure, but for the random ones."""

from __future__ import annotations

import os
import string

from rootless.errors import UsageError

_FIRST = frozenset(string.ascii_letters + string.digits)
_OTHERS = _FIRST | frozenset("_.-")
_LONGEST = 255
"""Bytes of a file's name (NAME_MAX)."""


def new_name() -> str:
    """64 hexadecimal digits, as an anonymous volume has."""
    return os.urandom(32).hex()


def check_name(name: str) -> None:
    """Raise UsageError, in docker's words, for what is no name of a volume."""
    if not name or name[0] not in _FIRST or not set(name) <= _OTHERS:
        raise UsageError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    if len(name) < 2:
        raise UsageError(
            f"create {name}: volume name is too short, names should be at least two alphanumeric "
            "characters"
        )
    if len(name) > _LONGEST:
        raise UsageError(f"create {name}: volume name is longer than {_LONGEST} characters")
