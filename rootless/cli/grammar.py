"""Docker's command-line grammar: a command described as data, and the parser that reads arguments
by it. Pure.

The table is the one truth about a command. This parser reads it for every command that runs;
`rootless.cli.help.application` makes typer's commands of the same table for help and completion, and
`rootless.cli.help.man_pages` the manual pages. Importing typer costs more than starting a container may
take (docs/decisions/0701), so a run does without it.

What is accepted is what spf13/pflag accepts, because that is what Docker's users type:

    --name x   --name=x   --rm   --rm=false   -e A=B   -eA=B   -e=A=B   -it   -itw /tmp   --   -

A row of a table is also the key of its value: `parsed[FORCE]` is a bool because FORCE is a Flag, and
a type checker knows it.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias, overload

    from rootless.cli.context import Settings

Value = bool | int | str | tuple[str, ...] | None


class Option(NamedTuple):
    """One option, as one of the classes below, which say what value it has.

    `names` are its spellings without dashes, the long one to show first; a single letter is a
    shorthand. `metavar` names the value in help.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    group: str = "Options"
    hidden: bool = False
    choices: tuple[str, ...] = ()
    """The words that a shell completes; the parser does not check them."""

    @property
    def long(self) -> str:
        return self.names[0]


class Flag(Option):
    """No value needed; `--x=false` turns it off. False when not given."""


class OnFlag(Option):
    """A flag that is on when not given."""


class Toggle(Option):
    """A flag for which "not given" is a third value, None."""


class Text(Option):
    """A string, the last one given, or None."""


class OptionalText(Option):
    """A string that follows `=` and may be left out, which is the empty string; None when not given."""


class Number(Option):
    """A decimal whole number, or None."""


class Texts(Option):
    """A string; repeating the option adds to it. The value is a tuple."""


_ABSENT: Mapping[type[Option], Value] = {
    Flag: False,
    OnFlag: True,
    Toggle: None,
    Text: None,
    OptionalText: None,
    Number: None,
    Texts: (),
}
_FLAGS = (Flag, OnFlag, Toggle)
_ALONE = (*_FLAGS, OptionalText)


def takes_value(option: Option) -> bool:
    """Whether the option has a value of its own, which may be the next word."""
    return not isinstance(option, _ALONE)


def spelling(option: Option) -> str:
    """How docker names a flag in errors: `-m, --memory`."""
    short = [f"-{name}, " for name in option.names if len(name) == 1]
    return f"{''.join(short[:1])}--{option.long}"


class Command(NamedTuple):
    """One command. `arguments` is the tail of the usage line; between `least` and `most` of them
    are taken.
    """

    name: str
    summary: str
    arguments: str
    options: tuple[Option, ...]
    handler: Handler
    """Runs the command and returns the exit status."""
    least: int = 0
    most: int | None = None
    interspersed: bool = True
    """False: options end at the first argument, because what follows belongs to another program."""
    description: str = ""
    operand: str = ""
    """What a shell completes as an argument: `image`, `container` or, for both, `object`."""


class Parsed:
    """A parsed command line: a value for every option of the table, and the arguments."""

    __slots__ = ("arguments", "help", "values")

    def __init__(
        self,
        values: Mapping[str, Value],
        arguments: tuple[str, ...],
        help: bool = False,  # noqa: A002 - the option's name
    ) -> None:
        self.values = values
        self.arguments = arguments
        self.help = help

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, option: Flag | OnFlag) -> bool: ...
        @overload
        def __getitem__(self, option: Toggle) -> bool | None: ...
        @overload
        def __getitem__(self, option: Text | OptionalText) -> str | None: ...
        @overload
        def __getitem__(self, option: Number) -> int | None: ...
        @overload
        def __getitem__(self, option: Texts) -> tuple[str, ...]: ...

    def __getitem__(self, option: Option) -> Value:
        return self.values[option.long]


if TYPE_CHECKING:
    Handler: TypeAlias = Callable[[Parsed, Settings], int]


class GrammarError(Exception):
    """A line that does not parse. `exit_status` is Docker's: 125 for a flag, 1 for the number of
    arguments.
    """

    def __init__(self, message: str, exit_status: int = 125) -> None:
        super().__init__(message)
        self.message = message
        self.exit_status = exit_status


class UnknownFlagError(GrammarError):
    """A flag that the table does not have; `flag` is its name without dashes."""

    def __init__(self, message: str, flag: str) -> None:
        super().__init__(message)
        self.flag = flag


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
    values: dict[str, Value] = {option.long: _ABSENT[type(option)] for option in table}
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
        raise UnknownFlagError(f"unknown flag: --{name}", name)
    if equals:
        _store(option, f"--{name}", text, values)
    elif not takes_value(option):
        _store(option, f"--{name}", _value_alone(option), values)
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
            raise UnknownFlagError(
                f"unknown shorthand flag: {letter!r} in -{letters[position:]}", letter
            )
        shown = f"-{letter}, --{option.long}"
        tail = letters[position + 1 :]
        if tail.startswith("="):
            return _store(option, shown, tail[1:], values)
        if not takes_value(option):
            _store(option, shown, _value_alone(option), values)
        elif tail:
            return _store(option, shown, tail, values)
        elif rest:
            return _store(option, shown, rest.pop(), values)
        else:
            raise GrammarError(f"flag needs an argument: {letter!r} in -{letters[position:]}")
    return None


def _value_alone(option: Option) -> str:
    """The text of an option that stands alone."""
    return "" if isinstance(option, OptionalText) else "true"


def _store(option: Option, shown: str, text: str, values: dict[str, Value]) -> None:
    key = option.long
    if isinstance(option, _FLAGS):
        values[key] = _truth(shown, text)
    elif isinstance(option, Number):
        try:
            values[key] = int(text, 10)
        except ValueError:
            raise GrammarError(
                f'invalid argument "{text}" for "{shown}" flag: not a whole number'
            ) from None
    elif isinstance(option, Texts):
        earlier = values[key]
        values[key] = (*(earlier if isinstance(earlier, tuple) else ()), text)
    else:
        values[key] = text


def _truth(shown: str, text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise GrammarError(f'invalid argument "{text}" for "{shown}" flag: not true or false')
    return text in _TRUE


def _check_number(command: Command, given: int, path: str) -> None:
    least, most = command.least, command.most
    if least <= given and (most is None or given <= most):
        return
    if most == 0:
        need = "accepts no arguments"
    elif least == most:
        need = f"requires {least} argument{'s' * (least != 1)}"
    elif least and most is not None:
        need = f"requires at least {least} and at most {most} arguments"
    elif given < least:
        need = f"requires at least {least} argument{'s' * (least != 1)}"
    else:
        need = f"requires at most {most} argument{'s' * (most != 1)}"
    raise GrammarError(f"'{path}' {need}", exit_status=1)
