"""Checks a Dockerfile for probable mistakes. Pure.

The findings come in the order of BuildKit's: first those of the text, then those of FROM, then those of the
instructions, stage by stage, each with the variables that it sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence

from rootless.dockerfile.checks.rules import CheckSettings, Finding, check_settings, failure
from rootless.dockerfile.checks.stage import StageContext, StageEnd, check_stage, image_start
from rootless.dockerfile.checks.text import check_stages, check_statements
from rootless.dockerfile.config import Config
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.expansion import Expander
from rootless.dockerfile.graph import stage_graph
from rootless.dockerfile.ignore import IgnorePatterns
from rootless.dockerfile.instructions import Dockerfile, From, Stage
from rootless.dockerfile.scopes import expand_from, global_variables
from rootless.dockerfile.stage_instructions import stage_instructions
from rootless.dockerfile.suggestions import did_you_mean
from rootless.dockerfile.syntax.parser import (
    assemble,
    make_instructions,
    parse_trigger,
    read_statements,
)
from rootless.dockerfile.syntax.words import Rules, expand_with
from rootless.errors import UsageError
from rootless.oci.platform import parse_platform
from rootless.oci.reference import parse_reference
from unionfs.light_types import NamedTuple

SETTINGS_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument whose value replaces that of the parser directive `check`."""


class CheckContext(NamedTuple):
    """The input of a check besides the Dockerfile."""

    platform: Mapping[str, str] = {}
    """The platform arguments (`scopes.platform_arguments`)."""
    build_args: Mapping[str, str] = {}
    target: str = ""
    contexts: Collection[str] = ()
    """The names of --build-context."""
    ignore: IgnorePatterns | None = None
    """The patterns of the .dockerignore; None: there is none."""
    base_configs: Mapping[int, Config] = {}
    """The config of the image that a stage starts from, by the number of the stage."""
    stages: Collection[int] | None = None
    """The stages to check; None: the target and what it needs, or all of them without a target."""


class Checked(NamedTuple):
    findings: tuple[Finding, ...]
    error: DockerfileError | None
    """What ends the build: the Dockerfile makes no sense (the findings are those from before that), or it asks
    for an error if there are findings."""


def check(text: str, context: CheckContext) -> Checked:
    """The findings in a Dockerfile."""
    found = _Findings(context)
    error = None
    try:
        found.read(text)
    except DockerfileError as caught:
        error = caught
    if error is None and found.settings.fails and found.findings:
        error = DockerfileError(failure(found.findings))
    return Checked(tuple(found.findings), error)


