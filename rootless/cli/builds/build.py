"""`build`."""

from __future__ import annotations

import os
import sys

from rootless.cli.builds import options
from rootless.cli.builds.attestations import parse_attestations
from rootless.cli.builds.cache import parse_cache_exports, parse_cache_imports
from rootless.cli.builds.context import context_request
from rootless.cli.builds.options import BUILD_OPTIONS
from rootless.cli.builds.outputs import parse_output
from rootless.cli.builds.secrets import parse_agent, parse_secret
from rootless.cli.context import Settings, absolute, engine_of, read_text
from rootless.cli.flags.environment import parse_annotations, parse_labels
from rootless.cli.flags.names import parse_add_host
from rootless.cli.flags.sizes import parse_size
from rootless.cli.flags.ulimits import parse_ulimit
from rootless.cli.grammar import Command, Parsed
from rootless.containers.storage_paths import read_configuration
from rootless.csv_fields import split_fields
from rootless.durable import write_atomically
from rootless.errors import UsageError
from rootless.light_json import dumps
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.build.errors import BuildError
    from rootless.build.outputs import Output
    from rootless.build.progress import Progress
    from rootless.build.request import BuildRequest, BuiltImage
    from rootless.configuration.values import Configuration
    from rootless.engine import Engine
    from rootless.oci.platform import Platform
    from rootless.runtime.extensions import ChownMode


def build(parsed: Parsed, settings: Settings) -> int:
    """Build an image and print its id, or the error with its position in the Dockerfile."""
    from rootless.build.errors import BuildError

    request = _request(parsed, read_configuration(os.environ))
    progress = _progress(parsed)
    engine = engine_of(settings)
    call = _call(parsed)
    try:
        if call.method != "build":
            return _report(engine, request, call)
        built = engine.build(request, progress=progress)
    except BuildError as error:
        sys.stdout.flush()
        progress.close()
        print(_described(error), file=sys.stderr, flush=True)
        if error.container and request.keeps_shell and os.isatty(0) and os.isatty(1):
            engine.start_attached(error.container, stdin=True)
        return 1
    progress.close()
    if parsed[options.QUIET] and built.id:
        print(built.id)
    id_file = parsed[options.IIDFILE]
    if id_file is not None:
        with open(id_file, "w", encoding="ascii") as file:
            file.write(built.id)
    if parsed[options.METADATA_FILE] is not None:
        _write_metadata(parsed[options.METADATA_FILE] or "", built)
    return 0


def _request(parsed: Parsed, configuration: Configuration | None) -> BuildRequest:
    from rootless.build.request import BuildRequest

    return BuildRequest(
        context_request(parsed.arguments[0], parsed[options.FILE]),
        tags=parsed[options.TAG],
        build_arguments=_arguments(parsed[options.BUILD_ARG]),
        target=parsed[options.TARGET] or "",
        labels=parse_labels(parsed[options.LABEL], (), read_text),
        platforms=_platforms(parsed[options.PLATFORM]),
        no_cache=parsed[options.NO_CACHE],
        pull=parsed[options.PULL],
        network=_network(parsed, configuration),
        hosts=tuple(map(parse_add_host, parsed[options.ADD_HOST])),
        ulimits=tuple(map(parse_ulimit, parsed[options.ULIMIT])),
        shm_size=parse_size(parsed[options.SHM_SIZE] or "64m", "--shm-size"),
        allows_insecure="security.insecure" in parsed[options.ALLOW],
        allows_host_network="network.host" in parsed[options.ALLOW],
        secrets=tuple(map(parse_secret, parsed[options.SECRET])),
        agents=dict(map(parse_agent, parsed[options.SSH])),
        contexts=dict(map(_named_context, parsed[options.BUILD_CONTEXT])),
        outputs=_outputs(parsed),
        uncached_stages=tuple(
            stage for text in parsed[options.NO_CACHE_FILTER] for stage in text.split(",")
        ),
        annotations=parse_annotations(parsed[options.ANNOTATION]),
        cache_from=parse_cache_imports(parsed[options.CACHE_FROM]),
        cache_to=parse_cache_exports(parsed[options.CACHE_TO]),
        explains=parsed[options.EXPLAIN],
        by_reads=_by_reads(parsed[options.CACHE]),
        keeps_failed=_keeps_failed(parsed[options.ON_FAIL]),
        keeps_shell=parsed[options.ON_FAIL] == "shell",
        provenance=parse_attestations(
            parsed[options.ATTEST], parsed[options.PROVENANCE], parsed[options.SBOM]
        ),
        resumes=parsed[options.RESUME],
        accepts=parsed[options.ACCEPT],
        squash=parsed[options.SQUASH],
        chown=_chown(parsed[options.CHOWN] or "", configuration),
        jobs=parsed[options.JOBS] or len(os.sched_getaffinity(0)) + 1,
    )


def _report(engine: Engine, request: BuildRequest, call: _Call) -> int:
    """Print what --call asks for in place of a build. Raises BuildError."""
    from rootless.build.request import BuildSubject

    if call.method == "check":
        checked = engine.check_build(request, as_json=call.as_json)
        print(checked.text, end="", flush=True)
        if checked.error is not None:
            raise checked.error
        return 0 if checked.is_clean or call.ignores_status else 1
    print(
        engine.describe_build(request, BuildSubject(call.method), as_json=call.as_json),
        end="",
        flush=True,
    )
    return 0


class _Call(NamedTuple):
    """The value of --call. `ignores_status`: findings do not change the exit status."""

    method: str
    as_json: bool = False
    ignores_status: bool = False


