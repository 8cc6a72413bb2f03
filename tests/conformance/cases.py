"""The cases: a Dockerfile each, with the shell commands that make its context.

A file has cases one after the other:

    === NAME
    $ a line of the shell script that makes the context, run in the empty directory of the context
    % flags of `docker build`; a path is relative to the context
    @ the context argument instead of `.`, and a file for standard input after `<`
    the Dockerfile, unless the script makes it
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

CONTEXT_TIME = 1_600_000_000
"""The modification time of every file of a context, in seconds."""

BASE = "base:1"
DIRECTORY = Path(__file__).parent / "cases"


class Case(NamedTuple):
    """One Dockerfile. `name` is unique among all files."""

    name: str
    dockerfile: str
    script: str = ""
    flags: tuple[str, ...] = ()
    context: str = "."
    stdin: str = ""
    """A file for standard input, relative to the context; none if empty."""


def read_cases() -> list[Case]:
    """The cases of all files, in the order of files and lines."""
    return [case for path in sorted(DIRECTORY.glob("*.txt")) for case in _cases(path.read_text())]


def _cases(text: str) -> list[Case]:
    parts = text.split("\n=== ")
    return [_case(part) for part in parts[1:]]


def _case(text: str) -> Case:
    name, *lines = text.rstrip("\n").split("\n")
    marked: dict[str, list[str]] = {"$": [], "%": [], "@": []}
    while lines and lines[0][:2] in {"$ ", "% ", "@ "}:
        line = lines.pop(0)
        marked[line[0]].append(line[2:])
    context, _, stdin = "".join(marked["@"]).partition(" < ")
    return Case(
        name,
        "".join(line + "\n" for line in lines),
        "\n".join(marked["$"]),
        tuple(shlex.split(" ".join(marked["%"]))),
        context or ".",
        stdin,
    )


def make_context(case: Case, directory: Path) -> Path:
    """Make the context of a case in an empty directory; its path. Its name is a new one: BuildKit takes contexts in
    directories of the same name for one, and then a file of the same size and time for unchanged."""
    context = directory / f"{case.name}-{os.urandom(4).hex()}"
    context.mkdir()
    if case.dockerfile:
        (context / "Dockerfile").write_text(case.dockerfile)
    if case.script:
        script = f"umask 022; set -e\n{case.script}"
        subprocess.run(["sh", "-c", script], cwd=context, check=True, stdin=subprocess.DEVNULL)
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = os.path.join(parent, name)
            os.utime(path, (CONTEXT_TIME, CONTEXT_TIME), follow_symlinks=False)
    return context
