"""The instructions that each stage executes: with the triggers of its base stage, and with names of stages expanded.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.instructions import Arg, Copy, Dockerfile, Env, From, Instruction
from rootless.dockerfile.scopes import Scope
from rootless.dockerfile.triggers import with_triggers


def stage_instructions(
    dockerfile: Dockerfile,
    origins: Sequence[From],
    variables: Mapping[str, str],
    build_args: Mapping[str, str],
    contexts: Collection[str] = (),
) -> list[tuple[Instruction, ...]]:
    """The instructions of each stage.

    `origins` and `contexts` as in `stage_graph`; `variables`: the global ones. Raises DockerfileError.
    """
    found = with_triggers(origins, [each.instructions for each in dockerfile.stages], contexts)
    return [_with_stage_names(each, variables, build_args, dockerfile.escape) for each in found]


def _with_stage_names(
    instructions: tuple[Instruction, ...],
    variables: Mapping[str, str],
    build_args: Mapping[str, str],
    escape: str,
) -> tuple[Instruction, ...]:
    """With the variables in --from of COPY replaced, as buildah does: ARG and ENV of the stage before it count.
    docker refuses them."""
    if not any(isinstance(each, Copy) and "$" in each.from_stage for each in instructions):
        return instructions
    scope = Scope({})
    found: list[Instruction] = []
    for each in instructions:
        expander = scope.expander(escape)
        if isinstance(each, Copy) and "$" in each.from_stage:
            found.append(each._replace(from_stage=expander.word(each.from_stage)))
            continue
        found.append(each)
        if isinstance(each, Arg):
            scope = scope.with_arg(each, variables, build_args, escape)
        elif isinstance(each, Env):
            expanded = expand_instruction(each, expander)
            assert isinstance(expanded, Env)  # as it was
            scope = scope.with_env(expanded)
    return tuple(found)
