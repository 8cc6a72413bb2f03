"""Docker's command-line grammar: a command described as data, and the parser that reads arguments
by it. Pure.

The table is the one truth about a command. This parser reads it for every command that runs;
`rootless.cli.application` builds typer's commands from the same table for help and completion.
Importing typer costs more than starting a container may take
(docs/decisions/0701), so it is left out of the way of a run.

What is accepted is what spf13/pflag accepts, because that is what Docker's users type:

    --name x   --name=x   --rm   --rm=false   -e A=B   -eA=B   -e=A=B   -it   -itw /tmp   --   -
"""

from __future__ import annotations

from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Kind(Enum):
    """How an option takes its value, and what it becomes."""

    BOOL = "bool"
    """No value needed; `--x=false` turns it off."""
    STRING = "string"
    INT = "int"
    LIST = "list"
    """A string; repeating the option adds to it. The value is a tuple."""


Value = bool | int | str | tuple[str, ...] | None


class Option(NamedTuple):
    """One option. `names` are its spellings without dashes, the long one to show first; a single
    letter is a shorthand.
    """

    names: tuple[str, ...]
    kind: Kind
    help: str
    metavar: str = ""
    group: str = "Options"
    field: str = ""
    """Under which name the value is handed over; the long name with underscores where empty."""
    default: Value = None
    hidden: bool = False
    refused: str = ""
    """Why an option that Docker has cannot be honoured here. It is still parsed, so that the
    refusal names it.
    """

    @property
    def long(self) -> str:
        return self.names[0]

    @property
    def key(self) -> str:
        return self.field or self.long.replace("-", "_")

    @property
    def absent(self) -> Value:
        """The value of an option that was not given."""
        if self.default is not None:
            return self.default
        if self.kind is Kind.BOOL:
            return False
        return () if self.kind is Kind.LIST else None


class Command(NamedTuple):
    """One command. `arguments` is the tail of the usage line; between `least` and `most` of them
    are taken.
    """

    name: str
    summary: str
    arguments: str
    options: tuple[Option, ...]
    handler: str
    """`module:function`, imported when the command runs: function(parsed, settings) -> exit status.
    """
    least: int = 0
    most: int | None = None
    interspersed: bool = True
    """False: options end at the first argument, because what follows belongs to another program."""
    description: str = ""


class Parsed(NamedTuple):
    """What was typed: a value for every option of the table, by key, and the arguments."""

    values: Mapping[str, Value]
    arguments: tuple[str, ...]
    help: bool = False


class GrammarError(Exception):
    """A line that does not parse. `exit_status` is Docker's: 125 for a flag, 1 for the number of
    arguments.
    """

    def __init__(self, message: str, exit_status: int = 125) -> None:
        super().__init__(message)
        self.message = message
        self.exit_status = exit_status


_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def parse(command: Command, argv: Sequence[str], path: str) -> Parsed:
    """Read the arguments that follow `path`, the command as it was called. Raises GrammarError."""
    options, positional, wants_help = read_options(
        command.options, argv, interspersed=command.interspersed
    )
    if not wants_help:
        _check_number(command, len(positional), path)
    return Parsed(options, tuple(positional), wants_help)


def read_options(
    table: Sequence[Option], argv: Sequence[str], *, interspersed: bool
) -> tuple[dict[str, Value], list[str], bool]:
    """Split `argv` by a table of options into (values, arguments, whether help was asked for)."""
    by_name = {name: option for option in table for name in option.names}
    values: dict[str, Value] = {option.key: option.absent for option in table}
    positional: list[str] = []
    rest = list(reversed(argv))
    while rest:
        word = rest.pop()
        if word == "--":
            positional.extend(reversed(rest))
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
            if not interspersed:
                positional.extend(reversed(rest))
                break
        elif word == "--help" or (word == "-h" and "h" not in by_name):
            return values, positional, True
        elif word.startswith("--"):
            _read_long(by_name, word, rest, values)
        else:
            _read_cluster(by_name, word, rest, values)
    return values, positional, False


def _read_long(
    by_name: Mapping[str, Option], word: str, rest: list[str], values: dict[str, Value]
) -> None:
    name, equals, text = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise GrammarError(f"bad flag syntax: {word}")
    option = by_name.get(name) if len(name) > 1 else None
    if option is None:
        raise GrammarError(f"unknown flag: --{name}")
    if equals:
        _store(option, f"--{name}", text, values)
    elif option.kind is Kind.BOOL:
        _store(option, f"--{name}", "true", values)
    elif rest:
        _store(option, f"--{name}", rest.pop(), values)
    else:
        raise GrammarError(f"flag needs an argument: --{name}")


def _read_cluster(
    by_name: Mapping[str, Option], word: str, rest: list[str], values: dict[str, Value]
) -> None:
    letters = word[1:]
    for position, letter in enumerate(letters):
        option = by_name.get(letter)
        if option is None:
            raise GrammarError(f"unknown shorthand flag: {letter!r} in -{letters[position:]}")
        spelling = f"-{letter}, --{option.long}"
        tail = letters[position + 1 :]
        if tail.startswith("="):
            return _store(option, spelling, tail[1:], values)
        if option.kind is Kind.BOOL:
            _store(option, spelling, "true", values)
        elif tail:
            return _store(option, spelling, tail, values)
        elif rest:
            return _store(option, spelling, rest.pop(), values)
        else:
            raise GrammarError(f"flag needs an argument: {letter!r} in -{letters[position:]}")
    return None


def _store(option: Option, spelling: str, text: str, values: dict[str, Value]) -> None:
    if option.refused:
        raise GrammarError(f"--{option.long} is not supported: {option.refused}")
    if option.kind is Kind.BOOL:
        if text not in _TRUE | _FALSE:
            raise GrammarError(
                f'invalid argument "{text}" for "{spelling}" flag: not true or false'
            )
        values[option.key] = text in _TRUE
    elif option.kind is Kind.INT:
        try:
            values[option.key] = int(text, 10)
        except ValueError:
            raise GrammarError(
                f'invalid argument "{text}" for "{spelling}" flag: not a whole number'
            ) from None
    elif option.kind is Kind.LIST:
        earlier = values[option.key]
        values[option.key] = (*(earlier if isinstance(earlier, tuple) else ()), text)
    else:
        values[option.key] = text


def _check_number(command: Command, given: int, path: str) -> None:
    least, most = command.least, command.most
    if least <= given and (most is None or given <= most):
        return
    if most == 0:
        need = "accepts no arguments"
    elif least == most:
        need = f"requires exactly {least} argument{'s' * (least != 1)}"
    elif given < least:
        need = f"requires at least {least} argument{'s' * (least != 1)}"
    else:
        need = f"requires at most {most} argument{'s' * (most != 1)}"
    raise GrammarError(f'"{path}" {need}.', exit_status=1)
