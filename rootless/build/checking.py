"""The reports of `build --call`, made of a Dockerfile without building it."""

from __future__ import annotations

import base64
import contextlib
import json

from rootless.build.errors import BuildError
from rootless.build.files.context import BuildContext, open_context
from rootless.build.request import BuildRequest, BuildSubject
from rootless.build.workspace import Workspace
from rootless.dockerfile.checks.checker import CheckContext, check
from rootless.dockerfile.checks.rules import document, report
from rootless.dockerfile.errors import DockerfileError, excerpt
from rootless.dockerfile.graph import SCRATCH, stage_graph
from rootless.dockerfile.scopes import (
    BuildPlatform,
    expand_from,
    global_variables,
    platform_arguments,
)
from rootless.dockerfile.stage_instructions import stage_instructions
from rootless.dockerfile.syntax.parser import parse
from rootless.errors import RootlessError
from rootless.oci.platform import host_platform, parse_platform
from rootless.store.image import resolve
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.dockerfile.config import Config
    from rootless.dockerfile.instructions import From
    from rootless.oci.platform import Platform
    from rootless.store.layout import Store


class CheckReport(NamedTuple):
    """The report of `build --check`."""

    text: str
    """The findings; without any, and without an error, a line that there are none."""
    is_clean: bool
    """Whether there are neither findings nor an error."""
    error: BuildError | None
    """Why the Dockerfile cannot be built; the findings are those from before it."""


def check_dockerfile(
    request: BuildRequest, workspace: Workspace, *, as_json: bool = False
) -> CheckReport:
    """Check a Dockerfile without building it; the report is text or a JSON document. Base images are known if they
    are in the store; none is pulled. Raises BuildError for a context that cannot be read."""
    context = open_context(request.context, workspace.new_directory)
    found = check(
        context.text,
        CheckContext(
            platforms_of(request, _first_platform(request)),
            request.build_arguments,
            request.target,
            tuple(request.contexts),
            context.patterns,
            _base_configs(context.text, request, workspace.store),
        ),
    )
    if as_json:
        text = _json_of_check(document(found.findings, found.error), context)
    else:
        text = report(found.findings, context.text, context.name, is_whole=found.error is None)
    if found.error is None:
        return CheckReport(text, not found.findings, None)
    return CheckReport(text, is_clean=False, error=_failure(found.error, context))


def describe(
    request: BuildRequest, workspace: Workspace, subject: BuildSubject, *, as_json: bool
) -> str:
    """The targets of a Dockerfile, or the inputs of a build, as tables or as a JSON document. Base images are known
    if they are in the store; none is pulled. Raises BuildError.
    """
    from rootless.dockerfile.outline import (
        OutlineContext,
        outline,
        outline_document,
        outline_text,
        targets,
        targets_document,
        targets_text,
    )

    context = open_context(request.context, workspace.new_directory)
    try:
        dockerfile = parse(context.text)
        if subject is BuildSubject.TARGETS:
            found = targets(dockerfile)
            return _json(targets_document(found), context) if as_json else targets_text(found)
        taken = outline(
            dockerfile,
            OutlineContext(
                platforms_of(request, _first_platform(request)),
                request.build_arguments,
                request.target,
                tuple(request.contexts),
                _base_configs(context.text, request, workspace.store),
            ),
        )
        return _json(outline_document(taken), context) if as_json else outline_text(taken)
    except DockerfileError as error:
        raise _failure(error, context) from error


def _json(found: dict[str, object], context: BuildContext) -> str:
    whole = {**found, "sources": [_base64(context)]}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _json_of_check(found: dict[str, object], context: BuildContext) -> str:
    source = {"filename": context.name, "data": _base64(context), "language": "Dockerfile"}
    error = found.pop("buildError", None)
    whole = {**found, "sources": [source], **({"buildError": error} if error else {})}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _base64(context: BuildContext) -> str:
    return base64.b64encode(context.text.encode(errors="surrogateescape")).decode()


def _failure(error: DockerfileError, context: BuildContext) -> BuildError:
    failure = BuildError(error.message, hint=error.hint)
    failure.line, failure.last_line = error.line, error.last_line
    return with_excerpt(failure, context)


def _base_configs(text: str, request: BuildRequest, store: Store) -> dict[int, Config]:
    """The configs of base images that are in the store, by the numbers of the stages that start from them.
    Empty for a Dockerfile that has an error: the check ends at it before it comes to the stages."""
    try:
        dockerfile = parse(text)
        variables = global_variables(
            dockerfile, platforms_of(request, _first_platform(request)), request.build_arguments
        )
        origins = [
            expand_from(each.origin, variables, dockerfile.escape) for each in dockerfile.stages
        ]
        contexts_of = tuple(request.contexts)
        instructions = stage_instructions(
            dockerfile, origins, variables, request.build_arguments, contexts_of
        )
        graph = stage_graph(origins, instructions, request.target, contexts_of)
    except DockerfileError:
        return {}
    contexts = {name.lower(): place for name, place in request.contexts.items()}
    found = {}
    for node, origin in zip(graph.nodes, origins, strict=True):
        if node.base is not None and not node.is_replaced:
            continue
        name = _image_name(origin.name if node.is_replaced else origin.image, contexts)
        if name:
            with contextlib.suppress(RootlessError):
                image = resolve(store, name, _platform(origin, request))
                found[node.number] = image.config
    return found


def _image_name(name: str, contexts: dict[str, str]) -> str:
    """The image that a stage starts from, which a named context may replace; empty if it is none."""
    place = contexts.get(name.lower())
    if place is not None:
        scheme, _, image = place.partition("docker-image://")
        return "" if scheme else image
    return "" if name == SCRATCH else name


def _platform(origin: From, request: BuildRequest) -> Platform | None:
    return parse_platform(origin.platform) if origin.platform else _first_platform(request)


def _first_platform(request: BuildRequest) -> Platform | None:
    return request.platforms[0] if request.platforms else None


def platforms_of(request: BuildRequest, platform: Platform | None) -> dict[str, str]:
    """The platform arguments of a build for a platform, by default this machine's."""
    host = host_platform()
    builds_for = platform or host
    return platform_arguments(_shown(host), _shown(builds_for), request.target.lower())


def _shown(platform: Platform) -> BuildPlatform:
    return BuildPlatform(platform.os, platform.architecture, platform.variant or "")


def with_excerpt(error: BuildError, context: BuildContext) -> BuildError:
    """The error with the lines of the Dockerfile that it is about."""
    if error.line:
        error.excerpt = excerpt(context.text, context.name, error.line, error.last_line)
    return error
