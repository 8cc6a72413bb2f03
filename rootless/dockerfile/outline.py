"""The targets of a Dockerfile, and the arguments, secrets and SSH agents that a build of one takes. Pure.

The texts and the JSON documents are those of `docker build --call=targets` and `--call=outline`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rootless.dockerfile.config import Config, variables_of
from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.graph import stage_graph
from rootless.dockerfile.instructions import Arg, Dockerfile, Env, Run, Source
from rootless.dockerfile.scopes import Scope, expand_from, global_variables, mounts_of
from rootless.dockerfile.syntax.mounts import SecretMount, SshMount
from rootless.dockerfile.syntax.words import Rules, expand_with
from unionfs.light_types import NamedTuple


class Target(NamedTuple):
    """A stage. `base` and `platform` are as written."""

    name: str
    """Empty for a stage without one."""
    is_default: bool
    description: str
    base: str
    platform: str
    source: Source


class Argument(NamedTuple):
    name: str
    value: str
    description: str
    source: Source


class Input(NamedTuple):
    """A secret or an SSH agent."""

    name: str
    is_required: bool
    source: Source


class Outline(NamedTuple):
    """The inputs of a build of one target, in the order of the Dockerfile."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    secrets: tuple[Input, ...]
    agents: tuple[Input, ...]


class OutlineContext(NamedTuple):
    """The input of an outline besides the Dockerfile."""

    platform: Mapping[str, str] = {}
    """The platform arguments (`scopes.platform_arguments`)."""
    build_args: Mapping[str, str] = {}
    target: str = ""
    contexts: Sequence[str] = ()
    """The names of --build-context."""
    base_configs: Mapping[int, Config] = {}
    """The configs of base images that are known, by the numbers of stages."""


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """The stages; the last one is the default."""
    last = len(dockerfile.stages) - 1
    return tuple(
        Target(
            origin.name,
            number == last,
            origin.source.description_of(origin.name),
            origin.image,
            origin.platform,
            origin.source,
        )
        for number, origin in enumerate(each.origin for each in dockerfile.stages)
    )


def outline(dockerfile: Dockerfile, context: OutlineContext) -> Outline:
    """The inputs of the target and of the stages that it needs. Raises DockerfileError."""
    return _Outliner(dockerfile, context).run()


class _Outliner:
    def __init__(self, dockerfile: Dockerfile, context: OutlineContext) -> None:
        self._dockerfile = dockerfile
        self._context = context
        self._globals = global_variables(dockerfile, context.platform, context.build_args)
        origins = [each.origin for each in dockerfile.stages]
        self._graph = stage_graph(
            [expand_from(each, self._globals, dockerfile.escape) for each in origins],
            [each.instructions for each in dockerfile.stages],
            context.target,
            context.contexts,
        )
        self._scopes: dict[int, Scope] = {}
        self._arguments: dict[int, dict[str, Argument | None]] = {}
        """Those that a stage uses; None: that before the first FROM."""
        self._secrets: dict[int, dict[str, Input]] = {}
        self._agents: dict[int, dict[str, Input]] = {}

    def run(self) -> Outline:
        for number in self._graph.needed:
            self._read_stage(number)
        outer, depends = self._outer_arguments()
        arguments: dict[str, Argument] = {}
        secrets: dict[str, Input] = {}
        agents: dict[str, Input] = {}
        for number in self._in_order_of_need():
            for name, argument in self._arguments[number].items():
                waiting = [name] if argument is None else []
                if argument is not None:
                    arguments.setdefault(name, argument)
                while waiting:
                    used = waiting.pop()
                    if used in outer and used not in arguments:
                        arguments[used] = outer[used]
                        waiting += depends[used]
            secrets = {**self._secrets[number], **secrets}
            agents = {**self._agents[number], **agents}
        origin = self._dockerfile.stages[self._graph.target].origin
        return Outline(
            origin.name,
            origin.source.description_of(origin.name),
            tuple(sorted(arguments.values(), key=lambda each: each.source.first_line)),
            tuple(sorted(secrets.values(), key=lambda each: each.source.first_line)),
            tuple(sorted(agents.values(), key=lambda each: each.source.first_line)),
        )

    def _in_order_of_need(self) -> Iterator[int]:
        """The target, then what it needs: of an argument of several stages the first one counts."""
        waiting, seen = [self._graph.target], set()
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                yield number
                waiting += reversed(self._graph.nodes[number].needs)

    def _outer_arguments(self) -> tuple[dict[str, Argument], dict[str, tuple[str, ...]]]:
        """The arguments before the first FROM, and the names that the default of each uses."""
        found, depends = {}, {}
        for arg in self._dockerfile.args:
            for each in arg.definitions:
                value = self._globals.get(each.name) or ""
                found[each.name] = Argument(each.name, value, each.description, arg.source)
                is_given = each.name in self._context.build_args
                depends[each.name] = () if is_given else self._used(each.default or "")
        return found, depends

    def _used(self, text: str) -> tuple[str, ...]:
        return tuple(expand_with(text, self._globals, Rules(self._dockerfile.escape)).used)

    def _read_stage(self, number: int) -> None:
        """Collect what a stage uses. The stages that it needs have been read."""
        stage, node = self._dockerfile.stages[number], self._graph.nodes[number]
        arguments = self._arguments[number] = {}
        secrets = self._secrets[number] = {}
        agents = self._agents[number] = {}
        if node.is_replaced:
            return
        for text in (stage.origin.image, stage.origin.platform):
            arguments.update(dict.fromkeys(self._used(text)))
        if node.base is not None and node.base in self._scopes:
            scope = self._scopes[node.base]
        else:
            scope = Scope(variables_of(self._context.base_configs.get(number, {})))
        for instruction in stage.instructions:
            expander = scope.expander(self._dockerfile.escape)
            if isinstance(instruction, Arg):
                scope = self._with_arg(scope, instruction, arguments)
            elif isinstance(instruction, Env):
                expanded = expand_instruction(instruction, expander)
                assert isinstance(expanded, Env)
                scope = scope.with_env(expanded)
            elif isinstance(instruction, Run):
                for mount in mounts_of(instruction, expander):
                    if isinstance(mount, SecretMount | SshMount):
                        found = secrets if isinstance(mount, SecretMount) else agents
                        found.setdefault(
                            mount.id, Input(mount.id, mount.required, instruction.source)
                        )
        self._scopes[number] = scope

    def _with_arg(self, scope: Scope, arg: Arg, arguments: dict[str, Argument | None]) -> Scope:
        build_args = self._context.build_args
        scope = scope.with_arg(arg, self._globals, build_args, self._dockerfile.escape)
        for each in arg.definitions:
            is_outer = each.default is None and each.name not in build_args
            if is_outer and each.name in self._globals:
                arguments[each.name] = None
            else:
                value = scope.arguments.get(each.name) or ""
                arguments[each.name] = Argument(each.name, value, each.description, arg.source)
        return scope


