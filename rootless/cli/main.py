"""The entry: find the command, read its options, carry it out, render the error, choose the exit
status.

Nothing heavy is imported here: `run` must reach its container in a few dozen milliseconds.
"""

from __future__ import annotations

import gc
import os
import sys

from rootless.cli.commands import COMMANDS, GLOBAL_OPTIONS, RUN, Group
from rootless.cli.context import COMPLETION_VARIABLE, PROGRAM, Settings, handler_of
from rootless.cli.grammar import Command, GrammarError, parse, read_options
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    _open_missing_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if COMPLETION_VARIABLE in os.environ:
        return _typer(())
    debug = False
    try:
        values, words, wants_help = read_options(GLOBAL_OPTIONS, arguments, interspersed=False)
        given: dict[str, Any] = dict(values)
        settings = Settings(
            given["debug"], given["root"], given["runroot"], given["storage_driver"]
        )
        debug = settings.debug
        if values["version"]:
            from rootless.version import __version__

            print(f"Rootless version {__version__}")
            return 0
        if wants_help or not words:
            return _typer(("--help",))
        return _dispatch(words, settings)
    except GrammarError as error:
        print(f"{error.message}\nSee '{PROGRAM} --help'.", file=sys.stderr)
        return error.exit_status
    except RootlessError as error:
        return _render(error, debug)
    except BrokenPipeError:
        # The reader of our output has gone. Nothing more can be said; keep the interpreter from
        # trying at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        reason = (error.strerror or str(error)).lower()
        return _render(RootlessError(f"{where}{reason}"), debug)
    except KeyboardInterrupt:
        return 130


def _open_missing_streams() -> None:
    """Let no descriptor of ours take the place of a standard stream that the caller closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _dispatch(words: Sequence[str], settings: Settings) -> int:
    name, *rest = words
    found = COMMANDS.get(name)
    path = name
    if isinstance(found, Group):
        if not rest or rest[0] in {"--help", "-h"}:
            return _typer((name, "--help"))
        path = f"{name} {rest[0]}"
        found = found.commands.get(rest[0])
        rest = rest[1:]
    if found is None:
        print(
            f"{PROGRAM}: '{path}' is not a {PROGRAM} command.\nSee '{PROGRAM} --help'",
            file=sys.stderr,
        )
        return 1
    return _carry_out(found, path, rest, settings)


def _carry_out(command: Command, path: str, rest: Sequence[str], settings: Settings) -> int:
    full = f"{PROGRAM} {path}"
    try:
        parsed = parse(command, rest, full)
        if not parsed.help:
            if command is not RUN:
                gc.enable()
            return handler_of(command)(parsed, settings)
    except RootlessError as error:
        # 125 is of `docker run`, for what is not the container's status; elsewhere failing is 1.
        if command is not RUN and error.exit_status == RootlessError.exit_status:
            error.exit_status = 1
        raise
    except GrammarError as error:
        print(f"{error.message}\nSee '{full} --help'.", file=sys.stderr)
        if error.exit_status == 1:
            usage = f"{full} [OPTIONS] {command.arguments}".rstrip()
            print(f"\nUsage:  {usage}\n\n{command.summary}", file=sys.stderr)
        return error.exit_status
    return _typer((*path.split(), "--help"))


def _typer(arguments: Sequence[str]) -> int:
    """Help and shell completion, which are worth waiting for typer."""
    from rootless.cli.application import build_application

    return build_application(PROGRAM, arguments)


def _render(error: RootlessError, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    print(f"{PROGRAM}: {_shown(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {_shown(error.hint)}", file=sys.stderr)
    return error.exit_status


def _shown(text: str) -> str:
    """Errors quote images and registries, which must not speak to a terminal in escape sequences."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
