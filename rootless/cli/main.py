"""The entry: find the command, read its options, run it, print the error, choose the exit
status.

Nothing heavy is imported here: `run` must reach its container in a few dozen milliseconds.
"""

from __future__ import annotations

import gc
import io
import os
import sys

from rootless.cli import index
from rootless.cli.context import COMPLETION_VARIABLE, PROGRAM, Settings
from rootless.cli.grammar import (
    Command,
    GrammarError,
    Parsed,
    UnknownFlagError,
    parse,
    read_options,
)
from rootless.cli.process import as_expected, exit_status_of, of_system_call, take_standard_streams
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless.ranks.recipe import Claim
    from rootless.supervisor.ahead import MonitorAhead


_QUIET = frozenset({"-q", "--quiet", "-s", "--silent"})
_OF_APPTAINER = _QUIET | {"-d", "--debug", "-v", "--verbose", "--nocolor"}
_HPC = frozenset({"hpc exec", "hpc run", "hpc shell", "hpc test"})
"""Their status is the container's, as that of `run`."""


def main(
    argv: Sequence[str] | None = None,
    claim: Claim | None = None,
    ahead: MonitorAhead | None = None,
) -> int:
    """Run one command line; returns the exit status. `claim` and `ahead` are those of Settings."""
    take_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if COMPLETION_VARIABLE in os.environ:
        return _typer(())
    try:
        values, words, wants_help = read_options(
            index.GLOBAL_OPTIONS, arguments, interspersed=False
        )
        parsed = Parsed(values, ())
        if wants_help:
            words = []
        return exit_status_of(lambda: _main(parsed, words, claim, ahead), debug=parsed[index.DEBUG])
    except GrammarError as error:
        _print_grammar_error(error, "", (each.long for each in index.GLOBAL_OPTIONS), PROGRAM)
        return error.exit_status


def _main(parsed: Parsed, words: list[str], claim: Claim | None, ahead: MonitorAhead | None) -> int:
    """`words` are the command and its arguments; without them help is printed."""
    if parsed[index.VERSION]:
        from rootless.version import __version__

        print(f"Rootless version {__version__}")
        return 0
    if not words:
        return _typer(("--help",))
    if parsed[index.OUT] is not None or parsed[index.NOOUT]:
        _redirect_output(os.devnull if parsed[index.NOOUT] else parsed[index.OUT] or "")
    settings = Settings(
        parsed[index.DEBUG],
        parsed[index.ROOT],
        parsed[index.RUNROOT],
        parsed[index.STORAGE_DRIVER],
        claim,
        ahead,
    )
    return _dispatch(words, settings)


