"""The text of a Dockerfile as instructions. Pure.

Docker's Dockerfile reference, "Format": one instruction a line; a line that ends with the escape
character goes on in the next one; lines that begin with `#` are comments, also between the lines of one
instruction, and so are empty lines there. Not here yet: parser directives, here-documents.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from rootless.errors import UsageError

ESCAPE = "\\"


class Instruction(NamedTuple):
    """One instruction. `name` is in upper case, `flags` are the words of the form `--name=value` before
    the arguments, `arguments` is the rest of the logical line."""

    name: str
    flags: tuple[str, ...]
    arguments: str
    line: int
    """Number of its first line, from 1."""

    def flag_values(self, *names: str) -> dict[str, str]:
        """The flags by name; the last of a name counts. Raises UsageError for a name that is not among
        `names`, and for one without a value."""
        values = {}
        for flag in self.flags:
            name, equals, value = flag[2:].partition("=")
            if name not in names:
                raise UsageError(f"{self.name}: unknown flag: --{name}")
            if not equals:
                raise UsageError(f"{self.name}: missing a value on flag: --{name}")
            values[name] = value
        return values


def parse(text: str) -> list[Instruction]:
    """Every instruction, in order. Names are not checked. Raises UsageError for an instruction that
    has no arguments, and for a text without instructions."""
    found = []
    pending = ""
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not pending:
            start = number
        trimmed = line.rstrip(" \t")
        if trimmed.endswith(ESCAPE):
            pending += trimmed[:-1]
            continue
        found.append(_instruction(pending + line, start))
        pending = ""
    if pending.strip():
        found.append(_instruction(pending, start))
    if not found:
        raise UsageError("no Dockerfile instruction: the text is empty")
    return found


def _instruction(logical: str, line: int) -> Instruction:
    name, _, rest = logical.strip().replace("\t", " ", 1).partition(" ")
    rest = rest.lstrip()
    flags = []
    # `--` alone ends the flags.
    while rest.startswith("--"):
        word, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        if word == "--":
            break
        flags.append(word)
    return Instruction(name.upper(), tuple(flags), rest, line)


def json_words(text: str) -> list[str] | None:
    """The exec form: a JSON array of strings. None for anything else, which is the shell form."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(w, str) for w in words) else None
