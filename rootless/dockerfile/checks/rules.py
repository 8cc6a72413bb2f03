"""The rules of `docker build --check`, and the selection that a Dockerfile makes of them. Pure.

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

_DESCRIPTIONS = {
    "ConsistentInstructionCasing": "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "DuplicateStageName": "Stage names should be unique",
    "ExposeInvalidFormat": (
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will "
        "become an error in a future release"
    ),
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> "
        "<description>`. If this is not intended to be a description comment, add an empty line "
        "or comment between the instruction and the comment."
    ),
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to "
        "OS signals"
    ),
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "MaintainerDeprecated": "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used in the same stage",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the "
        "default behavior"
    ),
    "ReservedStageName": "Reserved words should not be used as stage names",
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "StageNameCasing": "Stage names should be lowercase",
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "UndefinedVar": "Variables should be defined before their use",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have "
        "unexpected results if the base image changes"
    ),
}
"""What each rule asks for, in the words of BuildKit's document."""

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
    """The selection of rules."""

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
    """The report of `build --check` on the findings in a Dockerfile, whose file is called `name`. `is_whole`:
    whether no error ended the check.
    """
    if not findings:
        return "Check complete, no warnings found.\n" if is_whole else ""
    count = len(findings)
    counted = "1 warning has" if count == 1 else f"{count} warnings have"
    parts = [f"Check complete, {counted} been found!\n"]
    for each in sorted(findings, key=lambda finding: finding.first_line):
        shown = excerpt(text, name, each.first_line, each.last_line)
        parts.append(f"\nWARNING: {each.rule} - {each.url}\n{each.message}\n{shown}\n")
    return "".join(parts)


def document(findings: Sequence[Finding], error: DockerfileError | None) -> dict[str, object]:
    """The document of `build --call=check,format=json`, without the sources."""
    warnings = [
        {
            "ruleName": each.rule,
            "description": _DESCRIPTIONS[each.rule],
            "url": each.url,
            "detail": each.message,
            "location": _location(each.first_line, each.last_line),
        }
        for each in findings
    ]
    found: dict[str, object] = {"warnings": warnings or None}
    if error is not None:
        location = _location(error.line, error.last_line) if error.line else {}
        found["buildError"] = {"message": error.message, "location": location}
    return found


def _location(first: int, last: int) -> dict[str, object]:
    return {"ranges": [{"start": {"line": first}, "end": {"line": last}}]}


def failure(findings: Sequence[Finding]) -> str:
    """The error of a build whose Dockerfile says `check=error=true`."""
    names = dict.fromkeys(finding.rule for finding in findings)
    return f"lint violation found for rules: {', '.join(names)}"
