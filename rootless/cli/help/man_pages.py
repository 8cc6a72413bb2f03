"""Manual pages of every command, in roff, from the same tables as the parser and the help texts.

    python -m rootless.cli.help.man_pages DIRECTORY

writes `rootless.1` and one page for each command, such as `rootless-run.1` and
`rootless-image-prune.1`. The macros are those of man(7).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rootless.cli.context import PROGRAM
from rootless.cli.grammar import Command, Option
from rootless.cli.index import GLOBAL_OPTIONS, every_command
from rootless.version import __version__

_SUMMARY = "run OCI containers as an ordinary user, without a daemon"


def main(arguments: list[str]) -> int:
    """Write the pages to the directory that is the only argument; returns the exit status."""
    if len(arguments) != 1:
        print("usage: python -m rootless.cli.help.man_pages DIRECTORY", file=sys.stderr)
        return 2
    directory = Path(arguments[0])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0


def pages() -> Mapping[str, str]:
    """Every page: file name to roff text."""
    result = {f"{PROGRAM}.1": _program_page()}
    for path, command in every_command():
        result[f"{PROGRAM}-{path.replace(' ', '-')}.1"] = _command_page(path, command)
    return result


def _program_page() -> str:
    lines = [
        *_title(PROGRAM),
        *_section("NAME", f"{PROGRAM} \\- {_escaped(_SUMMARY)}"),
        *_section(
            "SYNOPSIS", f"\\fB{PROGRAM}\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARG\\fR...]"
        ),
        *_section("OPTIONS"),
        *_options(GLOBAL_OPTIONS),
        *_section("COMMANDS"),
    ]
    for path, command in every_command():
        page = f"{PROGRAM}-{path.replace(' ', '-')}"
        lines += [".TP", f"\\fB{_escaped(page)}\\fR(1)", _line(command.summary)]
    return "\n".join(lines) + "\n"


def _command_page(path: str, command: Command) -> str:
    page = f"{PROGRAM}-{path.replace(' ', '-')}"
    usage = f"\\fB{_escaped(f'{PROGRAM} {path}')}\\fR [\\fIOPTIONS\\fR]"
    if command.arguments:
        usage += f" \\fI{_escaped(command.arguments)}\\fR"
    lines = [
        *_title(page),
        *_section("NAME", f"{_escaped(page)} \\- {_escaped(command.summary)}"),
        *_section("SYNOPSIS", usage),
        *_section("DESCRIPTION", *_paragraphs(command.description or f"{command.summary}.")),
    ]
    groups: dict[str, list[Option]] = {}
    for option in command.options:
        if not option.hidden:
            groups.setdefault(option.group, []).append(option)
    if groups:
        lines += _section("OPTIONS")
    for title, options in groups.items():
        if len(groups) > 1:
            lines.append(f".SS {_escaped(title)}")
        lines += _options(options)
    lines += _section("SEE ALSO", f"\\fB{PROGRAM}\\fR(1)")
    return "\n".join(lines) + "\n"


def _title(page: str) -> list[str]:
    return [f'.TH "{_escaped(page.upper())}" "1" "" "{PROGRAM} {__version__}" "User Commands"']


def _section(name: str, *body: str) -> list[str]:
    return [f".SH {name}", *body]


def _options(options: tuple[Option, ...] | list[Option]) -> list[str]:
    lines: list[str] = []
    for option in options:
        if option.hidden:
            continue
        short_first = sorted(option.names, key=len)
        spellings = [
            _escaped(f"-{name}" if len(name) == 1 else f"--{name}") for name in short_first
        ]
        tag = ", ".join(f"\\fB{spelling}\\fR" for spelling in spellings)
        if option.metavar:
            tag += f" \\fI{_escaped(option.metavar)}\\fR"
        lines += [".TP", tag, _line(option.help)]
    return lines


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _line(" ".join(paragraph.split()))


def _line(text: str) -> str:
    """A text line: one that begins with a dot or a quote would be a request to roff."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    """Text as roff reads it back: a plain `-` would be a hyphen, and input is ASCII (groff_char(7))."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in plain)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
