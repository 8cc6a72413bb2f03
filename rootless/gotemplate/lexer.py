"""Template text to tokens (text/template/parse, "lex"). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    TEXT = auto()
    LEFT = auto()
    RIGHT = auto()
    SPACE = auto()
    IDENTIFIER = auto()
    KEYWORD = auto()
    FIELD = auto()
    DOT = auto()
    VARIABLE = auto()
    NUMBER = auto()
    CHARACTER = auto()
    STRING = auto()
    RAW_STRING = auto()
    BOOL = auto()
    NIL = auto()
    PIPE = auto()
    OPEN = auto()
    CLOSE = auto()
    COMMA = auto()
    ASSIGN = auto()
    DECLARE = auto()
    END = auto()


class Token(NamedTuple):
    """`position` is an offset in the template."""

    kind: Kind
    text: str
    position: int


class LexError(Exception):
    """The message, and where."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


KEYWORDS = frozenset(
    "block break continue define else end if range template with".split()  # noqa: SIM905 - reads better
)
_SPACES = " \t\r\n"
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(
    r"[+-]?(0[xX][0-9a-fA-F_]*(\.[0-9a-fA-F_]*)?([pP][+-]?[0-9_]+)?|0[oO][0-7_]+|0[bB][01_]+"
    r"|[0-9_]*\.?[0-9_]*([eE][+-]?[0-9_]+)?)"
)
_QUOTED = {
    '"': re.compile(r'"(\\[^\n]|[^"\\\n])*"'),
    "'": re.compile(r"'(\\[^\n]|[^'\\\n])*'"),
    "`": re.compile(r"`[^`]*`"),
}
_QUOTES = {
    '"': (Kind.STRING, "unterminated quoted string"),
    "'": (Kind.CHARACTER, "unterminated character constant"),
    "`": (Kind.RAW_STRING, "unterminated raw quoted string"),
}
_SINGLE = {"|": Kind.PIPE, "(": Kind.OPEN, ")": Kind.CLOSE, ",": Kind.COMMA, "=": Kind.ASSIGN}


def tokens(text: str) -> Iterator[Token]:
    """Ends with END. Raises LexError."""
    position = 0
    while True:
        left = text.find("{{", position)
        if left < 0:
            if position < len(text):
                yield Token(Kind.TEXT, text[position:], position)
            yield Token(Kind.END, "", len(text))
            return
        trim = text[left + 2 : left + 3] == "-" and text[left + 3 : left + 4] in set(_SPACES)
        before = text[position:left]
        if trim:
            before = before.rstrip(_SPACES)
        if before:
            yield Token(Kind.TEXT, before, position)
        inside = left + (3 if trim else 2)
        comment = inside + 1 if trim else inside
        if text.startswith("/*", comment):
            position = _after_comment(text, comment)
            continue
        yield Token(Kind.LEFT, "{{", left)
        action = _Action(text, inside)
        yield from action.tokens()
        position = action.position


def _after_comment(text: str, start: int) -> int:
    end = text.find("*/", start)
    if end < 0:
        raise LexError("unclosed comment", start)
    end += 2
    if text.startswith("}}", end):
        return end + 2
    if text[end : end + 1] in set(_SPACES) and text.startswith("-}}", end + 1):
        return _skip_spaces(text, end + 4)
    raise LexError("comment ends before closing delimiter", start)


def _skip_spaces(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACES:
        position += 1
    return position


class _Action:
    """What stands between two delimiters."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position
        self.depth = 0

    def tokens(self) -> Iterator[Token]:
        while True:
            token = self._next()
            self.position = token.position + len(token.text)
            if token.kind is Kind.RIGHT:
                if self.depth:
                    raise LexError("unclosed left paren", token.position)
                if token.text != "}}":
                    self.position = _skip_spaces(self.text, self.position)
            yield token
            if token.kind is Kind.RIGHT:
                return

    def _next(self) -> Token:
        text, start = self.text, self.position
        if start >= len(text):
            raise LexError("unclosed action", start)
        char = text[start]
        if text.startswith("}}", start):
            return Token(Kind.RIGHT, "}}", start)
        if char in _SPACES:
            if text.startswith("-}}", start + 1):
                return Token(Kind.RIGHT, text[start : start + 4], start)
            end = _skip_spaces(text, start)
            # The last space may belong to a trim marker.
            if text.startswith("-}}", end) and end - start > 1:
                end -= 1
            return Token(Kind.SPACE, text[start:end], start)
        if text.startswith(":=", start):
            return Token(Kind.DECLARE, ":=", start)
        if char in _SINGLE:
            self.depth += {"(": 1, ")": -1}.get(char, 0)
            if self.depth < 0:
                raise LexError("unexpected right paren", start)
            return Token(_SINGLE[char], char, start)
        if char in _QUOTED:
            match = _QUOTED[char].match(text, start)
            if match is None:
                raise LexError(_QUOTES[char][1], start)
            return Token(_QUOTES[char][0], match[0], start)
        return self._word_or_number(char, start)

    def _word_or_number(self, char: str, start: int) -> Token:
        text = self.text
        following = text[start + 1 : start + 2]
        if char == "$" or (char == "." and not following.isdigit()):
            match = _WORD.match(text, start + 1)
            token = text[start : match.end()] if match else char
            self._check_end(start + len(token))
            if char == "$":
                return Token(Kind.VARIABLE, token, start)
            return Token(Kind.FIELD if match else Kind.DOT, token, start)
        if char in "+-." or char.isdigit():
            match = _NUMBER.match(text, start)
            number = match[0] if match else char
            after = text[start + len(number) : start + len(number) + 1]
            if after.isalnum() or number in {"+", "-"}:
                raise LexError(f'bad number syntax: "{number}{after}"', start)
            return Token(Kind.NUMBER, number, start)
        match = _WORD.match(text, start)
        if match is None:
            raise LexError(f"unrecognized character in action: U+{ord(char):04X} '{char}'", start)
        word = match[0]
        self._check_end(match.end())
        return Token(_kind_of_word(word), word, start)

    def _check_end(self, end: int) -> None:
        """A word ends at a space, a delimiter or one of a few signs."""
        char = self.text[end : end + 1]
        if char and char not in _SPACES + ".,|:()=" and not self.text.startswith("}}", end):
            raise LexError(f"bad character U+{ord(char):04X} '{char}'", end)


def _kind_of_word(word: str) -> Kind:
    if word in KEYWORDS:
        return Kind.KEYWORD
    if word in {"true", "false"}:
        return Kind.BOOL
    return Kind.NIL if word == "nil" else Kind.IDENTIFIER
