"""The variables in the scope of each instruction: ARG and ENV, before the first FROM and in each stage. Pure.

Docker's Dockerfile reference, "Understand how ARG and FROM interact" and "Scope". A stage sees the variables of the
stage or image that it starts from; of the ARGs before the first FROM it sees those that it declares again. As
in BuildKit the later of ARG and ENV counts for the instructions after both, and an image keeps only those of ENV.
"""

from __future__ import annotations

from collections.abc import Mapping

from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.expansion import Expander
from rootless.dockerfile.instructions import Arg, Dockerfile, Env, From, Run, Source
from rootless.dockerfile.suggestions import did_you_mean
from rootless.dockerfile.syntax.mounts import Mount, parse_mount
from rootless.errors import UsageError
from rootless.oci.platform import parse_platform
from unionfs.light_types import NamedTuple

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
PREDEFINED = frozenset((*_PROXIES, *(name.upper() for name in _PROXIES)))
"""Build arguments that need no ARG. Only RUN sees them, and neither history nor cache do."""


class BuildPlatform(NamedTuple):
    """A platform as the platform arguments show it."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @property
    def text(self) -> str:
        parts = (self.os, self.architecture, self.variant)
        return "/".join(part for part in parts if part)


def platform_arguments(
    builds_on: BuildPlatform, builds_for: BuildPlatform, target: str
) -> dict[str, str]:
    """BUILDPLATFORM, TARGETPLATFORM and their like. `target`: the name of the stage to build, or nothing."""
    found = {}
    for prefix, platform in (("BUILD", builds_on), ("TARGET", builds_for)):
        found[f"{prefix}PLATFORM"] = platform.text
        found[f"{prefix}OS"] = platform.os
        found[f"{prefix}OSVERSION"] = platform.os_version
        found[f"{prefix}ARCH"] = platform.architecture
        found[f"{prefix}VARIANT"] = platform.variant
    return {**found, "TARGETSTAGE": target or "default"}


def global_variables(
    dockerfile: Dockerfile, platform: Mapping[str, str], build_args: Mapping[str, str]
) -> dict[str, str]:
    """The variables of FROM: the platform arguments and the ARGs before the first FROM, with the values of
    --build-arg where it has some. Raises DockerfileError.
    """
    found = {name: build_args.get(name, value) for name, value in platform.items()}
    for arg in dockerfile.args:
        for definition in arg.definitions:
            value = build_args.get(definition.name)
            if value is None and definition.default is not None:
                value = _expanded(definition.default, found, dockerfile.escape, arg.source)
            if value is not None:
                found[definition.name] = value
    return found


def expand_from(origin: From, variables: Mapping[str, str], escape: str) -> From:
    """FROM with its variables replaced by those that are global. Raises DockerfileError."""
    image = _expanded(origin.image, variables, escape, origin.source)
    if not image:
        raise _at(f"base name ({origin.image}) should not be blank", origin.source)
    platform = origin.platform
    if platform:
        expander = Expander(variables, escape)
        try:
            platform = expander.word(platform)
        except DockerfileError as error:
            message = f"failed to process arguments for platform : {error.message}"
            raise _at(message, origin.source) from None
        if not platform:
            near = "".join(did_you_mean(name, variables) for name in expander.missing)
            message = f"empty platform value from expression {origin.platform}{near}"
            raise _at(message, origin.source)
        try:
            parse_platform(platform)
        except UsageError:
            message = (
                f"failed to parse platform {origin.platform}: {quoted(platform)}: "
                "cannot parse platform specifier: invalid argument"
            )
            raise _at(message, origin.source) from None
    return origin._replace(image=image, platform=platform)


class Scope(NamedTuple):
    """The variables of one instruction of a stage."""

    variables: Mapping[str, str]
    """The variables of ENV and ARG; a RUN gets them as its environment."""
    arguments: Mapping[str, str | None] = {}
    """The ARGs declared so far, with their values; None: without one. They are part of what RUN is cached by."""

    def with_env(self, env: Env) -> Scope:
        """The scope after an ENV whose variables are replaced."""
        added = {pair.name: pair.value for pair in env.pairs}
        return self._replace(variables={**self.variables, **added})

    def with_arg(
        self, arg: Arg, outer: Mapping[str, str], build_args: Mapping[str, str], escape: str
    ) -> Scope:
        """The scope after an ARG. `outer`: the global variables. Raises DockerfileError."""
        variables, arguments = dict(self.variables), dict(self.arguments)
        for definition in arg.definitions:
            value = build_args.get(definition.name)
            if value is None and definition.default is None:
                value = outer.get(definition.name)
            elif value is None and definition.default is not None:
                value = _expanded(definition.default, variables, escape, arg.source)
            if value is not None:
                variables[definition.name] = value
            arguments[definition.name] = value
        return Scope(variables, arguments)

    def expander(self, escape: str) -> Expander:
        return Expander(self.variables, escape)


def mounts_of(run: Run, expander: Expander) -> tuple[Mount, ...]:
    """The mounts of a RUN, with variables replaced. Raises DockerfileError with the place of the RUN."""
    try:
        return tuple(parse_mount(each.text, expander.word) for each in run.mounts)
    except DockerfileError as error:
        raise _at(error.message, run.source) from None


def proxy_variables(build_args: Mapping[str, str]) -> dict[str, str]:
    """The environment that RUN gets of the predefined arguments, each in lower and in upper case."""
    found = {}
    for name in sorted(build_args):
        if name.lower() in _PROXIES and build_args[name]:
            found[name.lower()] = found[name.upper()] = build_args[name]
    return found


def _expanded(text: str, variables: Mapping[str, str], escape: str, source: Source) -> str:
    try:
        return Expander(variables, escape).word(text)
    except DockerfileError as error:
        raise _at(error.message, source) from None


def _at(message: str, source: Source) -> DockerfileError:
    return DockerfileError(message, line=source.first_line, last_line=source.last_line)
