"""Collects the paths that are hidden from a tried command: those of its options, of the site's and of the user's
list, and other names of the same files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rootless.errors import UsageError

SITE_LIST = "/etc/rootless/try-hide"
_USER_LIST = "rootless/try-hide"


def hidden_paths(
    asked: Iterable[str],
    environ: Mapping[str, str],
    home: str,
    through: Sequence[str] = (),
    *,
    site_list: str = SITE_LIST,
) -> tuple[str, ...]:
    """Absolute paths that exist. A line of a list is a path, with `~` for the home directory; one that begins with `#`
    is a comment.

    A file in a hidden directory that has further names (hard links) is given by itself too, so that it is hidden by
    all of them. In `through`, what is the host's itself, only a path can be hidden: the names there are given too.

    Raises:
        UsageError: a path that was asked for does not exist or is the root, or a list cannot be read.
    """
    found: dict[str, None] = {}
    for path in asked:
        if not os.path.lexists(path):
            raise UsageError(f"--hide {path}: no such file or directory")
        if os.path.realpath(path) == "/":
            raise UsageError(f"--hide {path}: everything would be hidden, the command too")
        found[os.path.realpath(path)] = None
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    for place in (site_list, f"{config}/{_USER_LIST}"):
        for line in _lines(place):
            path = home + line[1:] if line.startswith("~") else line
            if path.startswith("/") and os.path.lexists(path):
                found[os.path.realpath(path)] = None
    for path in list(found):
        for linked, _ in _linked_files(path):
            found[linked] = None
    numbers = {number for path in found for number in _number_of_linked(path)}
    for path in through if numbers else ():
        for linked, number in _linked_files(path):
            if number in numbers:
                found[linked] = None
    return tuple(found)


def _lines(place: str) -> Iterator[str]:
    try:
        with open(place, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot read {place}: {error.strerror}") from error
    yield from (line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _linked_files(place: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The files at or below a path that have several names, with device and inode number."""
    for number in _number_of_linked(place):
        yield place, number
    for above, _, names in os.walk(place):
        for name in names:
            path = f"{above}/{name}"
            for number in _number_of_linked(path):
                yield path, number


def _number_of_linked(path: str) -> Iterator[tuple[int, int]]:
    """Device and inode number of a regular file that has several names."""
    try:
        found = os.lstat(path)
    except OSError:
        return
    if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
        yield found.st_dev, found.st_ino
