"""One pattern for paths: `*`, `?`, `[a-z]` and `**`. Pure.

Go's filepath.Match within a name, and `**` for any number of directories, as in github.com/moby/patternmatcher. What it
makes of `**` within a name holds here too: `a**b` is `ab`, or `a…/…/b`. A bracket never matches a slash.

A match takes time in proportion to the product of the lengths of path and pattern at most. Between two `*` of one name, and
between two `**`, the first place that fits is as good as any later one, so the expression does not go back there
(atomic groups).
"""

from __future__ import annotations

import re

from unionfs.light_types import Enum

_MOST_WITHIN_NAMES = 4


class _Wildcard(Enum):
    NAME_PART = "*"
    DIRECTORIES = "**/"
    """Any number of directories, each with its slash; none at all too."""
    EVERYTHING = "**"
    """Whatever follows; only at the end."""


_Token = str | _Wildcard
"""A wildcard, or the expression of one letter."""


def compile_path_pattern(pattern: str) -> re.Pattern[str]:
    """The expression whose `fullmatch` finds the paths that a clean pattern does. Raises ValueError."""
    alternatives = _without_directories_within_names(_tokens(pattern))
    return re.compile("|".join(_expression(each) for each in alternatives))


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern matches something else than itself."""
    return any(letter in pattern for letter in "*?[]\\")


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "*":
            token, position = _star(pattern, position)
            tokens.append(token)
        elif letter == "?":
            tokens.append("[^/]")
        elif letter == "[":
            expression, position = _bracket(pattern, position)
            tokens.append(expression)
        elif letter == "\\":
            if position == len(pattern):
                raise ValueError("syntax error in pattern")
            tokens.append(re.escape(pattern[position]))
            position += 1
        else:
            tokens.append("/" if letter == "/" else re.escape(letter))
    return tokens


def _star(pattern: str, position: int) -> tuple[_Wildcard, int]:
    """The wildcard whose first star is before `position`, and where the pattern goes on."""
    if pattern[position : position + 1] != "*":
        return _Wildcard.NAME_PART, position
    position += 1
    if pattern[position : position + 1] == "/":
        position += 1
    at_end = position == len(pattern)
    return (_Wildcard.EVERYTHING if at_end else _Wildcard.DIRECTORIES), position


def _bracket(pattern: str, position: int) -> tuple[str, int]:
    """The expression of `[...]`, and where the pattern goes on."""
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    while pattern[position : position + 1] != "]" or not ranges:
        first, position = _bracket_letter(pattern, position)
        last = first
        if pattern[position : position + 1] == "-":
            last, position = _bracket_letter(pattern, position + 1)
        if first > last:
            raise ValueError("syntax error in pattern")
        ranges.append(f"{re.escape(first)}-{re.escape(last)}")
    inner = "".join(ranges)
    return (f"[^/{inner}]" if negated else f"(?!/)[{inner}]"), position + 1


def _bracket_letter(pattern: str, position: int) -> tuple[str, int]:
    letter = pattern[position : position + 1]
    if letter == "\\":
        position += 1
        letter = pattern[position : position + 1]
    elif letter in ("-", "]"):
        raise ValueError("syntax error in pattern")
    if not letter:
        raise ValueError("syntax error in pattern")
    return letter, position + 1


def _without_directories_within_names(tokens: list[_Token]) -> list[list[_Token]]:
    """The same as alternatives whose `**/` are all at the start of a name."""
    found: list[list[_Token]] = [[]]
    doubled = 0
    for place, token in enumerate(tokens):
        within_name = token is _Wildcard.DIRECTORIES and not _starts_name(tokens, place)
        if not within_name:
            for each in found:
                each.append(token)
            continue
        doubled += 1
        if doubled > _MOST_WITHIN_NAMES:
            raise ValueError(f"more than {_MOST_WITHIN_NAMES} ** within names")
        rest_of_name: list[_Token] = [_Wildcard.NAME_PART, "/", _Wildcard.DIRECTORIES]
        found += [[*each, *rest_of_name] for each in found]
    return found


def _starts_name(tokens: list[_Token], place: int) -> bool:
    return place == 0 or tokens[place - 1] in ("/", _Wildcard.DIRECTORIES)


def _expression(tokens: list[_Token]) -> str:
    """Groups of names with any number of directories between them."""
    ends_open = bool(tokens) and tokens[-1] is _Wildcard.EVERYTHING
    groups: list[list[_Token]] = [[]]
    for token in tokens[:-1] if ends_open else tokens:
        if token is _Wildcard.DIRECTORIES:
            groups.append([])
        else:
            groups[-1].append(token)
    first, *others = [_group(each) for each in groups]
    if not others:
        return first + (r"[^\n]*" if ends_open else "")
    if ends_open:
        middle, last = others, r"[^\n]*"
    else:
        middle, last = others[:-1], rf"(?:[^\n]*/)?{others[-1]}"
    return first + "".join(rf"(?>(?:[^/\n]*/)*?{each})" for each in middle) + last


def _group(tokens: list[_Token]) -> str:
    """Names between slashes."""
    names: list[list[_Token]] = [[]]
    for token in tokens:
        if token == "/":
            names.append([])
        else:
            names[-1].append(token)
    return "/".join(_name(each) for each in names)


def _name(tokens: list[_Token]) -> str:
    parts = [""]
    for token in tokens:
        if isinstance(token, str):
            parts[-1] += token
        else:
            parts.append("")
    first, *others = parts
    if not others:
        return first
    # The last part is at the end of the name.
    return first + "".join(f"(?>[^/]*?{each})" for each in others[:-1]) + f"[^/]*{others[-1]}"