def targets_text(found: Sequence[Target]) -> str:
    rows = [("TARGET", "DESCRIPTION")]
    for each in found:
        default = "(default)" if each.is_default else ""
        rows.append((f"{each.name} {default}".strip(), each.description))
    return _table(rows, 1)


def outline_text(found: Outline) -> str:
    parts = []
    if found.name:
        rows = [("TARGET:", found.name)]
        if found.description:
            rows.append(("DESCRIPTION:", found.description))
        parts.append(_table(rows, 1))
    if found.arguments:
        arguments = [(each.name, each.value, each.description) for each in found.arguments]
        parts.append(_table([("BUILD ARG", "VALUE", "DESCRIPTION"), *arguments], 3))
    for title, inputs in (("SECRET", found.secrets), ("SSH", found.agents)):
        if inputs:
            shown = [(each.name, "true" if each.is_required else "") for each in inputs]
            parts.append(_table([(title, "REQUIRED"), *shown], 3))
    return "".join(part + "\n" for part in parts)


def _table(rows: Sequence[tuple[str, ...]], padding: int) -> str:
    """Columns of equal width, but for the last one, with blanks between them."""
    widths = [max(map(len, column)) + padding for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in rows
    )


def targets_document(found: Sequence[Target]) -> dict[str, object]:
    return {
        "targets": [
            _without_empty(
                {
                    "name": each.name,
                    "default": each.is_default,
                    "description": each.description,
                    "base": each.base,
                    "platform": each.platform,
                    "location": _location(each.source),
                }
            )
            for each in found
        ]
    }


def outline_document(found: Outline) -> dict[str, object]:
    return _without_empty(
        {
            "name": found.name,
            "description": found.description,
            "args": [
                _without_empty(
                    {
                        "name": each.name,
                        "description": each.description,
                        "value": each.value,
                        "location": _location(each.source),
                    }
                )
                for each in found.arguments
            ],
            "secrets": _inputs(found.secrets),
            "ssh": _inputs(found.agents),
        }
    )


def _inputs(inputs: Sequence[Input]) -> list[dict[str, object]]:
    return [
        _without_empty(
            {"name": each.name, "required": each.is_required, "location": _location(each.source)}
        )
        for each in inputs
    ]


def _without_empty(document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if value}


def _location(source: Source) -> dict[str, object]:
    return {"ranges": [{"start": {"line": source.first_line}, "end": {"line": source.last_line}}]}
