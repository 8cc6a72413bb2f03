"""`image slim`."""

from __future__ import annotations

import os
import sys

from rootless.cli.context import Settings, engine_of, read_text
from rootless.cli.grammar import Command, Flag, GrammarError, Number, Parsed, Text, Texts
from rootless.cli.output import human_size
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.options import NetworkOptions

TAG = Text(
    ("tag", "t"),
    "Name of the new image (default: the name of IMAGE with .slim after it)",
    "NAME[:TAG]",
)
ALSO = Texts(("also",), "Further command to run, quoted as for a shell", "COMMAND")
INCLUDE = Texts(("include",), "File or directory to keep, used or not", "PATH")
INCLUDE_LIST = Texts(("include-list",), "File with such paths, one per line", "FILE")
EXCLUDE = Texts(("exclude",), "File or directory to leave out, used or not", "PATH")
COMPARE = Flag(("compare-output",), "Require the same output of the commands in the new image")
STOP_AFTER = Number(
    ("stop-after",),
    "Stop a command that still runs after this time, such as a server",
    "SECONDS",
)
ENV = Texts(
    ("env", "e"),
    "Set environment variables for the commands; NAME alone passes the caller's on",
    "NAME[=VALUE]",
)
NETWORK = Text(("network", "net"), "Network for the commands, as run takes it", "NETWORK")


def slim(parsed: Parsed, settings: Settings) -> int:
    """Make the image, print its id, and the sizes on standard error."""
    from rootless.cli.flags.environment import parse_variables
    from rootless.engine.slim_image import SlimRequest, commands_of
    from rootless.network.options import DEFAULT_NETWORK

    image, *command = parsed.arguments
    if command[:1] == ["--"]:
        del command[0]
    listed = [path for file in parsed[INCLUDE_LIST] for path in _lines(file)]
    request = SlimRequest(
        image,
        commands_of(command, parsed[ALSO]),
        tag=parsed[TAG] or "",
        included=tuple(map(_absolute, (*parsed[INCLUDE], *listed))),
        excluded=tuple(map(_absolute, parsed[EXCLUDE])),
        compares_output=parsed[COMPARE],
        stop_after=parsed[STOP_AFTER],
        variables=parse_variables(parsed[ENV], (), os.environ, read_text),
        network=_network(parsed[NETWORK]) if parsed[NETWORK] else DEFAULT_NETWORK,
    )
    made = engine_of(settings).slim(request)
    for number, trial in enumerate(made.trials, 1):
        if trial.status and not trial.stopped:
            print(f"rootless: command {number} ends with status {trial.status}", file=sys.stderr)
    share = f"{made.size * 100 / made.size_before:.2g}%" if made.size_before else "-"
    print(
        f"rootless: {made.tag}: {human_size(made.size_before)} -> {human_size(made.size)} ({share})",
        file=sys.stderr,
    )
    print(made.id)
    return 0


def _lines(file: str) -> list[str]:
    try:
        lines = read_text(file).splitlines()
    except OSError as error:
        raise UsageError(f"open {file}: {error.strerror}") from error
    return [line for line in lines if line and not line.startswith("#")]


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise GrammarError(f"{path!r} is not an absolute path in the image")
    return os.path.normpath(path)


def _network(text: str | None) -> NetworkOptions:
    from rootless.cli.flags.network import parse_network

    names = [text] if text else []
    return parse_network(names, publish=(), publish_all=False, expose=(), mac_address="")


IMAGE_SLIM = Command(
    "slim",
    "Make an image of what commands use of another one",
    "IMAGE [-- COMMAND [ARG...]]",
    (TAG, ALSO, INCLUDE, INCLUDE_LIST, EXCLUDE, COMPARE, STOP_AFTER, ENV, NETWORK),
    slim,
    least=1,
    interspersed=False,
    operand="image",
    description="""Run a command, or what the image runs by itself, in a container of IMAGE, and make an image of
the files that it used: read, executed, listed or looked for, with the directories above them and the symbolic links on the
way. The new image has one layer, and entry point, variables, labels and the rest of IMAGE's configuration. The
command is run again in it: if it ends with another status, nothing is kept. Volumes of the image are kept whole.

What another command, another input or another day would need was not seen: give --also and --include for that.""",
)
