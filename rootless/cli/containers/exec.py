"""`exec`."""

from __future__ import annotations

import os

from rootless.cli.containers.attaching import DETACH_KEYS, detach_keys
from rootless.cli.containers.chosen import CIDFILE, LATEST, from_cidfile_or_latest
from rootless.cli.context import Settings, engine_of, preserved_descriptors, read_text
from rootless.cli.grammar import Command, Flag, GrammarError, Number, Parsed, Text, Texts, spelling
from rootless.errors import RootlessError
from rootless.spec.exec_options import ExecOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.extensions import ChownMode
    from rootless.spec.options import Variables

CHOWN = Text(
    ("chown",),
    "Effect of chown for an account with one id (default: as in the container)",
    "MODE",
    choices=("record", "pretend", "refuse"),
)
DETACH = Flag(("detach", "d"), "Detached mode: run command in the background")
ENV = Texts(("env", "e"), "Set environment variables", "NAME[=VALUE]")
ENV_FILE = Texts(("env-file",), "Read in a file of environment variables", "FILE")
INTERACTIVE = Flag(("interactive", "i"), "Keep STDIN open even if not attached")
PRESERVE_FDS = Number(("preserve-fds",), "Pass N file descriptors beyond the standard streams", "N")
PRESERVE_FD = Texts(("preserve-fd",), "Pass file descriptors by their numbers", "N[,N...]")
PRIVILEGED = Flag(("privileged",), "Give extended privileges to the command: all capabilities")
TTY = Flag(("tty", "t"), "Allocate a pseudo-TTY")
USER = Text(("user", "u"), "Username or UID", "USER[:GROUP]")
WORKDIR = Text(("workdir", "w"), "Working directory inside the container", "DIR")


def exec_command(parsed: Parsed, settings: Settings) -> int:
    """Execute a command in a running container."""
    engine = engine_of(settings)
    name, *command = from_cidfile_or_latest(parsed, engine, "exec", 2)
    detach = parsed[DETACH]
    options = ExecOptions(
        command=tuple(command),
        variables=_variables(parsed),
        workdir=parsed[WORKDIR],
        user=parsed[USER],
        privileged=parsed[PRIVILEGED],
        terminal=parsed[TTY],
        interactive=parsed[INTERACTIVE],
        detach=detach,
        detach_keys=detach_keys(parsed),
        chown=_chown(parsed[CHOWN]),
        preserved=preserved_descriptors(parsed[PRESERVE_FDS], parsed[PRESERVE_FD]),
    )
    try:
        return engine.exec(name, options)
    except RootlessError as error:
        if detach:
            error.exit_status = 1  # the statuses of the command are those of one that is waited for
        raise


def _chown(text: str | None) -> ChownMode | None:
    if text is None:
        return None
    from rootless.cli.flags.security import parse_chown

    return parse_chown(text, "--chown")


def _variables(parsed: Parsed) -> Variables:
    """Those of --env-file and of -e. Raises GrammarError for one of -e without a name, UsageError."""
    if not parsed[ENV] and not parsed[ENV_FILE]:
        return ()
    from rootless.cli.flags.environment import parse_variables

    for entry in parsed[ENV]:
        if not entry.partition("=")[0]:
            raise GrammarError(
                f'invalid argument "{entry}" for "{spelling(ENV)}" flag: '
                f"invalid environment variable: {entry}"
            )
    return parse_variables(parsed[ENV], parsed[ENV_FILE], os.environ, read_text)


EXEC = Command(
    "exec",
    "Execute a command in a running container",
    "CONTAINER COMMAND [ARG...]",
    (
        CHOWN,
        CIDFILE,
        DETACH,
        DETACH_KEYS,
        ENV,
        ENV_FILE,
        INTERACTIVE,
        LATEST,
        PRESERVE_FD,
        PRESERVE_FDS,
        PRIVILEGED,
        TTY,
        USER,
        WORKDIR,
    ),
    exec_command,
    interspersed=False,
    operand="container",
    description="""Execute a command in a running container, in its namespaces and its control group,
with its seccomp filter, capabilities and limits.

The exit status is that of the command: 128+n when signal n ended it, 127 when it was not found,
126 when it could not be executed, and 1 when the container does not run. Signals are not passed on.
The command ends with the container.""",
)
