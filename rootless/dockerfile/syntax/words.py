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

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.syntax.globs import replaced, without_prefix, without_suffix
from unionfs.light_types import NamedTuple

DEFAULT_ESCAPE = "\\"

_SPACES = re.compile(f"[{SPACE}]+")
_NAME = re.compile(r"\d+|[@*#?$!-]|\w+")
_MODIFIERS = frozenset("+-?#%")
_DEEPEST = 100
"""Levels of `${...}` in `${...}`."""


class Expansion(NamedTuple):
    """A text with its variables replaced."""

    text: str
    words: tuple[str, ...]
    """The text split at white space, that of unquoted variables included."""
    used: tuple[str, ...]
    """The variables that were looked up and are set."""
    missing: tuple[str, ...]
    """The variables that were looked up and are not set."""


class Rules(NamedTuple):
    """How a text is read."""

    escape: str = DEFAULT_ESCAPE
    keeps_quotes: bool = False
    """Whether quotes stay in the result; within them the text is special as ever."""
    keeps_escapes: bool = False
    keeps_missing: bool = False
    """Whether variables that are not set stay as they are written."""
    ignores_quotes: bool = False
    """Whether quotes are letters like others, as in here-documents."""


_HEREDOC_WORDS = Rules(keeps_quotes=True, keeps_escapes=True, keeps_missing=True)
_UNQUOTED = Rules(keeps_missing=True)
_QUOTED = Rules(keeps_quotes=True, keeps_missing=True)


def expand_with(text: str, variables: Mapping[str, str], rules: Rules) -> Expansion:
    """A text read by other rules than usual. Raises DockerfileError."""
    return WordScan(text, variables, rules).run()


def heredoc_words(text: str) -> tuple[str, ...]:
    """The words of a line in which here-documents may be named, with quotes and escapes. None for a line
    that does not end its quotes: the shell will refuse it."""
    try:
        return expand_with(text, {}, _HEREDOC_WORDS).words
    except DockerfileError:
        return ()


