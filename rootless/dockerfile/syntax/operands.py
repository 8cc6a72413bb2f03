"""The operands of one statement of a Dockerfile, in the forms that instructions take them: words, a JSON array, a
command line, name=value pairs, sources and a destination. Pure.

The order of the checks and the words of the errors are BuildKit's.
"""

from __future__ import annotations

import re

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.instructions import CommandLine, Heredoc, Pair, Source
from rootless.dockerfile.syntax.flags import Flags
from rootless.dockerfile.syntax.json_form import json_words
from rootless.dockerfile.syntax.statements import Statement, parse_heredoc
from rootless.dockerfile.syntax.words import split

_BLANKS = re.compile(r"[\t\v\f\r ]+")


class Operands:
    """The text after the keyword of a statement, and the statement's position."""

    def __init__(self, statement: Statement, escape: str) -> None:
        self.statement = statement
        self.name = statement.keyword.upper()
        self.arguments = statement.arguments
        self.escape = escape
        self.source = Source(
            statement.first_line,
            statement.last_line,
            statement.keyword,
            statement.text.strip(SPACE),
            statement.comments,
        )

    def list(self) -> tuple[str, ...]:
        """The arguments as a JSON array or at white space."""
        found = json_words(self.arguments)
        return self.statement.words() if found is None else found

    def text(self) -> str:
        """The arguments as one."""
        if not self.arguments:
            raise DockerfileError(f"{self.name} requires exactly one argument")
        return self.arguments

    def some(self, words: tuple[str, ...]) -> tuple[str, ...]:
        if not words:
            raise DockerfileError(f"{self.name} requires at least one argument")
        return words

    def command_line(self) -> CommandLine:
        """The exec or the shell form."""
        found = json_words(self.arguments)
        if found is not None:
            return CommandLine(found, is_exec_form=True)
        words = (self.arguments,) if self.arguments else ()
        heredocs = self.statement.heredocs
        is_one = bool(heredocs) and parse_heredoc(self.arguments) is not None
        return CommandLine(words, is_exec_form=False, heredocs=heredocs, is_one_heredoc=is_one)

    def no_flags(self) -> None:
        Flags(self.statement.flags)

    def pairs(self) -> tuple[Pair, ...]:
        """`a=b c=d`, or the old form `a b c`, whose value is the rest of the line."""
        words = split(self.arguments, self.escape)
        if words and "=" not in words[0]:
            name, *rest = _BLANKS.split(self.arguments, maxsplit=1)
            if not rest:
                raise DockerfileError(f"{self.name} must have two arguments", is_lexical=True)
            self.no_flags()
            return (Pair(name, rest[0], is_legacy=True),)
        pairs = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise DockerfileError(
                    f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value",
                    word=word,
                    is_lexical=True,
                )
            pairs.append(Pair(name, value))
        self.no_flags()
        self.some(tuple(words))
        if not all(each.name for each in pairs):
            raise DockerfileError(f"{self.name} names can not be blank")
        return tuple(pairs)


def sources_and_destination(operands: Operands) -> tuple[str, ...]:
    words = operands.list()
    if len(words) < 2:
        raise DockerfileError(
            f"{operands.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    return words


def without_heredocs(
    operands: Operands, words: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Heredoc, ...], str]:
    """The sources that are paths, those that are here-documents, and the destination."""
    *sources, destination = words
    if _heredoc_of(destination) is not None:
        raise DockerfileError(
            f"{operands.name} cannot accept a heredoc as a destination", word=destination
        )
    contents = {each.name: each for each in operands.statement.heredocs}
    paths, heredocs = [], []
    for source in sources:
        heredoc = _heredoc_of(source)
        if heredoc is None:
            paths.append(source)
        else:
            found = contents.get(heredoc.name, heredoc)
            heredocs.append(heredoc._replace(content=found.content))
    return tuple(paths), tuple(heredocs), destination


def _heredoc_of(word: str) -> Heredoc | None:
    try:
        return parse_heredoc(word)
    except DockerfileError:
        return None
