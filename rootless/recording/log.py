"""Reads the log of a recording shell. Pure.

A record is a sequence of strings that end with NUL: the exit status, or for the state before the first command
`start`, of bash `bash`; the working directory; the umask; the command as it was typed; what `set` prints; the
environment, one string a variable, and an empty one.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)=(.*)", re.DOTALL)
_OF_THE_SHELL = re.compile(
    r"_|__.*|IFS|OPT(IND|ARG|ERR)|PS[0-9]|P?PWD|P?PID|OLDPWD|LINENO|SHLVL|SHELL|SHELLOPTS|BASH.*|E?UID|GROUPS|HIST.*|COLUMNS"
    r"|LINES|RANDOM|SRANDOM|SECONDS|EPOCH.*|DIRSTACK|PIPESTATUS|PROMPT_COMMAND|TERM|MAIL.*|HOSTNAME|HOSTTYPE|MACHTYPE|OSTYPE"
    r"|FUNCNAME|COMP_.*|REPLY"
)


class Typed(NamedTuple):
    """A command, and the state of the shell after it."""

    status: int | None
    """None: this is the state before the first command, or after the shell was started again."""
    directory: str
    umask: str
    text: str
    variables: Mapping[str, str]
    """Those that are not exported."""
    environment: Mapping[str, str]
    is_bash: bool = False
    """Of the state before the first command: the shell is bash."""


def decode_log(data: bytes) -> list[Typed]:
    """The commands of a log, the oldest first. A record that is cut off is left out."""
    # What follows the last NUL is cut off.
    fields = iter(data.decode(errors="surrogateescape").split("\0")[:-1])
    found: list[Typed] = []
    while True:
        try:
            status, directory, umask, text, variables = (next(fields) for _ in range(5))
            environment = dict(_environment(fields))
        except (StopIteration, ValueError, RuntimeError):
            return found
        of_shell = {name: value for name, value in _variables(variables) if name not in environment}
        number = int(status) if status.isdecimal() else None
        found.append(Typed(number, directory, umask, text, of_shell, environment, status == "bash"))


def _environment(fields: Iterator[str]) -> Iterator[tuple[str, str]]:
    for field in fields:
        if not field:
            return
        name, _, value = field.partition("=")
        if not _OF_THE_SHELL.fullmatch(name):
            yield name, value
    raise ValueError("a record is cut off")


def _variables(text: str) -> Iterator[tuple[str, str]]:
    """Those of the output of `set`, except arrays and what shells set themselves."""
    try:
        words = shlex.split(text)
    except ValueError:
        return
    for word in words:
        match = _ASSIGNMENT.fullmatch(word)
        if match and not match[2].startswith("(") and not _OF_THE_SHELL.fullmatch(match[1]):
            yield match[1], match[2]
