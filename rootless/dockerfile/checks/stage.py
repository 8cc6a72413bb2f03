"""Checks the instructions of a stage, each with the variables in its scope. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from rootless.dockerfile.checks.rules import Finding
from rootless.dockerfile.checks.text import finding
from rootless.dockerfile.config import Config, apply_instruction, variables_of
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.expansion import Expander, expand_instruction
from rootless.dockerfile.ignore import IgnorePatterns
from rootless.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Pair,
    Run,
    Source,
    Stage,
    Workdir,
)
from rootless.dockerfile.scopes import Scope, mounts_of
from rootless.dockerfile.suggestions import did_you_mean
from rootless.dockerfile.syntax.ports import exposed_ports
from unionfs.light_types import NamedTuple

_SECRET = "apikey|auth|credentials?|key|password|pword|passwd|secret|token"
_SECRET_NAME = re.compile(rf"(?:_|^)(?:{_SECRET})(?:_|$)", re.IGNORECASE)
_PUBLIC_NAME = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)
# Arguments that only the builder reads.
_NO_VARIABLES = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))
_REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


class StageEnd(NamedTuple):
    """The state that a stage leaves to stages based on it."""

    config: Config
    scope: Scope
    sets_workdir: bool = False
    """Whether the Dockerfile says WORKDIR, here or in a stage before."""


def image_start(config: Config) -> StageEnd:
    """The state that an image leaves to a stage based on it."""
    return StageEnd(config, Scope({"PATH": "", **variables_of(config)}))


class StageContext(NamedTuple):
    """The state that all stages of a Dockerfile share."""

    outer: Mapping[str, str]
    """The global variables."""
    build_args: Mapping[str, str]
    escape: str
    ignore: IgnorePatterns | None


def check_stage(
    stage: Stage, start: StageEnd, context: StageContext, findings: list[Finding]
) -> StageEnd:
    """Add to `findings` those of one stage. Raises DockerfileError where the stage cannot be built; the
    findings before it have been added."""
    check = _StageCheck(start, context, findings)
    for instruction in stage.instructions:
        try:
            check.add(instruction)
        except DockerfileError as error:
            if not error.line:
                error.line = instruction.source.first_line
                error.last_line = instruction.source.last_line
            raise
    return check.end


class _StageCheck:
    def __init__(self, start: StageEnd, context: StageContext, findings: list[Finding]) -> None:
        self.end = start
        self._context = context
        self._findings = findings
        self._once: dict[type, Source] = {}
        """The last CMD, ENTRYPOINT and HEALTHCHECK."""

    def add(self, instruction: Instruction) -> None:
        expander = self.end.scope.expander(self._context.escape)
        try:
            expanded = expand_instruction(instruction, expander)
            if isinstance(instruction, Run):
                mounts_of(instruction, expander)
        finally:
            if not isinstance(instruction, Expose):
                self._undefined(expander.missing, instruction.source)
        match expanded:
            case Arg():
                self._arg(expanded)
            case Env() | Label():
                self._pairs(expanded.pairs, expanded)
            case Cmd() | Entrypoint() | Healthcheck():
                self._process(expanded)
            case Expose():
                self._expose(expanded)
            case Workdir():
                self._workdir(expanded)
            case Copy() | Add():
                self._copy(expanded)
            case _:
                pass
        config = apply_instruction(self.end.config, expanded, cmd_is_set=Cmd in self._once)
        self.end = self.end._replace(config=config)

    def _found(self, rule: str, message: str, source: Source) -> None:
        self._findings.append(finding(rule, message, source))

    def _undefined(self, names: Iterable[str], source: Source) -> None:
        scope = self.end.scope
        for name in names:
            if name not in scope.arguments and name not in _NO_VARIABLES:
                near = did_you_mean(f"${name}", [f"${each}" for each in scope.variables])
                message = f"Usage of undefined variable '${name}'{near}"
                self._found("UndefinedVar", message, source)

    def _secret(self, keyword: str, name: str, source: Source) -> None:
        if _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name):
            message = (
                f"Do not use ARG or ENV instructions for sensitive data ({keyword} {quoted(name)})"
            )
            self._found("SecretsUsedInArgOrEnv", message, source)

    def _arg(self, arg: Arg) -> None:
        for definition in arg.definitions:
            self._secret("ARG", definition.name, arg.source)
            if definition.default is not None and definition.name not in self._context.build_args:
                expander = Expander(self.end.scope.variables, self._context.escape)
                try:
                    expander.word(definition.default)
                finally:
                    self._undefined(expander.missing, arg.source)
            one = arg._replace(definitions=(definition,))
            scope = self.end.scope.with_arg(
                one, self._context.outer, self._context.build_args, self._context.escape
            )
            self.end = self.end._replace(scope=scope)

    def _pairs(self, pairs: Sequence[Pair], instruction: Env | Label) -> None:
        source = instruction.source
        for pair in pairs:
            if pair.is_legacy:
                keyword = source.keyword
                message = (
                    f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" '
                    "format"
                )
                self._found("LegacyKeyValueFormat", message, source)
            if isinstance(instruction, Env):
                self._secret("ENV", pair.name, source)
        if isinstance(instruction, Env):
            self.end = self.end._replace(scope=self.end.scope.with_env(instruction))

    def _process(self, instruction: Cmd | Entrypoint | Healthcheck) -> None:
        source = instruction.source
        before = self._once.get(type(instruction))
        if before is not None:
            message = (
                f"Multiple {source.keyword} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            self._found("MultipleInstructionsDisallowed", message, before)
        self._once[type(instruction)] = source
        if isinstance(instruction, Healthcheck) or instruction.command.is_exec_form:
            return
        if not self.end.config.get("Shell"):
            message = (
                f"JSON arguments recommended for {source.keyword} to prevent unintended behavior "
                "related to OS signals"
            )
            self._found("JSONArgsRecommended", message, source)

    def _expose(self, expose: Expose) -> None:
        for word in expose.ports:
            ports = exposed_ports(word)
            if not ports.protocol_is_lower_case:
                message = f"Defined protocol '{word}' in EXPOSE instruction should be lowercase"
                self._found("ExposeProtoCasing", message, expose.source)
            if ports.has_host_part:
                message = (
                    "EXPOSE instruction should not define an IP address or host-port mapping, found "
                    f"'{word}'"
                )
                self._found("ExposeInvalidFormat", message, expose.source)

    def _workdir(self, workdir: Workdir) -> None:
        if not self.end.sets_workdir and not workdir.path.startswith("/"):
            message = (
                f"Relative workdir {quoted(workdir.path)} can have unexpected results if the base "
                "image changes"
            )
            self._found("WorkdirRelativePath", message, workdir.source)
        self.end = self.end._replace(sets_workdir=True)

    def _copy(self, instruction: Copy | Add) -> None:
        ignore = self._context.ignore
        # Whether an exception takes a source in depends on the files that are there.
        if ignore is None or ignore.has_exceptions:
            return
        if isinstance(instruction, Copy) and instruction.from_stage:
            return
        verb = "Copy" if isinstance(instruction, Copy) else "Add"
        for word in instruction.sources:
            if isinstance(instruction, Add) and word.startswith(_REMOTE):
                continue
            path = posixpath.normpath(word)
            is_top = path in (".", "/")
            if ignore.ignores_all_of_the_context() if is_top else ignore.ignores(path):
                message = (
                    f"Attempting to {verb} file {quoted(path)} that is excluded by .dockerignore"
                )
                self._found("CopyIgnoredFile", message, instruction.source)
