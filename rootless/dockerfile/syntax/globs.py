"""Patterns within `${...}`: `*`, `?` and letters. Pure.

POSIX, Shell Command Language 2.13.1, without bracket expressions. As in BuildKit no wildcard matches a line
feed. A match takes time in proportion to the product of the lengths of text and pattern at most: the parts
between two `*` are searched for one after the other, each at the first place where it is found.
"""

from __future__ import annotations

import re

from unionfs.light_types import NamedTuple


class _Part(NamedTuple):
    """What stands between two `*`. Every match of it has the same length."""

    expression: re.Pattern[str]
    length: int

    def first(self, text: str, start: int, limit: int) -> int | None:
        """The end of the first match that begins between `start` and `limit`, both included."""
        found = self.expression.search(text, start, min(len(text), limit + self.length))
        return None if found is None else found.end()

    def last(self, text: str, start: int, limit: int) -> int | None:
        """Like `first`, but the last match."""
        for position in range(min(limit, len(text) - self.length), start - 1, -1):
            if self.expression.match(text, position):
                return position + self.length
        return None


class Glob:
    """A pattern. `*` takes as many letters as it can if `greedy`, else as few."""

    def __init__(self, pattern: str, *, greedy: bool, backwards: bool = False) -> None:
        """Raises ValueError for a backslash that escapes none of `*`, `?`, `/`, `}` and the backslash.
        `backwards`: for texts whose letters are in reverse order."""
        tokens = _tokens(pattern)
        if backwards:
            tokens.reverse()
        parts: list[list[str]] = [[]]
        for token in tokens:
            if token == "*":
                parts.append([])
            else:
                parts[-1].append("[^\n]" if token == "?" else re.escape(token[-1]))
        self._parts = [_Part(re.compile("".join(part)), len(part)) for part in parts]
        self._greedy = greedy

    def match(self, text: str, start: int = 0) -> int | None:
        """Where the match that begins at `start` ends, or None."""
        part, *rest = self._parts
        found = part.expression.match(text, start)
        end = None if found is None else found.end()
        for number, part in enumerate(rest, 1):
            if end is None:
                break
            limit = text.find("\n", end)
            place = part.last if self._greedy and number == len(rest) else part.first
            end = place(text, end, len(text) if limit < 0 else limit)
        return end

    def search(self, text: str, start: int) -> tuple[int, int] | None:
        """Begin and end of the first match that begins at `start` or after it."""
        part = self._parts[0]
        while (found := part.expression.search(text, start)) is not None:
            end = self.match(text, found.start())
            if end is not None:
                return found.start(), end
            # What does not follow in the rest of this line does not follow a later start in the line either.
            line_end = text.find("\n", found.end())
            if line_end < 0:
                return None
            start = line_end + 1 - part.length
        return None


def _tokens(pattern: str) -> list[str]:
    """Letters and wildcards one by one; an escaped letter with its backslash."""
    tokens = []
    letters = iter(pattern)
    for letter in letters:
        if letter != "\\":
            tokens.append(letter)
            continue
        escaped = next(letters, "")
        if escaped in ("}", "/"):
            # The closing brace and the slash are escaped for the sake of `${...}`, not of the pattern.
            tokens.append(escaped)
        elif escaped in ("*", "?", "\\"):
            tokens.append(letter + escaped)
        else:
            raise ValueError(f"invalid escape '\\{escaped}'")
    return tokens


def without_prefix(text: str, pattern: str, *, greedy: bool) -> str:
    """A text without the shortest or longest prefix that a pattern matches. Raises ValueError."""
    end = Glob(pattern, greedy=greedy).match(text)
    return text if end is None else text[end:]


def without_suffix(text: str, pattern: str, *, greedy: bool) -> str:
    """A text without the shortest or longest suffix that a pattern matches. Raises ValueError."""
    end = Glob(pattern, greedy=greedy, backwards=True).match(text[::-1])
    return text if end is None else text[: len(text) - end]


def replaced(text: str, pattern: str, replacement: str, *, every: bool) -> str:
    """A text with the first or every longest match of a pattern replaced. Raises ValueError."""
    glob = Glob(pattern, greedy=True)
    result: list[str] = []
    position = copied = 0
    while position <= len(text) and (found := glob.search(text, position)) is not None:
        begin, end = found
        if begin < end or begin > copied or not result:
            result += [text[copied:begin], replacement]
            copied = end
            if not every:
                break
        position = end if begin < end else end + 1
    return "".join([*result, text[copied:]])
