"""The provenance attestation of an image, as BuildKit's mode=min has it. Pure.

An in-toto statement (version 0.1) about the manifest of one platform, whose predicate is SLSA's, version 0.2 or 1. With
mode=min build arguments and labels are left out; `completeness` then says so.
"""

from __future__ import annotations

from urllib.parse import quote

from rootless.oci.document import Json
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference

STATEMENT_TYPE = "https://in-toto.io/Statement/v0.1"
PREDICATE_TYPES = {
    "v0.2": "https://slsa.dev/provenance/v0.2",
    "v1": "https://slsa.dev/provenance/v1",
}
_BUILD_TYPES = {
    "v0.2": "https://mobyproject.org/buildkit@v1",
    "v1": "https://github.com/moby/buildkit/blob/master/docs" + "/attestations/slsa-definitions.md",
}


class ProvenanceOptions(NamedTuple):
    """The options of --provenance."""

    version: str = "v0.2"
    """A key of PREDICATE_TYPES."""
    builder_id: str = ""
    is_reproducible: bool = False
    """The caller's word that the same build gives the same image."""


class Material(NamedTuple):
    """An image, a repository or a file that went into a build, with the algorithm and the hex digits of its digest."""

    uri: str
    algorithm: str
    digest: str
    platform: Platform | None = None
    """Of an image."""

    def to_json(self) -> Json:
        """As SLSA names it."""
        return {"uri": self.uri, "digest": {self.algorithm: self.digest}}


class Invocation(NamedTuple):
    """How a build was called. Times are RFC 3339."""

    id: str
    entry_point: str
    """The name of the Dockerfile."""
    arguments: Mapping[str, str]
    """Options without values of the caller's own, by BuildKit's names."""
    is_complete: bool
    """Whether there was nothing to leave out."""
    locals: tuple[str, ...]
    builds_on: Platform
    started: str
    finished: str


def predicate(
    options: ProvenanceOptions, invocation: Invocation, materials: Sequence[Material]
) -> Json:
    """The predicate of the version that was asked for."""
    parameters: Json = {"frontend": "dockerfile.v0"}
    if invocation.arguments:
        parameters["args"] = dict(sorted(invocation.arguments.items()))
    if invocation.locals:
        parameters["locals"] = [{"name": name} for name in invocation.locals]
    named = [each.to_json() for each in materials]
    make = _predicate_1 if options.version == "v1" else _predicate_0_2
    return make(options, invocation, parameters, named)


def _predicate_0_2(
    options: ProvenanceOptions, invocation: Invocation, parameters: Json, materials: list[Json]
) -> Json:
    return {
        "builder": {"id": options.builder_id},
        "buildType": _BUILD_TYPES["v0.2"],
        **({"materials": materials} if materials else {}),
        "invocation": {
            "configSource": {"entryPoint": invocation.entry_point},
            "parameters": parameters,
            "environment": {"platform": str(invocation.builds_on)},
        },
        "metadata": {
            "buildInvocationID": invocation.id,
            "buildStartedOn": invocation.started,
            "buildFinishedOn": invocation.finished,
            "completeness": {
                "parameters": invocation.is_complete,
                "environment": True,
                "materials": False,
            },
            "reproducible": options.is_reproducible,
            f"{_BUILD_TYPES['v0.2']}#metadata": {},
        },
    }


def _predicate_1(
    options: ProvenanceOptions, invocation: Invocation, parameters: Json, materials: list[Json]
) -> Json:
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPES["v1"],
            **({"resolvedDependencies": materials} if materials else {}),
            "externalParameters": {
                "configSource": {"path": invocation.entry_point},
                "request": parameters,
            },
            "internalParameters": {"builderPlatform": str(invocation.builds_on)},
        },
        "runDetails": {
            "builder": {"id": options.builder_id},
            "metadata": {
                "invocationId": invocation.id,
                "startedOn": invocation.started,
                "finishedOn": invocation.finished,
                "buildkit_metadata": {},
                **({"buildkit_reproducible": True} if options.is_reproducible else {}),
                "buildkit_completeness": {
                    "request": invocation.is_complete,
                    "resolvedDependencies": False,
                },
            },
        },
    }


def statement(version: str, content: Json, subjects: Iterable[tuple[str, str]]) -> Json:
    """The statement that `content` is the provenance of each subject: its name, and its digest with the algorithm."""
    split = ((name, *digest.split(":", 1)) for name, digest in subjects)
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPES[version],
        "subject": [{"name": name, "digest": {kind: digits}} for name, kind, digits in split],
        "predicate": content,
    }


def package_url(name: Reference, platform: Platform | None) -> str:
    """An image as a package URL: pkg:docker/alpine@3.18?platform=linux%2Famd64."""
    qualifiers = []
    if name.digest is not None:
        qualifiers.append(f"digest={quote(name.digest, safe=':')}")
    else:
        name = name.with_default_tag()
    if platform is not None:
        qualifiers.append(f"platform={quote(str(platform), safe='')}")
    version = f"@{name.tag}" if name.tag else ""
    text = f"pkg:docker/{quote(name.familiar_name, safe='/:')}{version}"
    return f"{text}?{'&'.join(qualifiers)}" if qualifiers else text
