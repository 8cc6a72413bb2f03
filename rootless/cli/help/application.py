"""The command tables as a typer application: help, shell completion, and the commands themselves
for programs that embed them.

Typer learns a command from a function's signature, so a function is made for each table.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

from rootless.cli.context import COMPLETION_VARIABLE, Settings
from rootless.cli.grammar import (
    Command,
    Flag,
    Number,
    OnFlag,
    Option,
    OptionalText,
    Parsed,
    Text,
    Texts,
    Toggle,
    Value,
)
from rootless.cli.help.completion import Completer, operands
from rootless.cli.help.completion import words as words_completer
from rootless.cli.index import COMMANDS, GLOBAL_OPTIONS, Group, load_command

_DESCRIPTION = """Run OCI containers as an ordinary user, without a daemon and without root.

The commands and their options are Docker's."""
_TYPES: Mapping[type[Option], tuple[object, Value]] = {
    Flag: (bool, False),
    OnFlag: (bool, True),
    Toggle: (bool | None, None),
    Text: (str | None, None),
    OptionalText: (str | None, None),
    Number: (int | None, None),
    Texts: (list[str] | None, None),
}
"""The type and the default of each kind of option, for typer."""
_WIDTH = 100
_ARGUMENTS = "arguments_"


class TableCommand(TyperCommand):
    """A command whose usage line is the table's and whose options are shown in the table's groups."""

    arguments = ""

    # Click's own types have a different home in each release of typer, so they are not named here.
    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002
        return ["[OPTIONS]", *([self.arguments] if self.arguments else [])]

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(panel, []).append(record)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def build_application(program: str, arguments: Sequence[str]) -> int:
    """Run the application on these arguments, or answer the shell's completion request; returns the
    exit status.
    """
    os.environ.setdefault("TERMINAL_WIDTH", str(_WIDTH))
    # Typer knows the shells only where its own completion options are wanted, which help is not
    # to show.
    application = application_from(COMMANDS, completion=COMPLETION_VARIABLE in os.environ)
    try:
        status = application(list(arguments) or None, prog_name=program, standalone_mode=False)
    except typer.Exit as stop:
        return int(stop.exit_code)
    return int(status or 0)


def application_from(
    commands: Mapping[str, str | Group], *, completion: bool = False
) -> typer.Typer:
    """Every command and group of the tables, under every name."""
    application = _group(_DESCRIPTION, completion=completion)
    application.callback()(_function_of(GLOBAL_OPTIONS, "", lambda _: None))
    for name, entry in commands.items():
        if isinstance(entry, Group):
            group = _group(entry.summary)
            group.callback()(_nothing)
            shown: set[str] = set()
            for inner, place in entry.commands.items():
                _add(group, inner, load_command(place), hidden=place in shown)
                shown.add(place)
            application.add_typer(group, name=name)
        else:
            _add(application, name, load_command(entry), hidden=False)
    return application


def _group(description: str, *, completion: bool = False) -> typer.Typer:
    return typer.Typer(
        help=description,
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=completion,
        context_settings={"max_content_width": _WIDTH, "help_option_names": ["--help"]},
    )


def _nothing() -> None:
    """A group has no options of its own."""


def _add(group: typer.Typer, name: str, command: Command, *, hidden: bool) -> None:
    def carry_out(parsed: Parsed) -> None:
        raise typer.Exit(command.handler(parsed, Settings()))

    shape = type("TableCommand", (TableCommand,), {"arguments": command.arguments})
    group.command(
        name,
        cls=shape,
        help=command.description or command.summary,
        short_help=command.summary,
        hidden=hidden,
        context_settings={
            "allow_interspersed_args": command.interspersed,
            "max_content_width": _WIDTH,
        },
    )(_function_of(command.options, command.arguments, carry_out, _completer_of(command)))


def _completer_of(command: Command) -> Completer | None:
    if not command.operand:
        return None
    return operands(
        command.operand, _ARGUMENTS, only_first=not command.interspersed or command.most == 1
    )


def _function_of(
    options: Sequence[Option],
    arguments: str,
    carry_out: Callable[[Parsed], None],
    completer: Completer | None = None,
) -> Callable[..., None]:
    """A function with the signature by which typer declares the options of the table."""

    def function(**given: object) -> None:
        words = cast("list[str] | None", given.pop(_ARGUMENTS, None)) or ()
        values: dict[str, Value] = {}
        for option in options:
            value = given[_identifier(option)]
            values[option.long] = (
                tuple(cast("list[str]", value) or ())
                if isinstance(option, Texts)
                else cast("Value", value)
            )
        carry_out(Parsed(values, tuple(words)))

    parameters = [_parameter(option) for option in options]
    if arguments:
        words = Annotated[
            list[str] | None,
            typer.Argument(metavar=arguments, hidden=True, autocompletion=completer),
        ]
        parameters.append(_keyword(_ARGUMENTS, words, None))
    signature = inspect.Signature(parameters)
    vars(function)["__signature__"] = signature
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    return function


def _parameter(option: Option) -> inspect.Parameter:
    spellings = [f"-{name}" if len(name) == 1 else f"--{name}" for name in option.names]
    detail = typer.Option(
        *spellings,
        help=option.help,
        metavar=option.metavar or None,
        hidden=option.hidden,
        rich_help_panel=option.group,
        show_default=False,
        autocompletion=words_completer(option.choices) if option.choices else None,
    )
    kind, default = _TYPES[type(option)]
    return _keyword(_identifier(option), Annotated[cast("Any", kind), detail], default)


def _identifier(option: Option) -> str:
    """The name of an option as a parameter; no option is called `_`."""
    return option.long.replace("-", "_")


def _keyword(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