def _redirect_output(path: str) -> None:
    """Have this process, and what it starts, write standard output to a file. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    os.dup2(descriptor, 1)
    os.close(descriptor)


def _print_any_text() -> None:
    """Let names that are not UTF-8, which Linux allows, be printed with escapes."""
    import codecs

    from rootless.cli.escape import escape_undecodable

    codecs.register_error("rootless.escape", escape_undecodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a caller may have put another object there
            stream.reconfigure(errors="rootless.escape")


def _dispatch(words: list[str], settings: Settings) -> int:
    name, *rest = words
    if name == "help":
        return _help(rest)
    found = index.COMMANDS.get(name)
    path = name
    known: Iterable[str] = (*index.COMMANDS, "help")
    if isinstance(found, index.Group):
        if name == "hpc" and rest:
            rest = _with_options_behind(rest)
        try:
            _, rest, wants_help = read_options((), rest, interspersed=False)
        except GrammarError as error:
            _print_grammar_error(error, name, (), f"{PROGRAM} {name}")
            return error.exit_status
        if not rest or wants_help:
            return _typer((name, "--help"))
        path = f"{name} {rest[0]}"
        known = found.commands
        found = found.commands.get(rest[0])
        rest = rest[1:]
    if found is None:
        return _unknown_command(path.split(" "), known)
    return _carry_out(index.load_command(found), path, rest, settings)


def _with_options_behind(words: list[str]) -> list[str]:
    """Move Apptainer's options from before its command behind it: --quiet. Those that make Apptainer print more have no
    effect, and are removed.
    """
    count = next((at for at, word in enumerate(words) if word not in _OF_APPTAINER), len(words) - 1)
    quiet = ["--quiet"] if _QUIET.intersection(words[:count]) else []
    return [words[count], *quiet, *words[count + 1 :]]


def _help(words: list[str]) -> int:
    """`help [COMMAND]`."""
    entry: object = index.COMMANDS.get(words[0]) if words else None
    if isinstance(entry, index.Group) and words[1:]:
        entry = entry.commands.get(words[1])
    elif words[1:]:
        entry = None
    if words and entry is None:
        return _unknown_command(words, index.COMMANDS, what="help topic")
    return _typer((*words, "--help"))


def _unknown_command(words: list[str], known: Iterable[str], *, what: str = "command") -> int:
    from rootless.cli.escape import escaped
    from rootless.cli.not_supported.lookup import missing_command, similar

    path = " ".join(words)
    message = missing_command(words)
    if message is not None:
        print(f"{PROGRAM}: {escaped(message)}", file=sys.stderr)
        return 1
    called = f"{PROGRAM} {path}" if what == "command" else path
    print(f"{PROGRAM}: unknown {what}: {escaped(called)}", file=sys.stderr)
    prefix = " ".join([PROGRAM, *words[:-1]])
    alike = similar(words[-1], known)
    if alike:
        print("Did you mean:", *(f"  {prefix} {each}" for each in alike), sep="\n", file=sys.stderr)
    print(f"See '{PROGRAM} --help'", file=sys.stderr)
    return 1


def _carry_out(command: Command, path: str, rest: Sequence[str], settings: Settings) -> int:
    full = f"{PROGRAM} {path}"
    is_run = command.name in {"run", "try"} or path in _HPC
    try:
        parsed = parse(command, rest, full)
        if not parsed.help:
            if not is_run:
                gc.enable()
                _print_any_text()
            return command.handler(parsed, settings)
    except BrokenPipeError:
        raise
    except (OSError, RuntimeError) as error:
        failed = of_system_call(error) if isinstance(error, RuntimeError) else error
        expected = as_expected(failed)
        if not is_run:
            expected.exit_status = 1
        raise expected from error
    except RootlessError as error:
        # 125 is of `docker run`, for what is not the container's status; elsewhere failing is 1.
        if not is_run and error.exit_status == RootlessError.exit_status:
            error.exit_status = 1
        raise
    except GrammarError as error:
        name = command.name
        # Of these groups a command has the name of a container's command.
        if path.startswith(("hpc ", "network ", "volume ")):
            name = path
        _print_grammar_error(error, name, (each.long for each in command.options), full)
        if error.exit_status == 1:
            usage = f"{full} [OPTIONS] {command.arguments}".rstrip()
            print(f"\nUsage:  {usage}\n\n{command.summary}", file=sys.stderr)
        return error.exit_status
    return _typer((*path.split(), "--help"))


def _print_grammar_error(
    error: GrammarError, command: str, known: Iterable[str], path: str
) -> None:
    from rootless.cli.escape import escaped

    message = error.message
    if isinstance(error, UnknownFlagError):
        from rootless.cli.not_supported.lookup import missing_option, similar

        alike = similar(error.flag, known) if len(error.flag) > 1 else []
        suggestion = "".join(f"\nDid you mean --{each}?" for each in alike[:1])
        message = missing_option(command, error.flag) or message + suggestion
    print(f"{escaped(message)}\nSee '{path} --help'.", file=sys.stderr)


def _typer(arguments: Sequence[str]) -> int:
    """Help and shell completion, which are worth waiting for typer."""
    from rootless.cli.help.application import build_application

    return build_application(PROGRAM, arguments)
