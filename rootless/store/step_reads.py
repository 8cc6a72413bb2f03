"""The files that steps of earlier builds have read, for builds that find steps by them.

    build/reads/<hex of the reads key>/<hex of the step's key>.json

The reads key is made of what the step was given, without its parent. The document is a list of lists, one
for each path that the step saw: see `Seen`. A record is replaced whole; one whose step has been removed
is of no use.
"""

from __future__ import annotations

import os

from rootless.durable import remove_tree, write_atomically
from rootless.light_json import dumps, loads
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.layout import Store

_MOST_BYTES = 1 << 28
_MOST_RECORDS = 8
"""Of one reads key: the results for this number of different parents are kept."""
_FIELDS = 6


class Seen(NamedTuple):
    """One path as a step saw it. What it did not look at is empty."""

    path: bytes
    """Relative, without slashes at the ends."""
    state: str
    """Type, mode, owner, and what else stat(2) gives, except times and numbers; empty if nothing is there."""
    content: str = ""
    """The SHA-256 of the data, in hexadecimal."""
    place: str = ""
    """Where the data lie, `diffID+offset`: the same place has the same data."""
    names: str = ""
    """A digest of the names in a directory and of their types."""
    xattrs: str = ""
    """A digest of the extended attributes."""


class StepReads(NamedTuple):
    """The files that a step read; `step` is its key."""

    step: str
    seen: tuple[Seen, ...]


def save_reads(store: Store, reads_key: str, reads: StepReads, *, instead_of: str = "") -> None:
    """Record what a step saw, in place of the record of the step `instead_of`. Removes the oldest records of the
    same reads key. Raises OSError."""
    directory = _directory(store, reads_key)
    os.makedirs(directory, 0o700, exist_ok=True)
    rows = [[os.fsdecode(each.path), *each[1:]] for each in reads.seen]
    write_atomically(f"{directory}/{reads.step}.json", dumps(rows), durable=False)
    obsolete = _keys(directory)[_MOST_RECORDS:]
    for key in {*obsolete, instead_of} - {"", reads.step}:
        _unlink(f"{directory}/{key}.json")


def find_reads(store: Store, reads_key: str) -> list[StepReads]:
    """The records of this reads key, the newest first, without those that are damaged."""
    directory = _directory(store, reads_key)
    found = []
    for key in _keys(directory):
        try:
            with open(f"{directory}/{key}.json", "rb") as file:
                rows = loads(file.read(_MOST_BYTES))
            seen = tuple(_seen(row) for row in rows)
        except (OSError, ValueError, TypeError, RecursionError):
            continue
        found.append(StepReads(key, seen))
    return found


def forget_reads(store: Store, keys: set[str] | None = None) -> None:
    """Remove the records of these steps, or all."""
    top = f"{store.root}/build/reads"
    if keys is None:
        remove_tree(top)
        return
    try:
        names = os.listdir(top)
    except FileNotFoundError:
        return
    for name in names:
        for key in keys.intersection(_keys(f"{top}/{name}")):
            _unlink(f"{top}/{name}/{key}.json")


def _seen(row: list[str]) -> Seen:
    if len(row) != _FIELDS or not all(isinstance(field, str) for field in row):
        raise ValueError("not what a step saw")
    return Seen(os.fsencode(row[0]), *row[1:])


def _directory(store: Store, reads_key: str) -> str:
    return f"{store.root}/build/reads/{reads_key}"


def _keys(directory: str) -> list[str]:
    """The steps that have a record, the newest first."""
    try:
        with os.scandir(directory) as entries:
            found = [
                (entry.stat().st_mtime_ns, entry.name.removesuffix(".json"))
                for entry in entries
                if entry.name.endswith(".json") and not entry.name.startswith(".")
            ]
    except OSError:
        return []
    return [key for _, key in sorted(found, reverse=True)]


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
