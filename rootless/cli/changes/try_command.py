"""`try`: runs a command on the host's own files, copy on write."""

from __future__ import annotations

import os
import sys

from rootless.cli.context import Settings, absolute, current_directory, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, OptionalText, Parsed, Text, Texts
from rootless.errors import LaunchError, NotFoundError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.network.options import NetworkOptions
    from rootless.spec.options import TraceOptions
    from rootless.trying.request import TryRequest

NAME = Text(("name",), "Name of the container that keeps the changes", "NAME")
KEEP = Flag(("keep",), "Keep the changes for later, without a question")
APPLY = Flag(("apply",), "Apply the changes to the host's files at the end, without a question")
DROP = Flag(("drop",), "Drop the changes at the end, without a question")
ON = Texts(("on",), "Directory that is copy on write, while the rest is read-only", "PATH")
RW = Texts(("rw",), "File or directory that is changed on the host itself", "PATH")
HIDE = Texts(("hide",), "File or directory that appears empty", "PATH")
NETWORK = Text(
    ("network", "net"), "Network: host (default), none, or one that run takes", "NETWORK"
)
AGENTS = Flag(("agents",), "Keep the variables of agents and displays, such as SSH_AUTH_SOCK")
TRACE = OptionalText(
    ("trace",),
    "Record which files the command reads, for rootless trace; =FILE also writes the "
    "trace to FILE at the end",
    "FILE",
)
SNAPSHOT_EACH = Text(
    ("snapshot-each",),
    "Take a snapshot before each command of exec, or at an interval",
    "exec|SECONDS",
)
EXPLAIN = Flag(("explain",), "Print what can be undone and what cannot, and quit")

_EXPLANATION = """\
The command writes to a layer over the host's files and not to them. Dropping the layer undoes
  files created, changed, deleted and moved; their modes, times and extended attributes.
It does not undo
  processes    what the command started has ended with it; it sees no other processes
  network      what was sent and received, such as a push or an upload
  sockets      what a server did that was reached by the network; those in directories are out of reach
  devices      what was written to the terminal
  --rw PATH    what was written there
The command can send away what it can read: hide files (--hide) or take the network away (--network none).
"""


def try_(parsed: Parsed, settings: Settings) -> int:
    """Run the command. Returns its status."""
    if parsed[EXPLAIN]:
        sys.stdout.write(_EXPLANATION)
        return 0
    if sum(parsed[row] for row in (KEEP, APPLY, DROP)) > 1:
        raise GrammarError("--keep, --apply and --drop exclude each other")
    from rootless.trying.request import options_of_try

    engine = engine_of(settings)
    request = _request(parsed)
    options = options_of_try(
        request, os.environ, directory=current_directory(), umask=_current_umask()
    )
    try:
        outcome = engine.run(options)
    except LaunchError:  # the name was this container's, and nothing has run in it
        _remove(engine, request.name)
        raise
    if parsed[DROP] or outcome.detached:
        return outcome.status
    from rootless.cli.changes.outcome import apply_all, decide

    if parsed[APPLY]:
        left_alone = apply_all(engine, request.name)
        return outcome.status or left_alone
    if parsed[KEEP] and parsed[NAME]:
        return outcome.status
    asks = not parsed[KEEP] and os.isatty(0) and os.isatty(2)
    decide(engine, request.name, asks=asks, is_traced=request.trace is not None)
    return outcome.status


def _remove(engine: Engine, name: str) -> None:
    try:
        engine.remove(name)
    except NotFoundError:
        return  # with --drop


def _request(parsed: Parsed) -> TryRequest:
    from rootless.trying.hiding import hidden_paths
    from rootless.trying.request import TryRequest, new_name

    home = os.environ.get("HOME") or "/"
    through = tuple(_existing("--rw", path) for path in parsed[RW])
    return TryRequest(
        command=parsed.arguments or (os.environ.get("SHELL") or "/bin/sh",),
        name=parsed[NAME] or new_name(os.urandom(8).hex()),
        on=tuple(_existing("--on", path) for path in parsed[ON]),
        through=through,
        hidden=hidden_paths(map(absolute, parsed[HIDE]), os.environ, home, through),
        network=_network(parsed[NETWORK]),
        agents=parsed[AGENTS],
        remove=parsed[DROP],
        trace=None if parsed[TRACE] is None else _trace(parsed),
        snapshot_each=_snapshot_each(parsed[SNAPSHOT_EACH]),
        terminal=os.isatty(0) and os.isatty(1),
        devices=tuple(filter(os.path.exists, ("/dev/fuse", "/dev/net/tun"))),
    )


def _trace(parsed: Parsed) -> TraceOptions:
    from rootless.cli.tracing.option import parse_trace

    return parse_trace(parsed[TRACE] or "", removed_by="--drop" if parsed[DROP] else "")


def _snapshot_each(text: str | None) -> str:
    if not text:
        return ""
    from rootless.cli.flags.snapshots import parse_each

    return parse_each(text, in_memory=False)


def _existing(flag: str, path: str) -> str:
    """The path without symbolic links, since a mount would follow them. Raises UsageError."""
    if not os.path.lexists(path):
        raise UsageError(f"{flag} {path}: no such file or directory")
    return os.path.realpath(absolute(path))


def _network(text: str | None) -> NetworkOptions:
    from rootless.cli.flags.network import parse_network
    from rootless.containers.storage_paths import read_configuration

    configuration = read_configuration(os.environ)
    name = text or "host"
    if configuration is not None:
        name = configuration.network_unless_locked(text or "", "host")
    return parse_network([name], publish=(), publish_all=False, expose=(), mac_address="")


def _current_umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


TRY = Command(
    "try",
    "Run a command on the host's files without changing them",
    "[COMMAND] [ARG...]",
    (NAME, KEEP, APPLY, DROP, ON, RW, HIDE, NETWORK, AGENTS, TRACE, SNAPSHOT_EACH, EXPLAIN),
    try_,
    interspersed=False,
    description="""Run a command, or a shell, on the host's own files, copy on write: with the same
user, home and working directory, environment and terminal. Then show what it has changed, and ask
what is to become of that. Without a terminal the changes are kept, and their name is printed on
standard error.

`rootless changes NAME` shows kept changes, `rootless exec NAME` and the other commands for containers
work on them, `rootless apply NAME` makes them on the host, and `rootless drop NAME` drops them.
--hide adds to the paths in /etc/rootless/try-hide and ~/.config/rootless/try-hide, one a line.""",
)
