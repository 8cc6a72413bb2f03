"""The text of a Dockerfile as statements: logical lines with their here-documents. Pure.

Docker's Dockerfile reference, "Format", "Parser directives" and "Here-Documents". What BuildKit's parser does
where the reference says nothing holds here too: an escape character at the end of a line continues it unless another one
comes before it; comments and lines without text between the lines of a statement are left out, and the end of the file ends it.
"""

from __future__ import annotations

import re

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import Directive, EmptyContinuation, Heredoc
from rootless.dockerfile.syntax.flags import split_flags
from rootless.dockerfile.syntax.json_form import is_json_form
from rootless.dockerfile.syntax.words import DEFAULT_ESCAPE, heredoc_words, unquoted_word
from unionfs.light_types import NamedTuple

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)", re.DOTALL)
_DIRECTIVES = frozenset(("syntax", "escape", "check"))
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"(\d*)<<(-?)\s*([^<]*)", re.ASCII)
_WITH_HEREDOCS = frozenset(("ADD", "COPY", "RUN"))


class Statement(NamedTuple):
    """One logical line, split as far as all instructions are alike."""

    keyword: str
    """The first word, as written."""
    flags: tuple[str, ...]
    """The words of the form `--name[=value]` before the arguments, without quotes and escapes."""
    arguments: str
    """The rest, without white space around it."""
    text: str
    """The whole logical line."""
    first_line: int
    last_line: int
    comments: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()

    def words(self) -> tuple[str, ...]:
        """The arguments at white space; quotes do not count."""
        return tuple(_BLANKS.split(self.arguments)) if self.arguments else ()


class Statements(NamedTuple):
    """The statements of a text, and what it says about itself."""

    statements: tuple[Statement, ...]
    directives: tuple[Directive, ...]
    escape: str
    empty_continuations: tuple[EmptyContinuation, ...]


def split_statements(text: str) -> Statements:
    """Every statement of a Dockerfile, in order; keywords are not checked. Raises DockerfileError."""
    return _Scan(text).run()


def split_statement(
    text: str,
    escape: str,
    *,
    first_line: int = 0,
    last_line: int = 0,
    comments: tuple[str, ...] = (),
    heredocs: tuple[Heredoc, ...] = (),
) -> Statement:
    """One logical line as a statement."""
    keyword, *rest = _BLANKS.split(text.strip(SPACE), maxsplit=1)
    flags, arguments = split_flags(rest[0], escape) if rest else ((), "")
    return Statement(
        keyword, flags, arguments.strip(SPACE), text, first_line, last_line, comments, heredocs
    )


class _Scan:
    """One pass over the physical lines."""

    def __init__(self, text: str) -> None:
        self._lines = text.removeprefix("\ufeff").split("\n")
        if not self._lines[-1]:
            self._lines.pop()
        self._next = 0
        self._escape = DEFAULT_ESCAPE
        self._directives: list[Directive] = []
        self._directives_ended = False
        self._empty: list[EmptyContinuation] = []
        self._comments: list[str] = []

    def run(self) -> Statements:
        statements = []
        while self._next < len(self._lines):
            line = self._lines[self._next].rstrip("\r").lstrip(SPACE)
            self._next += 1
            if self._is_directive(line):
                continue
            if line.startswith("#"):
                self._add_comment(line)
            else:
                body, continues = self._without_continuation(line)
                if body or continues:
                    statements.append(self._statement(body, continues=continues))
        if not statements:
            raise DockerfileError("file with no instructions", line=len(self._lines))
        return Statements(
            tuple(statements), tuple(self._directives), self._escape, tuple(self._empty)
        )

    def _is_directive(self, line: str) -> bool:
        """Whether a line is a parser directive, which is then in force. The first line that is none ends them."""
        if self._directives_ended:
            return False
        match = _DIRECTIVE.fullmatch(line)
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES:
            self._directives_ended = True
            return False
        if any(each.name == name for each in self._directives):
            raise DockerfileError(f"only one {name} parser directive can be used", line=self._next)
        value = match[2].rstrip(SPACE)
        self._directives.append(Directive(name, value, self._next))
        if name == "escape":
            if value not in ("\\", "`"):
                raise DockerfileError(
                    f"invalid escape token '{value}' does not match ` or \\", line=self._next
                )
            self._escape = value
        return True

    def _add_comment(self, line: str) -> None:
        comment = line[1:].strip(SPACE)
        if comment:
            self._comments.append(comment)
        else:
            self._comments.clear()

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        """A line without the escape character that continues it, and whether it has one."""
        trimmed = line.rstrip(" \t")
        if not trimmed.endswith(self._escape) or trimmed[-2:-1] == self._escape:
            return line, False
        return trimmed[:-1], True

    def _statement(self, body: str, *, continues: bool) -> Statement:
        first = self._next
        parts = [body]
        has_empty = False
        while continues and self._next < len(self._lines):
            line = self._lines[self._next].rstrip("\r")
            self._next += 1
            stripped = line.lstrip(SPACE)
            if not stripped:
                has_empty = True
            elif not stripped.startswith("#"):
                body, continues = self._without_continuation(line)
                parts.append(body)
        text = "".join(parts)
        if has_empty:
            self._empty.append(EmptyContinuation(text, self._next))
        comments = tuple(self._comments)
        self._comments.clear()
        statement = split_statement(
            text, self._escape, first_line=first, last_line=self._next, comments=comments
        )
        if "<<" not in text or not _may_have_heredocs(statement):
            return statement
        heredocs = [self._heredoc(each, first) for each in _heredocs_named_in(text, first)]
        return statement._replace(heredocs=tuple(heredocs), last_line=self._next)

    def _heredoc(self, heredoc: Heredoc, first: int) -> Heredoc:
        start = self._next
        while self._next < len(self._lines):
            line = self._lines[self._next].rstrip("\r")
            self._next += 1
            if (line.lstrip("\t") if heredoc.strips_tabs else line) == heredoc.name:
                lines = self._lines[start : self._next - 1]
                return heredoc._replace(content="".join(f"{each}\n" for each in lines))
        raise DockerfileError("unterminated heredoc", line=first, last_line=self._next)


def _may_have_heredocs(statement: Statement) -> bool:
    keyword, arguments = statement.keyword.upper(), statement.arguments
    if keyword == "ONBUILD":
        inner = split_statement(arguments, DEFAULT_ESCAPE)
        keyword, arguments = inner.keyword.upper(), inner.arguments
    return keyword in _WITH_HEREDOCS and not is_json_form(arguments)


def _heredocs_named_in(text: str, line: int) -> list[Heredoc]:
    found = []
    for word in heredoc_words(text):
        try:
            heredoc = parse_heredoc(word)
        except DockerfileError as error:
            raise DockerfileError(error.message, line=line) from None
        if heredoc is not None:
            found.append(heredoc)
    return found


def parse_heredoc(word: str) -> Heredoc | None:
    """The here-document that a word such as `<<EOF` or `3<<-'EOF'` names, without content; None for any other
    word. Raises DockerfileError."""
    match = _HEREDOC.fullmatch(word)
    if match is None or not match[3]:
        return None
    found = unquoted_word(match[3])
    if found is None:
        return None
    name, is_quoted = found
    return Heredoc(name, "", not is_quoted, match[2] == "-", int(match[1][-9:] or "0"))
