"""Any text is a Dockerfile or a DockerfileError; what can be read can be checked, expanded and planned.

python -m tests.fuzz.dockerfiles [SECONDS [SEED]]
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rootless.dockerfile.checks.checker import CheckContext, check
from rootless.dockerfile.checks.rules import report
from rootless.dockerfile.config import apply_changes
from rootless.dockerfile.errors import DockerfileError, excerpt
from rootless.dockerfile.instructions import Dockerfile, Instruction, Onbuild
from rootless.dockerfile.scopes import BuildPlatform, platform_arguments
from rootless.dockerfile.syntax.parser import parse, parse_trigger
from tests.fuzz.loop import fuzz, splice

CORPUS = Path(__file__).parent / "corpus" / "dockerfiles"
_AMD64 = BuildPlatform("linux", "amd64")
_CONTEXT = CheckContext(
    platform=platform_arguments(_AMD64, _AMD64, ""), build_args={"A": "1 2", "HTTP_PROXY": "p"}
)
TOKENS = tuple(
    token.encode()
    for token in (
        *("\n", "\r\n", "\\\n", "`\n", "\\", "`", " ", "\t", "#", "# ", "\ufeff", "\0", "\u00a0"),
        *("FROM ", "RUN ", "COPY ", "ADD ", "ENV ", "ARG ", "LABEL ", "ONBUILD ", "CMD ", "SHELL "),
        *("HEALTHCHECK ", "EXPOSE ", "VOLUME ", "USER ", "WORKDIR ", "STOPSIGNAL ", "ENTRYPOINT "),
        *(
            "MAINTAINER ",
            "AS ",
            "scratch",
            "NONE",
            "# escape=`\n",
            "# syntax=x\n",
            "# check=skip=all\n",
        ),
        *("--mount=", "--from=", "--chown=", "--link", "--network=none ", "--", "--exclude=*"),
        *("type=cache,", "type=secret,id=x", "target=/x,", "mode=0777,", "size=1g", "uid=$A", '"'),
        *("<<EOF", "<<-'E'", "3<<E", "EOF\n", "E\n", '["a", "b"]', "[", "]", '"\\ud800"', "[1]"),
        *("$A", "${A}", "${A:-", "${A:?x}", "${A#*", "${A%%?", "${A/", "${A//", "}", "/", ":", "*"),
        *(
            "'",
            "\\'",
            "=",
            "a=b",
            "80/TCP",
            "1-9",
            "127.0.0.1:1:2",
            "5s",
            "-1",
            "99999999999999999999",
        ),
    )
)


def one_input(data: bytes) -> None:
    """Raises whatever is no DockerfileError, and fails where parts of a result contradict each other."""
    text = data.decode("utf-8", "surrogateescape")
    checked = check(text, _CONTEXT)
    report(checked.findings, text, "Dockerfile", is_whole=checked.error is None)
    if checked.error is not None:
        _is_shown(checked.error, text)
    try:
        apply_changes({"Env": ["A=1"]}, [text])
    except DockerfileError as error:
        _is_shown(error, text)
    try:
        dockerfile = parse(text)
    except DockerfileError as error:
        _is_shown(error, text)
    else:
        _is_consistent(dockerfile)


def _is_shown(error: DockerfileError, text: str) -> None:
    assert error.exit_status == 1
    assert 0 <= error.line <= error.last_line
    excerpt(text, "Dockerfile", error.line, error.last_line)


def _is_consistent(dockerfile: Dockerfile) -> None:
    line = 0
    for stage in dockerfile.stages:
        assert line < stage.origin.source.first_line
        line = stage.origin.source.last_line
        for instruction in stage.instructions:
            assert line < instruction.source.first_line <= instruction.source.last_line
            line = instruction.source.last_line
            _trigger(instruction)
    assert line <= dockerfile.text.count("\n") + 1


def _trigger(instruction: Instruction) -> None:
    """An instruction of a base image may make no sense; that shows at the FROM."""
    if isinstance(instruction, Onbuild):
        with contextlib.suppress(DockerfileError):
            trigger = parse_trigger(instruction.expression, instruction.source)
            assert trigger.source.first_line == instruction.source.first_line


def mutate(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    return splice(seeds, dice, TOKENS)


if __name__ == "__main__":
    sys.exit(fuzz(CORPUS, mutate, one_input))