class _Findings:
    """The findings of one Dockerfile, as far as it can be read."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self.settings = CheckSettings()
        self.findings: list[Finding] = []

    def read(self, text: str) -> None:
        """Raises DockerfileError."""
        found = read_statements(text)
        directives = {each.name: each.value for each in found.directives}
        chosen = self._context.build_args.get(SETTINGS_ARGUMENT, directives.get("check", ""))
        self.settings = check_settings(chosen)
        instructions, error = make_instructions(found, text)
        if error is not None and error.is_lexical:
            raise error
        self._add(check_statements(found, instructions))
        if error is not None:
            raise error
        dockerfile = assemble(text, found, instructions)
        self._add(check_stages(dockerfile.stages))
        self._read_stages(dockerfile, self._read_origins(dockerfile))

    def _add(self, findings: Sequence[Finding]) -> None:
        self.findings += [each for each in findings if self.settings.holds(each.rule)]

    def _add_one(self, rule: str, message: str, origin: From) -> None:
        self._add([Finding(rule, message, origin.source.first_line, origin.source.last_line)])

    def _read_origins(self, dockerfile: Dockerfile) -> list[From]:
        context = self._context
        self._check_defaults(dockerfile)
        variables = global_variables(dockerfile, context.platform, context.build_args)
        declared = [each.name for arg in dockerfile.args for each in arg.definitions]
        names = list(dict.fromkeys([*declared, *variables]))
        origins = []
        for stage in dockerfile.stages:
            self._check_origin(stage.origin, variables, names, dockerfile.escape)
            origins.append(expand_from(stage.origin, variables, dockerfile.escape))
        return origins

    def _check_defaults(self, dockerfile: Dockerfile) -> None:
        """FROM with the defaults of its arguments, whatever --build-arg says."""
        try:
            variables = global_variables(dockerfile, self._context.platform, {})
            for stage in dockerfile.stages:
                origin = stage.origin
                image = Expander(variables, dockerfile.escape).word(origin.image)
                if not _is_image_name(image):
                    message = (
                        f"Default value for ARG {origin.image} results in empty or invalid base "
                        "image name"
                    )
                    self._add_one("InvalidDefaultArgInFrom", message, origin)
        except DockerfileError:
            # It shows again where the build reads it.
            return

    def _check_origin(
        self, origin: From, variables: Mapping[str, str], names: Sequence[str], escape: str
    ) -> None:
        for text in (origin.image, origin.platform):
            expander = Expander(variables, escape)
            # `expand_from` raises it with its place.
            with contextlib.suppress(DockerfileError):
                expander.word(text)
            for name in expander.missing:
                if name not in names:
                    near = did_you_mean(name, names)
                    message = f"FROM argument '{name}' is not declared{near}"
                    self._add_one("UndefinedArgInFrom", message, origin)
        if origin.platform:
            self._check_platform(origin, variables, escape)

    def _check_platform(self, origin: From, variables: Mapping[str, str], escape: str) -> None:
        found = expand_with(origin.platform, variables, Rules(escape))
        target = "TARGETPLATFORM"
        if found.used == (target,) and not found.missing and found.text == variables.get(target):
            message = (
                f"Setting platform to predefined {origin.platform} in FROM is redundant as this is "
                "the default behavior"
            )
            self._add_one("RedundantTargetPlatform", message, origin)
        if found.used or found.missing:
            return
        try:
            platform = parse_platform(found.text)
        except UsageError:
            return
        if platform.os not in origin.name and platform.architecture not in origin.name:
            message = f"FROM --platform flag should not use constant value {quoted(found.text)}"
            self._add_one("FromPlatformFlagConstDisallowed", message, origin)

    def _read_stages(self, dockerfile: Dockerfile, origins: Sequence[From]) -> None:
        context = self._context
        outer = global_variables(dockerfile, context.platform, context.build_args)
        instructions = stage_instructions(
            dockerfile, origins, outer, context.build_args, context.contexts
        )
        stages = [
            self._with_triggers(stage._replace(instructions=own))
            for stage, own in zip(dockerfile.stages, instructions, strict=True)
        ]
        graph = stage_graph(
            origins,
            [each.instructions for each in stages],
            context.target,
            context.contexts,
        )
        common = StageContext(outer, context.build_args, dockerfile.escape, context.ignore)
        chosen = context.stages
        if chosen is None:
            chosen = graph.needed if context.target else range(len(graph.nodes))
        ends: dict[int, StageEnd] = {}
        for stage, node in zip(stages, graph.nodes, strict=True):
            if stage.number not in chosen:
                continue
            start = ends.get(-1 if node.base is None else node.base)
            if start is None:
                start = image_start(context.base_configs.get(stage.number, {}))
            findings: list[Finding] = []
            try:
                ends[stage.number] = check_stage(stage, start, common, findings)
            finally:
                self._add(findings)

    def _with_triggers(self, stage: Stage) -> Stage:
        """A stage with the triggers of its base image, which stand in the line of FROM."""
        triggers = self._context.base_configs.get(stage.number, {}).get("OnBuild")
        if not isinstance(triggers, list):
            return stage
        source = stage.origin.source
        inherited = (parse_trigger(str(each), source) for each in triggers)
        return stage._replace(instructions=(*inherited, *stage.instructions))


def _is_image_name(text: str) -> bool:
    try:
        parse_reference(text)
    except UsageError:
        return False
    return True
