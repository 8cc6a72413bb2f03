"""Checks of how a Dockerfile is written: what needs no variables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rootless.dockerfile.errors import quoted
from rootless.dockerfile.instructions import (
    Arg,
    EmptyContinuation,
    From,
    Instruction,
    Maintainer,
    Source,
    Stage,
)
from rootless.dockerfile.rules import Finding

_RESERVED = ("context", "scratch")


def check_instructions(
    empty: Sequence[EmptyContinuation], instructions: Sequence[From | Instruction]
) -> list[Finding]:
    """Each instruction by itself, in their order."""
    message = "Empty continuation line"
    found = [Finding("NoEmptyContinuation", message, each.line, each.line) for each in empty]
    for instruction in instructions:
        if isinstance(instruction, From):
            found += _from(instruction)
        elif isinstance(instruction, Arg):
            names = [each.name for each in instruction.definitions]
            found += _description(instruction.source, names)
        elif isinstance(instruction, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            found.append(finding("MaintainerDeprecated", message, instruction.source))
    return found


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


def _from(origin: From) -> Iterator[Finding]:
    name, keyword, source = origin.name_as_written, origin.as_keyword, origin.source
    if name != name.lower():
        message = f"Stage name '{name}' should be lowercase"
        yield finding("StageNameCasing", message, source)
    # A keyword of both cases is a finding of its own.
    is_lower, is_upper = source.keyword.islower(), source.keyword.isupper()
    if (is_lower and keyword != keyword.lower()) or (is_upper and keyword != keyword.upper()):
        message = f"'{keyword}' and '{source.keyword}' keywords' casing do not match"
        yield finding("FromAsCasing", message, source)
    if origin.name:
        yield from _description(source, [origin.name])


def _description(source: Source, names: Sequence[str]) -> Iterator[Finding]:
    if not source.comments or source.comments[-1].split(" ")[0] in names:
        return
    name = names[0] if len(names) == 1 else "<arg_key>"
    keyword = source.keyword.upper()
    message = f"Comment for {keyword} should follow the format: `# {name} <description>`"
    yield finding("InvalidDefinitionDescription", message, source)


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
