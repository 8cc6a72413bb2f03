"""Checks of the text of a Dockerfile, which need no variables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rootless.dockerfile.checks.rules import Finding
from rootless.dockerfile.errors import quoted
from rootless.dockerfile.instructions import (
    Arg,
    From,
    Instruction,
    Source,
    Stage,
)
from rootless.dockerfile.syntax.statements import Statement, Statements

_RESERVED = ("context", "scratch")


def check_statements(
    found: Statements, instructions: Sequence[From | Instruction]
) -> list[Finding]:
    """Each statement by itself, in their order: those that became `instructions`, and the one after them, which
    made no sense."""
    message = "Empty continuation line"
    findings = [
        Finding("NoEmptyContinuation", message, each.line, each.line)
        for each in found.empty_continuations
    ]
    for number, statement in enumerate(found.statements[: len(instructions) + 1]):
        findings += _words(statement)
        if number < len(instructions):
            findings += _description(instructions[number])
    return findings


def check_stages(stages: Sequence[Stage]) -> list[Finding]:
    """The names of stages, then the case of the names of all instructions."""
    found = []
    names: set[str] = set()
    for stage in stages:
        name, source = stage.origin.name, stage.origin.source
        if name in _RESERVED:
            message = f"Stage name should not use the same name as reserved stage {quoted(name)}"
            found.append(finding("ReservedStageName", message, source))
        if name in names:
            message = f"Duplicate stage name {quoted(name)}, stage names should be unique"
            found.append(finding("DuplicateStageName", message, source))
        names |= {name} - {""}
    return [*found, *_casing(stages)]


def finding(rule: str, message: str, source: Source) -> Finding:
    """A finding about a whole instruction."""
    return Finding(rule, message, source.first_line, source.last_line)


def _words(statement: Statement) -> Iterator[Finding]:
    first, last = statement.first_line, statement.last_line
    keyword = statement.keyword
    if keyword.upper() == "MAINTAINER":
        message = "Maintainer instruction is deprecated in favor of using label"
        yield Finding("MaintainerDeprecated", message, first, last)
    words = statement.words()
    if keyword.upper() != "FROM" or len(words) < 3:
        return
    _, middle, name, *more = words
    if not more and name != name.lower():
        message = f"Stage name '{name}' should be lowercase"
        yield Finding("StageNameCasing", message, first, last)
    # A keyword of both cases is a finding of its own.
    is_lower, is_upper = keyword.islower(), keyword.isupper()
    if (is_lower and middle != middle.lower()) or (is_upper and middle != middle.upper()):
        message = f"'{middle}' and '{keyword}' keywords' casing do not match"
        yield Finding("FromAsCasing", message, first, last)


def _description(instruction: From | Instruction) -> Iterator[Finding]:
    """The comment above an instruction that defines something."""
    names: list[str] = []
    if isinstance(instruction, From) and instruction.name:
        names = [instruction.name]
    elif isinstance(instruction, Arg):
        names = [each.name for each in instruction.definitions]
    comments = instruction.source.comments
    if not names or not comments or comments[-1].split(" ")[0] in names:
        return
    name = names[0] if len(names) == 1 else "<arg_key>"
    keyword = instruction.source.keyword.upper()
    message = f"Comment for {keyword} should follow the format: `# {name} <description>`"
    yield finding("InvalidDefinitionDescription", message, instruction.source)


def _casing(stages: Sequence[Stage]) -> Iterator[Finding]:
    sources = [
        each
        for stage in stages
        for each in (stage.origin.source, *(one.source for one in stage.instructions))
    ]
    lower = sum(each.keyword.islower() for each in sources)
    upper = sum(each.keyword.isupper() for each in sources)
    case = "lowercase" if lower > upper else "uppercase"
    for source in sources:
        wanted = source.keyword.lower() if lower > upper else source.keyword.upper()
        if source.keyword != wanted:
            message = (
                f"Command '{source.keyword}' should match the case of the command majority ({case})"
            )
            yield finding("ConsistentInstructionCasing", message, source)
