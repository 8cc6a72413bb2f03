"""Errors of a Dockerfile, with their position. Pure."""

from __future__ import annotations

from rootless.errors import UsageError


class DockerfileError(UsageError):
    """A Dockerfile that cannot be built."""

    exit_status = 1
    code = "dockerfile"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        line: int = 0,
        last_line: int = 0,
        column: int = 0,
        word: str = "",
        is_lexical: bool = False,
    ) -> None:
        """`line` and `last_line` are those of the instruction, from 1; 0: it is about no line. `column` counts
        the letters of `line` from 1; 0: it is about no column. `word`: what to look for to find the column.
        `is_lexical`: whether BuildKit finds it before it makes instructions; then its message names no line."""
        details = {"line": line, "last_line": max(line, last_line), "column": column}
        super().__init__(message, hint=hint, details=details if line else None)
        self.line = line
        self.last_line = max(line, last_line)
        self.column = column
        self.word = word
        self.is_lexical = is_lexical


def quoted(text: str) -> str:
    """A text in double quotes, as Go's `%q` writes it."""
    result = []
    for letter in text:
        if letter in _ESCAPES:
            result.append(_ESCAPES[letter])
        elif letter.isprintable():
            result.append(letter)
        else:
            code = ord(letter)
            wide = f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"
            result.append(f"\\x{code:02x}" if code < 0x80 else wide)
    return f'"{"".join(result)}"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def excerpt(text: str, name: str, line: int, last_line: int) -> str:
    """The lines `line` to `last_line` of a Dockerfile, marked with `>>>`, and those around them, as BuildKit prints
    them. Empty for a line that is not there."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return ""
    first, last = line, min(max(line, last_line), len(lines))
    start, end = first, last
    shown, wanted = 0, 4 if last_line <= line else 2
    while shown < wanted:
        # BuildKit counts each round too, so that fewer lines than wanted surround one at either end of the file.
        shown += 1 + (start > 1) + (end < len(lines))
        start, end = max(1, start - 1), min(len(lines), end + 1)
    rule = "-" * 20
    rows = [
        f" {number:3d} | {'>>>' if first <= number <= last else '   '} {lines[number - 1]}"
        for number in range(start, end + 1)
    ]
    return "\n".join([f"{name}:{line}", rule, *rows, rule])
