"""Runs lines of `hpc` with one program, and takes from what is seen what belongs to the machine and the user."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.differential.hpc.images import make_images

_CASES = Path(__file__).parent / "cases"
_TIMEOUT = 120
_NOT_STARTED = {1, 125, 126, 127, 255}
_USAGE = re.compile(r"^(Options for |Usage:\n).*", re.MULTILINE | re.DOTALL)
_NOTICE = re.compile(r"^(INFO|DEBUG|VERBOSE): ")
_PREFIX = re.compile(r"^(FATAL|ERROR|Error|rootless)( for command \"\w+\")?: *")
_USAGE_ERROR = re.compile(r"^('rootless |unknown |flag needs )")
NOT_STARTED = "not started"
"""The status of a command that the program could not start: Apptainer has 255, and this program 125, 126 or 127."""


class Section(NamedTuple):
    """Lines that are run in order in one directory."""

    name: str
    cases: tuple[str, ...]


class Seen(NamedTuple):
    """How a line ended: the exit status, standard output, the first line of standard error."""

    status: int | str
    stdout: str
    stderr: str


class Program(NamedTuple):
    """`words` are how a shell calls it; `env` are its variables, with HOME."""

    words: str
    env: Mapping[str, str]


def sections() -> Iterator[Section]:
    for path in sorted(_CASES.glob("*.txt")):
        lines = path.read_text("utf-8")
        # A line that ends within quotes goes on.
        yield Section(path.stem, tuple(_lines(lines)))


def _lines(text: str) -> Iterator[str]:
    line = ""
    for part in text.splitlines():
        line = f"{line}\n{part}" if line else part
        if line.count("'") % 2 == 0:
            if line and not line.startswith("#"):
                yield line
            line = ""


def run_section(program: Program, section: Section, busybox: Path, here: Path) -> dict[str, Seen]:
    """What was seen of each line. `here` is a new directory."""
    make_images(here, busybox)
    home = Path(program.env["HOME"])
    home.mkdir(exist_ok=True)
    (home / "file").write_text("of the home\n")
    return {case: _run(program, case, here) for case in section.cases}


def _run(program: Program, line: str, here: Path) -> Seen:
    process = subprocess.Popen(
        ["timeout", "-s", "KILL", str(_TIMEOUT), "bash", "-c", line],
        cwd=here,
        env={**program.env, "A": program.words, "H": str(here)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=0o022,
    )
    out, err = process.communicate()
    stdout, stderr = (
        _normalised(each.decode(errors="replace"), program, here) for each in (out, err)
    )
    told = [each for each in stderr.splitlines() if each and not _NOTICE.match(each)]
    message = _PREFIX.sub("", told[0]) if told else ""
    if process.returncode in _NOT_STARTED and any(map(_is_of_program, told)):
        return Seen(NOT_STARTED, stdout, message)
    return Seen(process.returncode, stdout, message)


def _is_of_program(line: str) -> bool:
    return bool(_PREFIX.match(line) or _USAGE_ERROR.match(line))


def _normalised(text: str, program: Program, here: Path) -> str:
    entry = pwd.getpwuid(os.getuid())
    for value, word in ((str(here), "<HERE>"), (program.env["HOME"], "<HOME>")):
        text = text.replace(value, word)
    text = re.sub(rf"\b{re.escape(entry.pw_name)}\b", "<USER>", text)
    text = re.sub(rf"\b({entry.pw_uid}|{entry.pw_gid})\b", "<ID>", text)
    return _USAGE.sub("", text)
