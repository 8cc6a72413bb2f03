"""`build`."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from rootless.cli.context import Settings, absolute, engine_of, read_text
from rootless.cli.flags.environment import parse_annotations, parse_labels
from rootless.cli.flags.names import parse_add_host
from rootless.cli.flags.sizes import parse_size
from rootless.cli.flags.ulimits import parse_ulimit
from rootless.cli.grammar import Command, Flag, Number, Parsed, Text, Texts
from rootless.cli.shared_options import PLATFORM, platform_of
from rootless.csv_fields import split_fields
from rootless.durable import write_atomically
from rootless.errors import UsageError
from rootless.light_json import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.context import ContextRequest
    from rootless.build.errors import BuildError
    from rootless.build.outputs import Output
    from rootless.build.progress import Progress
    from rootless.build.request import BuiltImage, SecretSource

_FILE = Text(("file", "f"), 'Name of the Dockerfile (default: "PATH/Dockerfile")', "FILE")
_TAG = Texts(("tag", "t"), 'Image identifier (format: "[registry/]repository[:tag]")', "NAME")
_BUILD_ARG = Texts(("build-arg",), "Set build-time variables", "NAME=VALUE")
_TARGET = Text(("target",), "Set the target build stage to build", "STAGE")
_LABEL = Texts(("label",), "Set metadata for an image", "NAME=VALUE")
_NO_CACHE = Flag(("no-cache",), "Do not use cache when building the image")
_PULL = Flag(("pull",), "Always attempt to pull all referenced images")
_IIDFILE = Text(("iidfile",), "Write the image ID to a file", "FILE")
_ADD_HOST = Texts(("add-host",), 'Add a custom host-to-IP mapping (format: "host:ip")', "HOST:IP")
_ALLOW = Texts(
    ("allow",),
    'Allow extra privileged entitlement ("network.host", "security.insecure")',
    "ENTITLEMENT",
)
_NETWORK = Text(
    ("network",),
    'Set the networking mode for the "RUN" instructions during build: host (default) or none',
    "MODE",
    choices=("default", "host", "none"),
)
_SECRET = Texts(
    ("secret",),
    'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")',
    "SECRET",
)
_SSH = Texts(
    ("ssh",), 'SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")', "AGENT"
)
_SHM_SIZE = Text(("shm-size",), "Shared memory size for build containers", "BYTES")
_ULIMIT = Texts(("ulimit",), "Ulimit options", "NAME=SOFT[:HARD]")
_LOAD = Flag(("load",), "Accepted: the image is always put into the store", hidden=True)
_ANNOTATION = Texts(("annotation",), "Add annotation to the image", "NAME=VALUE")
_BUILD_CONTEXT = Texts(
    ("build-context",), "Additional build contexts (e.g., name=path)", "NAME=PLACE"
)
_CALL = Text(
    ("call",),
    "Set method for evaluating build: build, check, outline or targets (the latter two also with "
    '",format=json")',
    "METHOD",
    choices=("build", "check", "outline", "targets"),
)
_CHECK = Flag(("check",), 'Shorthand for "--call=check"')
_CACHE_FROM = Texts(
    ("cache-from",), 'External cache sources (format: "type=local,src=path")', "SOURCE"
)
_CACHE_TO = Texts(
    ("cache-to",), 'Cache export destinations (format: "type=local,dest=path")', "DESTINATION"
)
_EXPLAIN = Flag(("explain",), "Show for each step that is executed why it was not cached")
_JOBS = Number(
    ("jobs",), "How many stages to build at the same time (default: one a processor)", "N"
)
_METADATA_FILE = Text(("metadata-file",), "Write build result metadata to a file", "FILE")
_NO_CACHE_FILTER = Texts(("no-cache-filter",), "Do not cache specified stages", "STAGE")
_ON_FAIL = Text(
    ("on-fail",),
    "Set what becomes of a RUN that failed: keep leaves a container with its files, shell opens a "
    "shell in it",
    "ACTION",
    choices=("keep", "shell"),
)
_OUTPUT = Texts(("output", "o"), 'Output destination (format: "type=local,dest=path")', "OUTPUT")
_PUSH = Flag(("push",), 'Shorthand for "--output=type=registry"')
_SQUASH = Flag(("squash",), "Squash newly built layers into a single new layer")
_REWRITE_TIMESTAMP = Flag(
    ("rewrite-timestamp",), "Set times in new layers that are after SOURCE_DATE_EPOCH to that"
)
_QUIET = Flag(("quiet", "q"), "Suppress the build output and print image ID on success")
_PROGRESS = Text(
    ("progress",),
    "Set type of progress output: auto, none, plain, quiet, rawjson or tty",
    "TYPE",
    choices=("auto", "none", "plain", "quiet", "rawjson", "tty"),
)


def build(parsed: Parsed, settings: Settings) -> int:
    """Build an image and print its id, or what went wrong with the place in the Dockerfile."""
    from rootless.build.errors import BuildError
    from rootless.build.request import BuildRequest, BuildSubject

    request = BuildRequest(
        _context(parsed.arguments[0], parsed[_FILE]),
        tags=parsed[_TAG],
        build_arguments=_arguments(parsed[_BUILD_ARG]),
        target=parsed[_TARGET] or "",
        labels=parse_labels(parsed[_LABEL], (), read_text),
        platform=platform_of(parsed),
        no_cache=parsed[_NO_CACHE],
        pull=parsed[_PULL],
        network=_network(parsed),
        hosts=tuple(map(parse_add_host, parsed[_ADD_HOST])),
        ulimits=tuple(map(parse_ulimit, parsed[_ULIMIT])),
        shm_size=parse_size(parsed[_SHM_SIZE] or "64m", "--shm-size"),
        allows_insecure="security.insecure" in parsed[_ALLOW],
        secrets=tuple(map(_secret, parsed[_SECRET])),
        agents=dict(map(_agent, parsed[_SSH])),
        contexts=dict(map(_named_context, parsed[_BUILD_CONTEXT])),
        outputs=_outputs(parsed),
        uncached_stages=tuple(
            stage for text in parsed[_NO_CACHE_FILTER] for stage in text.split(",")
        ),
        annotations=parse_annotations(parsed[_ANNOTATION]),
        cache_from=tuple(_cache(text, "src", "--cache-from") for text in parsed[_CACHE_FROM]),
        cache_to=tuple(_cache(text, "dest", "--cache-to") for text in parsed[_CACHE_TO]),
        explains=parsed[_EXPLAIN],
        keeps_failed=_keeps_failed(parsed[_ON_FAIL]),
        keeps_shell=parsed[_ON_FAIL] == "shell",
        squash=parsed[_SQUASH],
        jobs=parsed[_JOBS] or len(os.sched_getaffinity(0)) + 1,
    )
    progress = _progress(parsed)
    engine = engine_of(settings)
    method, as_json = _method(parsed)
    try:
        if method in {"outline", "targets"}:
            shown = engine.describe_build(request, BuildSubject(method), as_json=as_json)
            print(shown, end="", flush=True)
            return 0
        if method == "check":
            checked = engine.check_build(request)
            print(checked.text, end="", flush=True)
            if checked.error is not None:
                raise checked.error
            return 0 if checked.is_clean else 1
        built = engine.build(request, progress=progress)
    except BuildError as error:
        sys.stdout.flush()
        progress.close()
        print(_described(error), file=sys.stderr, flush=True)
        if error.container and request.keeps_shell and os.isatty(0) and os.isatty(1):
            engine.start_attached(error.container, stdin=True)
        return 1
    progress.close()
    if parsed[_QUIET] and built.id:
        print(built.id)
    id_file = parsed[_IIDFILE]
    if id_file is not None:
        with open(id_file, "w", encoding="ascii") as file:
            file.write(built.id)
    if parsed[_METADATA_FILE] is not None:
        _write_metadata(parsed[_METADATA_FILE] or "", built)
    return 0


def _method(parsed: Parsed) -> tuple[str, bool]:
    """The method of --call, and whether the result is shown as JSON."""
    method, *fields = split_fields(parsed[_CALL] or "build")
    if method not in {"build", "check", "outline", "targets"}:
        raise UsageError(
            f"unsupported method {method!r}", hint="one of build, check, outline, targets"
        )
    as_json = False
    for field in fields:
        name, _, value = field.partition("=")
        if name != "format" or value not in {"json", "text"}:
            raise UsageError(f"invalid print field: {field}", hint="format=json or format=text")
        as_json = value == "json"
    if parsed[_CHECK]:
        method = "check"
    if as_json and method in {"build", "check"}:
        raise UsageError(f"--call={method} has no format=json")
    return method, as_json


def _context(place: str, file: str | None) -> ContextRequest:
    """What PATH and -f name: a directory, or on standard input an archive or a Dockerfile alone."""
    from rootless.build.archives import looks_like_archive
    from rootless.build.context import ContextRequest
    from rootless.build.git import git_source
    from rootless.images.formats.url import is_url

    if place == "-":
        if file == "-":
            raise UsageError(
                "invalid argument: can't use stdin for both build context and dockerfile"
            )
        head = _head(512)
        if looks_like_archive(head):
            return ContextRequest(archive=0, head=head, dockerfile=file or "")
        text = (head + _rest()).decode(errors="surrogateescape")
        return ContextRequest(text=text)
    if is_url(place) or git_source(place) is not None:
        return ContextRequest(url=place, dockerfile=file or "")
    directory = absolute(place)
    if not os.path.lexists(directory):
        raise UsageError(f'unable to prepare context: path "{place}" not found')
    if not os.path.isdir(directory):
        raise UsageError(f"unable to prepare context: path {place!r} is not a directory")
    if file == "-":
        text = _rest().decode(errors="surrogateescape")
        return ContextRequest(directory=directory, text=text)
    return ContextRequest(directory=directory, dockerfile=absolute(file) if file else "")


def _cache(text: str, key: str, flag: str) -> str:
    """The directory of a cache."""
    values = {}
    for field in split_fields(text):
        name, equals, value = field.partition("=")
        values[name if equals else "ref"] = value if equals else field
    kind = values.get("type", "registry")
    if kind != "local":
        raise UsageError(
            f"{flag}: caches of type {kind!r} are not supported", hint=f"type=local,{key}=DIR"
        )
    if not values.get(key):
        raise UsageError(f"{flag}: {key} is required for a local cache")
    return absolute(values[key])


def _named_context(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not equals or not name or not place:
        raise UsageError(f"invalid context value: {text}, expected key=value")
    return name, place if "://" in place or place.startswith("git@") else absolute(place)


def _write_metadata(path: str, built: BuiltImage) -> None:
    """What buildx writes to --metadata-file."""
    document: dict[str, object] = {}
    if built.id:
        document = {
            "containerimage.config.digest": built.id,
            "containerimage.digest": built.digest,
        }
    if built.tags:
        document["image.name"] = ",".join(map(str, built.tags))
    write_atomically(path, dumps(document) + b"\n")


def _outputs(parsed: Parsed) -> tuple[Output, ...]:
    from rootless.build.outputs import Output

    found = tuple(map(_output, parsed[_OUTPUT])) or (Output(),)
    if parsed[_PUSH]:
        found = tuple(each._replace(push=True) for each in found)
    if parsed[_REWRITE_TIMESTAMP]:
        found = tuple(each._replace(rewrites_times=True) for each in found)
    if (
        any(each.push for each in found)
        and not parsed[_TAG]
        and not any(each.names for each in found)
    ):
        raise UsageError("tag is needed when pushing to registry", hint="name the image: -t")
    return found


def _output(text: str) -> Output:
    """`type=TYPE,dest=PATH,...`, or a directory, or `-` for a tar archive on standard output."""
    from rootless.build.outputs import Output, OutputKind

    if "=" not in text:
        if text == "-":
            return Output(OutputKind.TAR, 1)
        return Output(OutputKind.LOCAL, Path(absolute(text)))
    values = {}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid value {field}")
        values[key.strip().lower()] = value
    kind = values.pop("type", "")
    destination = values.pop("dest", values.pop("destination", ""))
    push = kind == "registry" or values.pop("push", "") == "true"
    names = tuple(filter(None, values.pop("name", "").split(",")))
    is_directory = values.pop("tar", "true") == "false"
    rewrites = values.pop("rewrite-timestamp", "") == "true"
    if kind in {"image", "registry"} or (kind == "docker" and not destination):
        return Output(OutputKind.IMAGE, None, names, push, rewrites_times=rewrites)
    if kind not in {each.value for each in OutputKind}:
        raise UsageError(
            f"unknown exporter {kind!r}", hint="one of image, local, tar, docker, oci, registry"
        )
    if not destination and kind == "local":
        raise UsageError("dest is required for local exporter")
    if destination in {"", "-"}:
        if os.isatty(1):
            raise UsageError("dest file is required: refusing to write to a terminal")
        return Output(OutputKind(kind), 1, names, rewrites_times=rewrites)
    path = Path(absolute(destination))
    return Output(OutputKind(kind), path, names, is_directory=is_directory, rewrites_times=rewrites)


def _keeps_failed(action: str | None) -> bool:
    if action not in {None, "keep", "shell"}:
        raise UsageError(f"invalid action {action!r} for --on-fail", hint="use keep or shell")
    return action is not None


def _network(parsed: Parsed) -> str:
    mode = parsed[_NETWORK] or "default"
    if mode not in {"default", "host", "none"}:
        raise UsageError(
            f"network mode {mode!r} is not supported by build", hint="use host or none"
        )
    return mode


def _secret(text: str) -> SecretSource:
    from rootless.build.request import SecretSource

    values = {}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid field '{field}' must be a key=value pair")
        values[key.lower()] = value
    if unknown := values.keys() - {"id", "src", "source", "env", "type"}:
        raise UsageError(f"unexpected key '{min(unknown)}' in '{text}'")
    kind = values.get("type", "file")
    if kind not in {"file", "env"}:
        raise UsageError(f"unsupported secret type {kind!r}")
    source = values.get("src") or values.get("source")
    variable = values.get("env") or (source if kind == "env" else None)
    name = values.get("id")
    if not name:
        raise UsageError(f"secret {text!r} has no id")
    if variable is None and source is None:
        # As buildx: a variable of that name, else a file.
        variable = name if name in os.environ else None
    if variable is not None:
        return SecretSource(name, variable=variable)
    path = absolute(source or name)
    if not os.path.exists(path):
        raise UsageError(f"failed to stat {source or name}: no such file or directory")
    return SecretSource(name, path)


def _agent(text: str) -> tuple[str, str]:
    """The id and the socket of an SSH agent; by default that of SSH_AUTH_SOCK."""
    name, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            f"invalid empty ssh agent socket for --ssh {name}: make sure SSH_AUTH_SOCK is set"
        )
    if not os.path.exists(path):
        raise UsageError(f"--ssh {text}: {path} does not exist")
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise UsageError(
            f"--ssh {text}: keys are not served, only agents",
            hint="start ssh-agent, ssh-add the key, and use --ssh default",
        )
    return name, absolute(path)


def _head(size: int) -> bytes:
    """The first bytes of standard input, no byte more."""
    data = b""
    while len(data) < size and (piece := os.read(0, size - len(data))):
        data += piece
    return data


def _rest() -> bytes:
    """Standard input up to its end."""
    pieces = []
    while piece := os.read(0, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _arguments(words: tuple[str, ...]) -> dict[str, str]:
    """A name without a value takes it from the environment, as docker does."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _progress(parsed: Parsed) -> Progress:
    from rootless.build.progress import JsonProgress, PlainProgress, Silence

    asked = parsed[_PROGRESS] or "auto"
    if parsed[_QUIET] and asked not in {"auto", "none", "quiet"}:
        raise UsageError(f"progress={asked} and quiet cannot be used together")
    kind = parsed[_PROGRESS] or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if parsed[_QUIET] or kind in {"none", "quiet"}:
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


BUILD = Command(
    "build",
    "Start a build",
    "PATH|URL|-",
    (
        _FILE,
        _TAG,
        _BUILD_ARG,
        _TARGET,
        _LABEL,
        _NO_CACHE,
        _PULL,
        _IIDFILE,
        _QUIET,
        _PROGRESS,
        _ADD_HOST,
        _ALLOW,
        _NETWORK,
        _SECRET,
        _SSH,
        _SHM_SIZE,
        _ULIMIT,
        _LOAD,
        _ANNOTATION,
        _BUILD_CONTEXT,
        _CACHE_FROM,
        _CACHE_TO,
        _CALL,
        _CHECK,
        _EXPLAIN,
        _JOBS,
        _METADATA_FILE,
        _NO_CACHE_FILTER,
        _ON_FAIL,
        _OUTPUT,
        _PUSH,
        _REWRITE_TIMESTAMP,
        _SQUASH,
        PLATFORM,
    ),
    build,
    least=1,
    most=1,
)
