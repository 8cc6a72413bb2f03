"""Translates recorded commands to Dockerfile instructions. Pure.

A command becomes a RUN. What outlives it in the shell becomes an instruction of its own: the working directory a
WORKDIR, an exported variable an ENV, one that is not exported an ARG; umask and unset are repeated in each
RUN. A command that failed becomes a comment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rootless.recording.log import Typed

_STATE_ONLY = re.compile(r"\s*(cd|export|unset|umask|pushd|popd|readonly)(\s[^;&|<>`(\n]*)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z_0-9]*=.*", re.DOTALL)
_NO_STATE = Typed(None, "/", "0022", "", {}, {})


class Beginning(NamedTuple):
    """How the container was started: FROM, and what else its options say."""

    image: str
    user: str = ""
    directory: str = ""
    variables: tuple[tuple[str, str], ...] = ()


def dockerfile_of(beginning: Beginning, typed: Sequence[Typed]) -> str:
    """The Dockerfile of a whole session."""
    lines = [f"FROM {beginning.image}"]
    if any(each.is_bash for each in typed):
        lines.append('SHELL ["/bin/bash", "-c"]')
    if beginning.directory:
        lines.append(f"WORKDIR {_escaped(beginning.directory)}")
    lines += [_assignment("ENV", name, value) for name, value in beginning.variables]
    if beginning.user:
        lines.append(f"USER {beginning.user}")
    return "\n".join([*lines, *instructions_of(typed)]) + "\n"


def instructions_of(typed: Iterable[Typed], *, exported: str = "ENV") -> list[str]:
    """The lines of the instructions that do what was typed; `exported` is that of an exported variable."""
    lines: list[str] = []
    before = first = _NO_STATE
    names: set[str] = set()
    for number, each in enumerate(typed):
        if number == 0:
            # The state that the shell starts in is that of the image.
            before = first = each
        names |= before.environment.keys() | before.variables.keys()
        if each.status is not None:
            prefix = _prefix(first, before, names)
            if each.status != 0:
                lines += _comment(each)
            elif not _changes_only_the_shell(each.text):
                lines += _run(each.text, prefix)
        lines += _state(before, each, exported)
        before = each
    return lines


def _comment(each: Typed) -> list[str]:
    lines = each.text.split("\n")
    return [f"# exit status {each.status}: {lines[0]}", *(f"#     {line}" for line in lines[1:])]


def _changes_only_the_shell(text: str) -> bool:
    if not text.strip() or text.lstrip().startswith("#") or text.strip() == "exit":
        return True
    if "$(" in text or "`" in text:
        return False
    if _STATE_ONLY.fullmatch(text):
        return True
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return not re.search(r"[;&|<>]", text) and all(map(_ASSIGNMENT.fullmatch, words))


def _run(text: str, prefix: Sequence[str]) -> list[str]:
    text = text.strip()
    is_plain = not prefix and "\n" not in text and "<<" not in text and text[-1] != "\\"
    if is_plain and not text.startswith(("[", "--")):
        return [f"RUN {text}"]
    content = [*prefix, *text.split("\n")]
    delimiter = "TYPED"
    while delimiter in content:
        delimiter += "_"
    return [f"RUN <<'{delimiter}'", *content, delimiter]


def _prefix(first: Typed, before: Typed, names: set[str]) -> list[str]:
    """What no instruction keeps: the umask, and that variables of these names are not set."""
    lines = []
    if int(before.umask, 8) != int(first.umask, 8):
        lines.append(f"umask {before.umask}")
    gone = sorted(names - before.environment.keys() - before.variables.keys())
    if gone:
        lines.append(f"unset {' '.join(gone)}")
    return lines


def _state(before: Typed, after: Typed, exported: str) -> list[str]:
    """What a command has changed of the state of the shell."""
    lines = []
    if after.directory != before.directory:
        lines.append(f"WORKDIR {_escaped(after.directory)}")
    lines += _changed(exported, before.environment, after.environment)
    lines += _changed("ARG", before.variables, after.variables)
    return lines


def _changed(keyword: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [
        _assignment(keyword, name, value)
        for name, value in after.items()
        if before.get(name) != value
    ]


def _assignment(keyword: str, name: str, value: str) -> str:
    if "\n" in value:
        return f"# {name} has several lines, which {keyword} cannot have"
    return f'{keyword} {name}="{_escaped(value)}"'


def _escaped(value: str) -> str:
    """As a double-quoted word that no variable is replaced in."""
    return re.sub(r'(["\\$])', r"\\\1", value)
