"""Suggests the known word that is most similar to an unknown one. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_FARTHEST = 2
"""Letters to insert, delete or change, at most."""


def suggestion(word: str, options: Iterable[str], *, case_matters: bool = True) -> str:
    """The option nearest to a word, or an empty text if none is near, or the word is one of them. Of two as near
    one with the same letters counts, else the first. Without `case_matters` it has the case of the word."""
    wanted = word if case_matters else word.lower()
    best, best_rank = "", (_FARTHEST + 1, False)
    for option in options:
        candidate = option if case_matters else option.lower()
        if candidate == wanted:
            return ""
        rank = (_distance(wanted, candidate), sorted(wanted) != sorted(candidate))
        if rank < best_rank:
            best, best_rank = candidate, rank
    if not case_matters and best and word == word.upper() != word.lower():
        return best.upper()
    return best


def did_you_mean(word: str, options: Iterable[str], *, case_matters: bool = True) -> str:
    """` (did you mean NAME?)`, or an empty text."""
    found = suggestion(word, options, case_matters=case_matters)
    return f" (did you mean {found}?)" if found else ""


def _distance(one: str, other: str) -> int:
    """The Levenshtein distance, or a number above _FARTHEST for two words that are farther apart."""
    if abs(len(one) - len(other)) > _FARTHEST:
        return _FARTHEST + 1
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        previous, row[0] = row[0], index
        for position, expected in enumerate(other, 1):
            changed = previous + (letter != expected)
            previous = row[position]
            row[position] = min(changed, previous + 1, row[position - 1] + 1)
    return row[-1]
