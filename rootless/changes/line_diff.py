"""Differences between two texts by lines. Pure.

Lines that are once in each text are matched first, in their longest common order (the "patience" algorithm); what
lies between two of them is compared by itself. Small parts without such lines go to difflib; larger ones count as
replaced, so that the time stays near-linear.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_CONTEXT = 3
_LARGEST = 1 << 20
"""Product of the numbers of lines up to which difflib compares them."""


class Hunk(NamedTuple):
    """A part of a unified diff: lines that begin with a blank, `-` or `+`, and where they are, from 0."""

    old: int
    old_count: int
    new: int
    new_count: int
    lines: list[bytes]


def hunks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[Hunk]:
    """The differences with three lines around each. Lines keep their newline."""
    group: list[tuple[int, int, int, int]] = []
    for edit in _edits(old, new):
        if group and edit[0] - group[-1][1] > 2 * _CONTEXT:
            yield _hunk(old, new, group)
            group = []
        group.append(edit)
    if group:
        yield _hunk(old, new, group)


def _hunk(
    old: Sequence[bytes], new: Sequence[bytes], edits: list[tuple[int, int, int, int]]
) -> Hunk:
    before = min(_CONTEXT, edits[0][0])
    after = min(_CONTEXT, len(old) - edits[-1][1])
    start, new_start = edits[0][0] - before, edits[0][2] - before
    lines: list[bytes] = []
    at = start
    for first, last, new_first, new_last in edits:
        lines += [b" " + line for line in old[at:first]]
        lines += [b"-" + line for line in old[first:last]]
        lines += [b"+" + line for line in new[new_first:new_last]]
        at = last
    lines += [b" " + line for line in old[at : at + after]]
    end, new_end = edits[-1][1] + after, edits[-1][3] + after
    return Hunk(start, end - start, new_start, new_end - new_start, lines)


def _edits(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int, int, int]]:
    """The runs that differ: old lines from, to, new lines from, to."""
    at = new_at = 0
    for first, new_first, count in [*matches(old, new), (len(old), len(new), 0)]:
        if first > at or new_first > new_at:
            yield at, first, new_at, new_first
        at, new_at = first + count, new_first + count


class _Part(NamedTuple):
    """Lines of both texts that are compared: from, to."""

    low: int
    high: int
    new_low: int
    new_high: int


def matches(old: Sequence[bytes], new: Sequence[bytes]) -> list[tuple[int, int, int]]:
    """Runs of equal lines, in order: (position in old, in new, length)."""
    found: list[tuple[int, int, int]] = []
    parts = [_Part(0, len(old), 0, len(new))]
    while parts:
        part = _trimmed(old, new, parts.pop(), found)
        low, high, new_low, new_high = part
        if low == high or new_low == new_high:
            continue
        anchors = _anchors(old, new, part)
        if not anchors:
            found += _small_matches(old, new, part)
            continue
        for anchor, new_anchor in anchors:
            parts.append(_Part(low, anchor, new_low, new_anchor))
            low, new_low = anchor, new_anchor
        parts.append(_Part(low, high, new_low, new_high))
    return _joined(sorted(found))


def _trimmed(
    old: Sequence[bytes], new: Sequence[bytes], part: _Part, found: list[tuple[int, int, int]]
) -> _Part:
    """The part without the equal lines at its ends, which are added to `found`."""
    start, end, new_low, new_high = part
    low, high = start, end
    while low < high and new_low < new_high and old[low] == new[new_low]:
        low, new_low = low + 1, new_low + 1
    if low > start:
        found.append((start, new_low - (low - start), low - start))
    while low < high and new_low < new_high and old[high - 1] == new[new_high - 1]:
        high, new_high = high - 1, new_high - 1
    if end > high:
        found.append((high, new_high, end - high))
    return _Part(low, high, new_low, new_high)


def _joined(found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    joined: list[tuple[int, int, int]] = []
    for first, new_first, count in found:
        if joined:
            last, new_last, length = joined[-1]
            if (last + length, new_last + length) == (first, new_first):
                joined[-1] = (last, new_last, length + count)
                continue
        joined.append((first, new_first, count))
    return joined


def _anchors(old: Sequence[bytes], new: Sequence[bytes], part: _Part) -> list[tuple[int, int]]:
    """The longest increasing sequence of the lines that are once in each part."""
    places = _unique(new, part.new_low, part.new_high)
    pairs = [
        (at, places[line])
        for line, at in _unique(old, part.low, part.high).items()
        if at >= 0 and places.get(line, -1) >= 0
    ]
    ends: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for index, (_, place) in enumerate(sorted(pairs)):
        at = bisect_left(ends, place)
        previous.append(last[at - 1] if at else -1)
        ends[at : at + 1] = [place]
        last[at : at + 1] = [index]
    ordered = sorted(pairs)
    chain: list[tuple[int, int]] = []
    index = last[-1] if last else -1
    while index >= 0:
        chain.append(ordered[index])
        index = previous[index]
    return chain[::-1]


def _unique(lines: Sequence[bytes], low: int, high: int) -> dict[bytes, int]:
    """Where each line is; -1 for one that is there more than once."""
    found: dict[bytes, int] = {}
    for at in range(low, high):
        found[lines[at]] = -1 if lines[at] in found else at
    return found


def _small_matches(
    old: Sequence[bytes], new: Sequence[bytes], part: _Part
) -> list[tuple[int, int, int]]:
    low, high, new_low, new_high = part
    if (high - low) * (new_high - new_low) > _LARGEST:
        return []
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, old[low:high], new[new_low:new_high], autojunk=False)
    return [
        (low + each.a, new_low + each.b, each.size)
        for each in matcher.get_matching_blocks()
        if each.size
    ]