def unquoted_word(text: str) -> tuple[str, bool] | None:
    """A text that is one word, without its quotes, and whether it had any. None for another text. Raises
    DockerfileError for quotes without end."""
    words = expand_with(text, {}, _UNQUOTED).words
    if len(words) != 1:
        return None
    as_written = expand_with(text, {}, _QUOTED).words
    return words[0], _quotes(as_written[0]) != _quotes(words[0])


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def split(text: str, escape: str = DEFAULT_ESCAPE) -> list[str]:
    """Words at white space outside of quotes; quotes and escapes are kept, for `expand` to remove."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    position = 0
    while position < len(text):
        letter = text[position]
        if not quote and letter in SPACE:
            if word:
                words.append("".join(word))
            word = []
        elif letter == escape and quote != "'":
            # An escape at the end of the text escapes nothing.
            if position + 1 < len(text):
                word.append(text[position : position + 2])
            position += 1
        else:
            if letter == quote:
                quote = ""
            elif not quote and letter in "'\"":
                quote = letter
            word.append(letter)
        position += 1
    if word:
        words.append("".join(word))
    return words


class WordScan:
    """A scan of one text."""

    def __init__(self, text: str, variables: Mapping[str, str], rules: Rules) -> None:
        self._text = text
        self._variables = variables
        self._rules = rules
        self._position = 0
        self._depth = 0
        self._used: dict[str, None] = {}
        self._missing: dict[str, None] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The variables that were looked up so far and are not set."""
        return tuple(self._missing)

    def run(self) -> Expansion:
        """Raises DockerfileError."""
        words = _Words()
        result = self._until("", words, keeps_escapes=self._rules.keeps_escapes)
        return Expansion(result, words.finished(), tuple(self._used), self.missing)

    def _failure(self, why: str) -> DockerfileError:
        return DockerfileError(f"failed to process {quoted(self._text)}: {why}")

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        letter = self._peek()
        self._position += 1
        return letter

    def _until(self, end: str, words: _Words, *, keeps_escapes: bool) -> str:
        """Everything up to an unquoted `end`, which is consumed; all for an empty one."""
        rules = self._rules
        result: list[str] = []
        plain = _plain_letters(rules.escape, end)
        while (letter := self._peek()) != "" and letter != end:
            is_quoted = True
            if letter == "'" and not rules.ignores_quotes:
                piece = self._single_quoted()
            elif letter == '"' and not rules.ignores_quotes:
                piece = self._double_quoted(keeps_escapes=keeps_escapes)
            elif letter == "$":
                piece = self._variable()
                is_quoted = False
            elif letter == "<":
                piece = self._possible_heredoc()
            elif letter == rules.escape:
                piece = self._text[self._position : self._position + 2]
                self._position += 2
                piece = piece if keeps_escapes else piece[1:]
            else:
                match = plain.match(self._text, self._position)
                piece = self._next() if match is None else match[0]
                self._position = match.end() if match is not None else self._position
                is_quoted = False
            result.append(piece)
            (words.add_quoted if is_quoted else words.add)(piece)
        if end and self._next() != end:
            if end == "/":
                raise self._failure("syntax error: missing '/' in ${}")
            raise self._failure("syntax error: missing '}'")
        return "".join(result)

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._position + 1)
        if end < 0:
            raise self._failure(
                "unexpected end of statement while looking for matching single-quote"
            )
        piece = self._text[self._position + 1 : end]
        self._position = end + 1
        return f"'{piece}'" if self._rules.keeps_quotes else piece

    def _double_quoted(self, *, keeps_escapes: bool) -> str:
        escape = self._rules.escape
        self._next()
        result = []
        while (letter := self._next()) != '"':
            if letter == "":
                raise self._failure(
                    "unexpected end of statement while looking for matching double-quote"
                )
            if letter == "$":
                self._position -= 1
                result.append(self._variable())
            elif letter == escape:
                if keeps_escapes:
                    result.append(letter)
                following = self._peek()
                if following in ('"', "$", escape):
                    result.append(self._next())
                elif following:
                    result.append(letter)
            else:
                result.append(letter)
        piece = "".join(result)
        return f'"{piece}"' if self._rules.keeps_quotes else piece

    def _possible_heredoc(self) -> str:
        """`<`, or `<<` with the white space after it, which is no end of a word there."""
        begin = self._position
        self._next()
        if self._peek() == "<":
            self._next()
            while self._peek() in ("\t", "\r", " "):
                self._next()
        return self._text[begin : self._position]

    def _variable(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            # A dollar that no name follows is one.
            return self._value_or(name, f"${name}") if name else "$"
        self._next()
        if self._peek() == "":
            raise self._failure("syntax error: missing '}'")
        if self._peek() in ("{", "}", ":"):
            raise self._failure("syntax error: bad substitution")
        if self._depth == _DEEPEST:
            raise self._failure(f"more than {_DEEPEST} levels of ${{...}}")
        self._depth += 1
        value = self._modified(self._name())
        self._depth -= 1
        return value

    def _name(self) -> str:
        match = _NAME.match(self._text, self._position)
        if match is None:
            return ""
        self._position = match.end()
        return match[0]

    def _look_up(self, name: str) -> str | None:
        value = self._variables.get(name)
        (self._missing if value is None else self._used)[name] = None
        return value

    def _value_or(self, name: str, as_written: str) -> str:
        value = self._look_up(name)
        if value is None:
            return as_written if self._rules.keeps_missing else ""
        return value

    def _modified(self, name: str) -> str:
        """The value of `${name…}`; its closing brace is consumed."""
        modifier = self._next()
        if modifier == "}":
            return self._value_or(name, f"${{{name}}}")
        if modifier == "/":
            return self._with_replacement(name)
        empty_is_missing = modifier == ":"
        if empty_is_missing:
            modifier = self._next()
        as_written = f":{modifier}" if empty_is_missing else modifier
        if not modifier:
            raise self._failure("syntax error: missing '}'")
        is_pattern = modifier in "#%"
        if modifier not in _MODIFIERS or (empty_is_missing and is_pattern):
            raise self._failure(f"unsupported modifier ({as_written}) in substitution")
        word = self._until("}", _Words(), keeps_escapes=is_pattern)
        value = self._look_up(name)
        if value is None and self._rules.keeps_missing:
            return f"${{{name}{as_written}{word}}}"
        if is_pattern:
            return self._without(value or "", modifier, word)
        given = None if empty_is_missing and not value else value
        if modifier == "+":
            return word if given is not None else ""
        if given is None and modifier == "?":
            what = "unset" if value is None else "empty"
            raise self._failure(f"{name}: {word or f'is not allowed to be {what}'}")
        return given if given is not None else word

    def _without(self, value: str, modifier: str, pattern: str) -> str:
        greedy = pattern.startswith(modifier)
        pattern = pattern[1:] if greedy else pattern
        remove = without_prefix if modifier == "#" else without_suffix
        try:
            return remove(value, pattern, greedy=greedy)
        except ValueError as error:
            raise self._failure(f"invalid pattern ({pattern}) in substitution: {error}") from None

    def _with_replacement(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._next()
        pattern = self._until("/", _Words(), keeps_escapes=True)
        replacement = self._until("}", _Words(), keeps_escapes=True)
        value = self._look_up(name)
        if value is None and self._rules.keeps_missing:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            return replaced(value or "", pattern, replacement, every=every)
        except ValueError as error:
            raise self._failure(f"invalid pattern ({pattern}) in substitution: {error}") from None


def _plain_letters(escape: str, end: str) -> re.Pattern[str]:
    """Letters that mean themselves wherever they stand."""
    return re.compile(f"[^$<'\"{re.escape(escape + end)}]+")


class _Words:
    """Collects words while a text is scanned."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._word: list[str] = []

    def add(self, text: str) -> None:
        """Letters that end a word where they are white space."""
        first, *others = _SPACES.split(text)
        self._word.append(first)
        for other in others:
            self._end()
            self._word.append(other)

    def add_quoted(self, text: str) -> None:
        self._word.append(text)

    def _end(self) -> None:
        word = "".join(self._word)
        if word:
            self._done.append(word)
        self._word = []

    def finished(self) -> tuple[str, ...]:
        self._end()
        return tuple(self._done)
