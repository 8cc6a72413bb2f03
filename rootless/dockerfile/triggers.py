"""ONBUILD between stages of one Dockerfile: the instructions that a stage adds to stages based on it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rootless.dockerfile.graph import base_stage
from rootless.dockerfile.instructions import From, Instruction, Onbuild
from rootless.dockerfile.syntax.parser import parse_trigger


def with_triggers(
    origins: Sequence[From],
    instructions: Sequence[tuple[Instruction, ...]],
    contexts: Collection[str] = (),
) -> list[tuple[Instruction, ...]]:
    """The instructions of each stage, after the triggers of the stage that it starts from.

    `origins` and `contexts` as in `stage_graph`. Triggers hold once: stages that start from that stage again have
    none of them. Raises DockerfileError, with the place of FROM, for a trigger that is none.
    """
    replaced = {name.lower() for name in contexts}
    before: dict[str, int] = {}
    found = []
    for number, (origin, own) in enumerate(zip(origins, instructions, strict=True)):
        base = None if origin.image in replaced else base_stage(origin.image, number, before)
        triggers = () if base is None else _triggers(instructions[base], origin)
        found.append((*triggers, *own))
        if origin.name:
            before[origin.name] = number
    return found


def _triggers(instructions: Sequence[Instruction], origin: From) -> tuple[Instruction, ...]:
    return tuple(
        parse_trigger(each.expression, origin.source)
        for each in instructions
        if isinstance(each, Onbuild)
    )
