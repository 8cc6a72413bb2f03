"""The rules of `docker build --check`, and which of them a Dockerfile asks for. Pure.

The names, messages and addresses are those of BuildKit (Docker's manual, "Build checks").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError, excerpt, quoted
from unionfs.light_types import NamedTuple

_MANUAL = "https://docs.docker.com/go/dockerfile/rule"
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

EXPERIMENTAL = frozenset(("CopyIgnoredFile", "InvalidDefinitionDescription"))
"""Rules that hold only for a Dockerfile that asks for them."""


class Finding(NamedTuple):
    """A rule that a Dockerfile breaks, and where."""

    rule: str
    message: str
    first_line: int
    last_line: int

    @property
    def url(self) -> str:
        """The page about the rule in Docker's manual."""
        return f"{_MANUAL}/{_WORD.sub('-', self.rule).lower()}/"

    @property
    def short(self) -> str:
        """As it is shown while an image is built."""
        return f"{self.rule}: {self.message} (line {self.first_line})"


class CheckSettings(NamedTuple):
    """Which rules hold."""

    skips_all: bool = False
    skipped: frozenset[str] = frozenset()
    experimental_all: bool = False
    experimental: frozenset[str] = frozenset()
    fails: bool = False
    """Whether a finding makes the build fail."""

    def holds(self, rule: str) -> bool:
        if rule in EXPERIMENTAL:
            return self.experimental_all or rule in self.experimental
        return not self.skips_all and rule not in self.skipped


def check_settings(text: str) -> CheckSettings:
    """The settings of the parser directive `check`, or of the build argument BUILDKIT_DOCKERFILE_CHECK:
    `skip=RULE,…;experimental=RULE,…;error=true`. What follows a blank does not count. Raises DockerfileError."""
    settings = CheckSettings()
    text = text.strip(SPACE).partition(" ")[0]
    for option in text.split(";", 2) if text else ():
        name, equals, value = option.partition("=")
        name, value = name.strip(SPACE), value.strip(SPACE)
        if not equals:
            raise _error(f"invalid check option {quoted(option)}")
        rules = frozenset(each.strip(SPACE) for each in value.split(","))
        if name == "skip":
            change = {"skips_all": True} if value == "all" else {"skipped": rules}
        elif name == "experimental":
            change = {"experimental_all": True} if value == "all" else {"experimental": rules}
        elif name != "error":
            raise _error(f"invalid check option {quoted(name)}")
        elif value in _TRUE or value in _FALSE:
            change = {"fails": value in _TRUE}
        else:
            raise _error(
                f"failed to parse check option {quoted(option)}: strconv.ParseBool: parsing "
                f"{quoted(value)}: invalid syntax"
            )
        settings = settings._replace(**change)
    return settings


def _error(message: str) -> DockerfileError:
    return DockerfileError(f"failed to parse check options: {message}")


def report(findings: Sequence[Finding], text: str, name: str, *, is_whole: bool) -> str:
    """What `build --check` prints of the findings in a Dockerfile, whose file is called `name`. `is_whole`: whether
    no error ended the check."""
    if not findings:
        return "Check complete, no warnings found.\n" if is_whole else ""
    count = len(findings)
    counted = "1 warning has" if count == 1 else f"{count} warnings have"
    parts = [f"Check complete, {counted} been found!\n"]
    for each in sorted(findings, key=lambda finding: finding.first_line):
        shown = excerpt(text, name, each.first_line, each.last_line)
        parts.append(f"\nWARNING: {each.rule} - {each.url}\n{each.message}\n{shown}\n")
    return "".join(parts)


def failure(findings: Sequence[Finding]) -> str:
    """The error of a build whose Dockerfile says `check=error=true`."""
    names = dict.fromkeys(finding.rule for finding in findings)
    return f"lint violation found for rules: {', '.join(names)}"