def _call(parsed: Parsed) -> _Call:
    text = parsed[options.CALL] or "build"
    method, *fields = split_fields(text)
    if method == "lint":
        method = "check"
    if method not in {"build", "check", "outline", "targets"}:
        raise UsageError(
            f"unsupported method {method!r}", hint="one of build, check, outline, targets"
        )
    call = _Call("check" if parsed[options.CHECK] else method)
    for field in fields:
        name, equals, value = field.partition("=")
        if name == "format" and value in {"json", "text"}:
            call = call._replace(as_json=value == "json")
        elif name == "ignorestatus" and equals:
            call = call._replace(ignores_status=value in {"1", "true"})
        else:
            message = f"invalid print field: {field}" if equals else f"invalid print value: {text}"
            raise UsageError(message, hint="format=json, format=text or ignorestatus=true")
    return call


def _named_context(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not equals or not name or not place:
        raise UsageError(f"invalid context value: {text}, expected key=value")
    return name, place if "://" in place or place.startswith("git@") else absolute(place)


def _write_metadata(path: str, built: BuiltImage) -> None:
    """What buildx writes to --metadata-file."""
    document: dict[str, object] = {}
    descriptor = built.descriptor
    if descriptor is not None:
        if built.id != descriptor.digest:
            document["containerimage.config.digest"] = built.id
        document["containerimage.descriptor"] = descriptor.to_json()
        document["containerimage.digest"] = descriptor.digest
    if built.tags:
        document["image.name"] = ",".join(map(str, built.tags))
    write_atomically(path, dumps(document) + b"\n")


def _outputs(parsed: Parsed) -> tuple[Output, ...]:
    from rootless.build.outputs import Output

    found = tuple(map(parse_output, parsed[options.OUTPUT])) or (Output(),)
    if parsed[options.PUSH]:
        found = tuple(each._replace(push=True) for each in found)
    if parsed[options.REWRITE_TIMESTAMP]:
        found = tuple(each._replace(rewrites_times=True) for each in found)
    if (
        any(each.push for each in found)
        and not parsed[options.TAG]
        and not any(each.names for each in found)
    ):
        raise UsageError("tag is needed when pushing to registry", hint="name the image: -t")
    return found


def _chown(asked: str, configuration: Configuration | None) -> ChownMode | None:
    text = asked if configuration is None else configuration.chown_for(asked)
    if not text:
        return None
    from rootless.cli.flags.security import parse_chown

    return parse_chown(text, "--chown")


def _keeps_failed(action: str | None) -> bool:
    if action not in {None, "keep", "shell"}:
        raise UsageError(f"invalid action {action!r} for --on-fail", hint="use keep or shell")
    return action is not None


def _by_reads(kind: str | None) -> bool:
    if kind not in {None, "inputs", "reads"}:
        raise UsageError(f"invalid value {kind!r} for --cache", hint="use inputs or reads")
    return kind == "reads"


def _platforms(texts: Sequence[str]) -> tuple[Platform, ...]:
    """The platforms to build for, each once; `local` is this machine's."""
    from rootless.oci.platform import host_platform, parse_platform

    words = [word.strip() for text in texts for word in text.split(",")]
    found = (host_platform() if word == "local" else parse_platform(word) for word in words)
    return tuple(dict.fromkeys(found))


def _network(parsed: Parsed, configuration: Configuration | None) -> str:
    mode = parsed[options.NETWORK] or "default"
    if configuration is not None:
        mode = configuration.network_unless_locked(parsed[options.NETWORK] or "", "default")
    if mode not in {"default", "host", "none"}:
        raise UsageError(
            f"network mode {mode!r} is not supported by build", hint="use host or none"
        )
    return mode


def _arguments(words: tuple[str, ...]) -> dict[str, str]:
    """A name without a value takes it from the environment, as docker does."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and not name:
            raise UsageError(f'invalid key-value pair "{word}": empty key')
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _progress(parsed: Parsed) -> Progress:
    from rootless.build.progress import JsonProgress, PlainProgress, Silence

    asked = parsed[options.PROGRESS] or "auto"
    if parsed[options.QUIET] and asked not in {"auto", "none", "quiet"}:
        raise UsageError(f"progress={asked} and quiet cannot be used together")
    kind = parsed[options.PROGRESS] or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if parsed[options.QUIET] or kind in {"none", "quiet"}:
        return Silence()
    if kind == "rawjson":
        return JsonProgress(sys.stderr)
    if kind == "tty" or (kind == "auto" and os.isatty(2)):
        from rootless.build.tty_progress import TtyProgress

        return TtyProgress(sys.stderr)
    if kind not in {"auto", "plain"}:
        raise UsageError(f"invalid progress mode {kind}")
    return PlainProgress(sys.stderr)


def _described(error: BuildError) -> str:
    """A failed build as docker shows it: the end of the step's output, the lines of the Dockerfile, the
    reason."""
    from rootless.cli.escape import escaped

    rule = "-" * 6
    parts = []
    if error.step:
        parts.append("\n".join([rule, f" > {error.step}:", *error.log, rule]))
    parts.append(error.excerpt)
    parts.append(f"ERROR: failed to build: failed to solve: {escaped(error.message)}")
    if error.hint:
        parts.append(f"hint: {error.hint}")
    return "\n".join(part for part in parts if part)


BUILD = Command("build", "Start a build", "PATH|URL|-", BUILD_OPTIONS, build, least=1, most=1)
