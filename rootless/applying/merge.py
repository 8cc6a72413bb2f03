"""Three-way merges of texts by lines, as git merge-file makes them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rootless.changes.line_diff import matches

_OURS, _BETWEEN, _THEIRS = b"<<<<<<< host\n", b"=======\n", b">>>>>>> container\n"


class Merged(NamedTuple):
    """A text, and whether it has marks where both sides changed the same lines."""

    text: bytes
    has_conflicts: bool


def merge(base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """The changes of both sides to `base`. Lines that both have changed differently stand between marks."""
    old, mine, other = (each.splitlines(keepends=True) for each in (base, ours, theirs))
    mine_at, other_at = _places(old, mine), _places(old, other)
    made: list[bytes] = []
    has_conflicts = False
    at = mine_from = other_from = 0
    for line in [*(number for number in mine_at if number in other_at), len(old)]:
        mine_to, other_to = mine_at.get(line, len(mine)), other_at.get(line, len(other))
        parts = old[at:line], mine[mine_from:mine_to], other[other_from:other_to]
        chosen = _chosen(*parts)
        if chosen is None:
            has_conflicts = True
            chosen = [_OURS, *_ended(parts[1]), _BETWEEN, *_ended(parts[2]), _THEIRS]
        made += chosen
        made += old[line : line + 1]
        at, mine_from, other_from = line + 1, mine_to + 1, other_to + 1
    return Merged(b"".join(made), has_conflicts)


def _places(old: Sequence[bytes], new: Sequence[bytes]) -> dict[int, int]:
    """Where lines of the old text are in the new one, in order."""
    return {
        first + step: new_first + step
        for first, new_first, count in matches(old, new)
        for step in range(count)
    }


def _chosen(
    old: Sequence[bytes], mine: Sequence[bytes], other: Sequence[bytes]
) -> list[bytes] | None:
    """What becomes of a part that is not the same in all three; None for a conflict."""
    if mine in (old, other):
        return list(other)
    return list(mine) if other == old else None


def _ended(lines: Sequence[bytes]) -> list[bytes]:
    """The lines, the last one with a newline too."""
    return [line if line.endswith(b"\n") else line + b"\n" for line in lines]
