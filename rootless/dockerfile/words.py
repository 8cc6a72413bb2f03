"""Words of an instruction: splitting, quotes, escapes and variables. Pure.

Docker's Dockerfile reference, "Environment replacement". Quotes and escapes are as in a shell: nothing
is special within single quotes; within double quotes the escape character is special before `"`, `$`
and itself. `$NAME` and `${NAME}` are replaced, and within the braces `:-`, `-`, `:+`, `+`, `:?`, `?`,
`#`, `##`, `%`, `%%`, `/` and `//` do what POSIX sh and bash make of them. A variable that is not set is
empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rootless.dockerfile.parser import ESCAPE
from rootless.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")


def split(text: str) -> list[str]:
    """Words at white space outside of quotes; quotes and escapes are kept, for `expand` to remove."""
    words: list[str] = []
    word = ""
    quote = ""
    position = 0
    while position < len(text):
        letter = text[position]
        if not quote and letter.isspace():
            if word:
                words.append(word)
            word = ""
        elif letter == ESCAPE and quote != "'":
            # An escape at the end of the text escapes nothing.
            if position + 1 < len(text):
                word += text[position : position + 2]
            position += 1
        else:
            if letter == quote:
                quote = ""
            elif not quote and letter in "'\"":
                quote = letter
            word += letter
        position += 1
    if word:
        words.append(word)
    return words


def expand(text: str, variables: Mapping[str, str]) -> str:
    """One word or one value: variables replaced, quotes and escapes removed, white space kept. Raises
    UsageError."""
    return _Expansion(text, variables).run()[0]


def expand_words(text: str, variables: Mapping[str, str]) -> list[str]:
    """Like `expand`, but split at white space, that of unquoted variables included."""
    return _Expansion(text, variables).run()[1]


class _Expansion:
    """A scan of one text."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._position = 0

    def run(self) -> tuple[str, list[str]]:
        words = _Words()
        result = self._until("", words)
        return result, words.finished()

    def _failure(self, why: str) -> UsageError:
        return UsageError(f"failed to process {self._text!r}: {why}")

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        letter = self._peek()
        self._position += 1
        return letter

    def _until(self, end: str, words: _Words, *, keep_escapes: bool = False) -> str:
        """Everything up to an unquoted `end`, which is not consumed; all for an empty one.
        `keep_escapes` is for patterns, in which an escaped letter stands for itself."""
        result = ""
        while (letter := self._peek()) != "" and letter != end:
            if letter == "'":
                piece = self._single_quoted()
                words.add_quoted(piece)
            elif letter == '"':
                piece = self._double_quoted()
                words.add_quoted(piece)
            elif letter == "$":
                piece = self._variable()
                words.add(piece)
            elif letter == ESCAPE:
                self._next()
                escaped = self._next()
                piece = ESCAPE + escaped if keep_escapes and escaped else escaped
                words.add_quoted(piece)
            else:
                piece = self._next()
                words.add(piece)
            result += piece
        if end and self._peek() != end:
            raise self._failure(f"unexpected end of statement while looking for {end!r}")
        return result

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._position + 1)
        if end < 0:
            raise self._failure(
                "unexpected end of statement while looking for matching single-quote"
            )
        piece = self._text[self._position + 1 : end]
        self._position = end + 1
        return piece

    def _double_quoted(self) -> str:
        self._next()
        result = ""
        while (letter := self._peek()) != '"':
            if letter == "":
                raise self._failure(
                    "unexpected end of statement while looking for matching double-quote"
                )
            if letter == "$":
                result += self._variable()
            elif letter == ESCAPE:
                self._next()
                escaped = self._next()
                result += escaped if escaped in ('"', "$", ESCAPE) else ESCAPE + escaped
            else:
                result += self._next()
        self._next()
        return result

    def _variable(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            # A dollar that no name follows is one.
            return "$" if not name else self._variables.get(name, "")
        self._next()
        name = self._name()
        if not name:
            raise self._failure("bad substitution: ${ without a name")
        value = self._modified(name)
        if self._next() != "}":
            raise self._failure(f"missing }} after ${{{name}")
        return value

    def _name(self) -> str:
        match = _NAME.match(self._text, self._position)
        if match is None:
            return ""
        self._position = match.end()
        return match[0]

    def _modified(self, name: str) -> str:
        """The value of `${name…}`; the closing brace comes next."""
        value = self._variables.get(name)
        operator = self._next()
        if operator == "}":
            self._position -= 1
            return value or ""
        if operator == ":":
            # With a colon a variable that is empty counts as not set.
            operator = self._next()
            given = value or None
        else:
            given = value
        if operator in ("+", "-", "?"):
            word = self._until("}", _Words())
            if operator == "+":
                return word if given is not None else ""
            if given is None and operator == "?":
                raise self._failure(f"{name}: {word or 'is not allowed to be unset or empty'}")
            return given if given is not None else word
        if operator in ("#", "%"):
            greedy = self._peek() == operator
            if greedy:
                self._next()
            pattern = self._until("}", _Words(), keep_escapes=True)
            return _without(value or "", pattern, prefix=operator == "#", greedy=greedy)
        if operator == "/":
            every = self._peek() == "/"
            if every:
                self._next()
            pattern = self._until("/", _Words(), keep_escapes=True)
            self._next()
            replacement = self._until("}", _Words())
            return re.sub(
                _regular_expression(pattern, greedy=True),
                lambda _: replacement,
                value or "",
                count=0 if every else 1,
                flags=re.DOTALL,
            )
        if not operator:
            raise self._failure(f"missing }} after ${{{name}")
        raise self._failure(f"unsupported modifier ({operator}) in substitution")


class _Words:
    """Collects words while a text is scanned."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._word: str | None = None

    def add(self, text: str) -> None:
        for letter in text:
            if not letter.isspace():
                self._word = (self._word or "") + letter
            elif self._word is not None:
                self._done.append(self._word)
                self._word = None

    def add_quoted(self, text: str) -> None:
        self._word = (self._word or "") + text

    def finished(self) -> list[str]:
        return self._done if self._word is None else [*self._done, self._word]


def _regular_expression(pattern: str, *, greedy: bool) -> str:
    """A pattern of `*`, `?` and escaped letters."""
    result = ""
    letters = iter(pattern)
    for letter in letters:
        if letter == "*":
            result += ".*" if greedy else ".*?"
        elif letter == "?":
            result += "."
        else:
            result += re.escape(next(letters, ESCAPE) if letter == ESCAPE else letter)
    return result


def _without(value: str, pattern: str, *, prefix: bool, greedy: bool) -> str:
    """A value without the shortest or longest prefix or suffix that a pattern matches."""
    expression = re.compile(_regular_expression(pattern, greedy=greedy), re.DOTALL)
    if prefix:
        match = expression.match(value)
        return value if match is None else value[match.end() :]
    starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
    for start in starts:
        if expression.fullmatch(value, start):
            return value[:start]
    return value
