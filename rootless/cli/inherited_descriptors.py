"""--preserve-fds and --preserve-fd: passes descriptors of the caller to a command (podman)."""

from __future__ import annotations

import os

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST = 3


def inherited_descriptors(count: int | None, lists: Iterable[str]) -> tuple[int, ...]:
    """`count` descriptors beyond the standard streams, and those of the lists, which are separated by commas. Raises
    UsageError for one that this process was not started with.
    """
    if (count or 0) < 0:
        raise UsageError(f"--preserve-fds: {count} is negative")
    found = [(f"{each}", "preserve-fds") for each in range(_FIRST, _FIRST + (count or 0))]
    found += [(word, "preserve-fd") for text in lists for word in text.split(",")]
    return tuple(dict.fromkeys(_inherited(word, option) for word, option in found))


def _inherited(word: str, option: str) -> int:
    if not word.isdecimal():
        raise UsageError(f"--{option}: {word!r} is not a file descriptor number")
    descriptor = int(word)
    if descriptor < _FIRST:
        raise UsageError(f"--{option}: descriptor {descriptor} is a standard stream", hint="use -i")
    try:
        # What Python itself has opened is close-on-exec (PEP 446).
        if os.get_inheritable(descriptor):
            return descriptor
    except (OSError, OverflowError):
        pass
    raise UsageError(f"--{option}: descriptor {descriptor} is not open")
