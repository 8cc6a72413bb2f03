"""`build`."""

from __future__ import annotations

import os
import stat
import sys

from rootless.cli.context import Settings, absolute, engine_of, read_text
from rootless.cli.flags.environment import parse_labels
from rootless.cli.flags.names import parse_add_host
from rootless.cli.flags.sizes import parse_size
from rootless.cli.flags.ulimits import parse_ulimit
from rootless.cli.grammar import Command, Flag, Parsed, Text, Texts
from rootless.cli.shared_options import PLATFORM, platform_of
from rootless.csv_fields import split_fields
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.build import SecretSource
    from rootless.build.context import ContextRequest
    from rootless.build.errors import BuildError
    from rootless.build.progress import Progress

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
_QUIET = Flag(("quiet", "q"), "Suppress the build output and print image ID on success")
_PROGRESS = Text(
    ("progress",),
    "Set type of progress output: auto, none, plain or tty",
    "TYPE",
    choices=("auto", "none", "plain", "tty"),
)


def build(parsed: Parsed, settings: Settings) -> int:
    """Build an image and print its id, or what went wrong with the place in the Dockerfile."""
    from rootless.build.build import BuildRequest
    from rootless.build.errors import BuildError

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
    )
    try:
        built = engine_of(settings).build(request, progress=_progress(parsed))
    except BuildError as error:
        sys.stdout.flush()
        print(_described(error), file=sys.stderr)
        return 1
    id_file = parsed[_IIDFILE]
    if id_file is not None:
        with open(id_file, "w", encoding="ascii") as file:
            file.write(built.id)
    if parsed[_QUIET]:
        print(built.id)
    return 0


def _context(place: str, file: str | None) -> ContextRequest:
    """What PATH and -f name: a directory, or on standard input an archive or a Dockerfile alone."""
    from rootless.build.archives import looks_like_archive
    from rootless.build.context import ContextRequest

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
    directory = absolute(place)
    if not os.path.lexists(directory):
        raise UsageError(f'unable to prepare context: path "{place}" not found')
    if not os.path.isdir(directory):
        raise UsageError(f"unable to prepare context: path {place!r} is not a directory")
    if file == "-":
        text = _rest().decode(errors="surrogateescape")
        return ContextRequest(directory=directory, text=text)
    return ContextRequest(directory=directory, dockerfile=absolute(file) if file else "")


def _network(parsed: Parsed) -> str:
    mode = parsed[_NETWORK] or "default"
    if mode not in {"default", "host", "none"}:
        raise UsageError(
            f"network mode {mode!r} is not supported by build", hint="use host or none"
        )
    return mode


def _secret(text: str) -> SecretSource:
    from rootless.build.build import SecretSource

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


def _progress(parsed: Parsed) -> Progress | None:
    from rootless.build.progress import PlainProgress

    if parsed[_QUIET] or parsed[_PROGRESS] == "none":
        return None
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
    "PATH|-",
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
        PLATFORM,
    ),
    build,
    least=1,
    most=1,
)
