"""From the text of a Dockerfile to its stages and instructions. Pure.

A statement of the lexer becomes a typed instruction by the function of its name in `makers`. The order of the checks and the
words of the errors are BuildKit's.
"""

from __future__ import annotations

from collections.abc import Sequence

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import (
    Arg,
    Dockerfile,
    From,
    Instruction,
    Source,
    Stage,
)
from rootless.dockerfile.suggestions import did_you_mean
from rootless.dockerfile.syntax.makers import MAKERS
from rootless.dockerfile.syntax.operands import Operands
from rootless.dockerfile.syntax.statements import (
    Statement,
    Statements,
    split_statements,
)

CHANGES = (
    *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL"),
    *("USER", "VOLUME", "WORKDIR"),
)
"""The instructions that need no build: `docker import --change` and `docker commit --change` take them."""


def parse(text: str) -> Dockerfile:
    """The stages of a Dockerfile. Raises DockerfileError."""
    found = read_statements(text)
    instructions, error = make_instructions(found, text)
    if error is not None:
        raise error
    return assemble(text, found, instructions)


def read_statements(text: str) -> Statements:
    """The first part of `parse`. Raises DockerfileError."""
    if not text:
        raise DockerfileError("the Dockerfile cannot be empty")
    return split_statements(text)


def make_instructions(
    found: Statements, text: str
) -> tuple[tuple[From | Instruction, ...], DockerfileError | None]:
    """The second part of `parse`: the instructions up to the first that makes no sense, and its error. As in
    BuildKit the error of a statement that cannot be split into its parts comes before all others."""
    instructions: list[From | Instruction] = []
    first_error = None
    for statement in found.statements:
        try:
            instruction = _located(statement, found.escape, text)
        except DockerfileError as error:
            if error.is_lexical:
                return (), error
            first_error = first_error or error
        else:
            if first_error is None:
                instructions.append(instruction)
    return tuple(instructions), first_error


def assemble(
    text: str, found: Statements, instructions: Sequence[From | Instruction]
) -> Dockerfile:
    """The third part of `parse`: instructions as stages. Raises DockerfileError."""
    args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            args.append(instruction)
        else:
            raise DockerfileError(
                "no build stage in current context",
                line=instruction.source.first_line,
                last_line=instruction.source.last_line,
            )
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build")
    return Dockerfile(
        text,
        found.directives,
        found.escape,
        tuple(args),
        tuple(
            Stage(number, origin, tuple(commands))
            for number, (origin, commands) in enumerate(stages)
        ),
        found.empty_continuations,
    )


def parse_instructions(text: str) -> tuple[Instruction, ...]:
    """Instructions without a stage, such as those of `docker commit --change`. Raises DockerfileError."""
    found = split_statements(text)
    instructions = []
    for statement in found.statements:
        name = statement.keyword.upper()
        make = MAKERS.get(name)
        if make is None or name not in CHANGES:
            hint = "one of " + ", ".join(CHANGES)
            raise DockerfileError(f"{name} is not a valid change command", hint=hint)
        instruction = make(Operands(statement, found.escape))
        assert not isinstance(instruction, From)  # FROM is no change command
        instructions.append(instruction)
    return tuple(instructions)


def parse_trigger(expression: str, source: Source) -> Instruction:
    """The instruction of an ONBUILD trigger of a base image, placed at the FROM that names the image. Raises
    DockerfileError."""
    found = split_statements(expression)
    if len(found.statements) != 1:
        raise DockerfileError(
            "onbuild trigger should be a single expression",
            line=source.first_line,
            last_line=source.last_line,
        )
    statement = found.statements[0]._replace(
        first_line=source.first_line, last_line=source.last_line
    )
    instruction = _located(statement, found.escape, "")
    if isinstance(instruction, From):
        raise DockerfileError(
            "FROM isn't allowed as an ONBUILD trigger",
            line=source.first_line,
            last_line=source.last_line,
        )
    return instruction


def _located(statement: Statement, escape: str, text: str) -> From | Instruction:
    """The instruction of a statement; an error says where the statement stands."""
    make = MAKERS.get(statement.keyword.upper())
    try:
        if make is None:
            word = statement.keyword
            near = did_you_mean(word, MAKERS, case_matters=False)
            raise DockerfileError(f"unknown instruction: {word}{near}", word=word)
        return make(Operands(statement, escape))
    except DockerfileError as error:
        line = statement.first_line
        where = "" if error.is_lexical else f"dockerfile parse error on line {line}: "
        raise DockerfileError(
            f"{where}{error.message}",
            line=line,
            last_line=statement.last_line,
            column=_column(text, line, error.word),
            is_lexical=error.is_lexical,
        ) from None


def _column(text: str, line: int, word: str) -> int:
    lines = text.split("\n", line)
    if not word or line > len(lines):
        return 0
    return lines[line - 1].find(word) + 1
