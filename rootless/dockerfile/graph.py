"""The graph of stages: the stages that a stage or a target needs. Pure.

A stage starts from a stage before it or from an image, and its COPY --from and RUN --mount=from= name stages, images or
named contexts. The errors are BuildKit's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.instructions import Copy, From, Instruction, Run, Source
from rootless.dockerfile.suggestions import did_you_mean
from rootless.errors import UsageError
from rootless.oci.reference import parse_reference
from unionfs.light_types import NamedTuple

SCRATCH = "scratch"
_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


class StageInput(NamedTuple):
    """A COPY or RUN that takes files from elsewhere than the build context."""

    instruction: int
    """Its place among the instructions of the stage, from 0."""
    name: str
    """As written after `from=`."""
    stage: int | None
    """The stage of that name; None: an image or a named context."""
    target: str = ""
    """Of a mount, as written."""


class StageNode(NamedTuple):
    """One stage and what it needs."""

    number: int
    base: int | None
    """The stage that it starts from; None: an image, a named context, or nothing (`scratch`)."""
    is_replaced: bool
    """Whether a named context stands for the whole stage."""
    inputs: tuple[StageInput, ...]

    @property
    def needs(self) -> tuple[int, ...]:
        """The stages that must be complete before this one, each once."""
        if self.is_replaced:
            return ()
        found = dict.fromkeys(each.stage for each in self.inputs if each.stage is not None)
        return tuple(found) if self.base is None else tuple({self.base: None, **found})


class Graph(NamedTuple):
    nodes: tuple[StageNode, ...]
    target: int
    needed: tuple[int, ...]
    """The target and the stages that it needs, in the order of the file: each after all that it needs."""


def stage_graph(
    origins: Sequence[From],
    instructions: Sequence[Sequence[Instruction]],
    target: str = "",
    contexts: Collection[str] = (),
) -> Graph:
    """The graph of the stages.

    `origins`: FROM of each stage, with its variables replaced. `instructions`: those of each stage, ONBUILD triggers of its
    base image included. `target`: the name of a stage; empty: the last one. `contexts`: names of --build-context,
    each of which replaces the stage or image of that name.

    Raises DockerfileError for a target that is no stage, for a stage that needs itself or one after it, and for the
    name of an image that cannot be one.
    """
    replaced = {name.lower() for name in contexts}
    by_name = {each.name: number for number, each in enumerate(origins) if each.name}
    nodes = []
    before: dict[str, int] = {}
    for number, origin in enumerate(origins):
        base = None if origin.image in replaced else base_stage(origin.image, number, before)
        inputs = _inputs(instructions[number], by_name, len(origins))
        nodes.append(StageNode(number, base, origin.name in replaced, inputs))
        if origin.name:
            before[origin.name] = number
    _refuse_circles(nodes, origins, instructions)
    for node, origin in zip(nodes, origins, strict=True):
        if node.base is None and not node.is_replaced and origin.image not in replaced:
            _refuse_bad_name(origin)
    wanted = _target(origins, by_name, target)
    needed = _needed(nodes, wanted)
    for number in needed:
        _refuse_later_stages(nodes[number], origins, instructions[number])
    return Graph(tuple(nodes), wanted, needed)


def base_stage(name: str, number: int, before: Mapping[str, int]) -> int | None:
    """The stage that FROM of stage `number` names, of those `before` it by name; None: an image.

    Names of images have no capital letters: one that has some can only be a stage. A number is one too, as for
    buildah.
    """
    if name.isascii() and name.isdecimal() and int(name) < number:
        return int(name)
    return before.get(name.lower())


def stage_label(origin: From, number: int) -> str:
    """The name of a stage in messages."""
    return origin.name or f"stage-{number}"


def _inputs(
    instructions: Sequence[Instruction], by_name: Mapping[str, int], count: int
) -> tuple[StageInput, ...]:
    found = []
    for place, instruction in enumerate(instructions):
        if isinstance(instruction, Copy) and instruction.from_stage:
            stage = _stage_of_copy(instruction, by_name, count)
            found.append(StageInput(place, instruction.from_stage, stage))
        elif isinstance(instruction, Run):
            found += [
                StageInput(
                    place, each.from_stage, by_name.get(each.from_stage.lower()), each.target
                )
                for each in instruction.mounts
                if each.from_stage and each.from_stage.lower() != SCRATCH
            ]
    return tuple(found)


def _stage_of_copy(copy: Copy, by_name: Mapping[str, int], count: int) -> int | None:
    """A number names a stage too; a stage whose name is that number cannot be."""
    name = copy.from_stage
    if "$" in name[:-1] or "\\" in name:
        raise _at(
            "variable expansion is not supported for --from, define a new stage with FROM using ARG "
            "from global scope as a workaround",
            copy.source,
        )
    if _NUMBER.fullmatch(name) is None:
        return by_name.get(name.lower())
    if not 0 <= int(name) < count:
        raise _at(f"invalid stage index {int(name)}", copy.source)
    return int(name)


def _target(origins: Sequence[From], by_name: Mapping[str, int], target: str) -> int:
    if not target:
        return len(origins) - 1
    found = by_name.get(target.lower())
    if found is None:
        names = [stage_label(each, number) for number, each in enumerate(origins)]
        near = did_you_mean(target, names)
        raise DockerfileError(f"target stage {quoted(target)} could not be found{near}")
    return found


def _needed(nodes: Sequence[StageNode], target: int) -> tuple[int, ...]:
    found: set[int] = set()
    waiting = [target]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += nodes[number].needs
    return tuple(sorted(found))


def _refuse_circles(
    nodes: Sequence[StageNode],
    origins: Sequence[From],
    instructions: Sequence[Sequence[Instruction]],
) -> None:
    """Of the inputs alone: a base stands before its stage."""
    done: set[int] = set()
    for start in range(len(nodes)):
        path: list[tuple[int, list[StageInput]]] = [(start, list(nodes[start].inputs))]
        on_path = {start}
        while path:
            number, left = path[-1]
            if not left or number in done:
                path.pop()
                done.add(number)
                on_path.discard(number)
                continue
            following = left.pop(0)
            if following.stage in on_path:
                label = stage_label(origins[start], start)
                raise _at(
                    f"circular dependency detected on stage: {label}",
                    instructions[number][following.instruction].source,
                )
            if following.stage is not None:
                path.append((following.stage, list(nodes[following.stage].inputs)))
                on_path.add(following.stage)


def _refuse_bad_name(origin: From) -> None:
    if origin.image == SCRATCH:
        return
    try:
        parse_reference(origin.image)
    except UsageError as error:
        message = f"failed to parse stage name {quoted(origin.image)}: {error.message}"
        raise _at(message, origin.source) from None


def _refuse_later_stages(
    node: StageNode, origins: Sequence[From], instructions: Sequence[Instruction]
) -> None:
    for each in node.inputs if not node.is_replaced else ():
        if each.stage is None or each.stage < node.number:
            continue
        instruction = instructions[each.instruction]
        if isinstance(instruction, Copy):
            label = stage_label(origins[node.number], node.number)
            raise _at(
                f"cannot copy from stage {quoted(each.name)}, it needs to be defined before current "
                f"stage {quoted(label)}",
                instruction.source,
            )
        raise _at(
            f"cannot mount from stage {quoted(each.name)} to {quoted(each.target)}, stage needs to be "
            "defined before current command",
            instruction.source,
        )


def _at(message: str, source: Source) -> DockerfileError:
    return DockerfileError(message, line=source.first_line, last_line=source.last_line)
