"""The texts of an image's history for instructions that change the config alone. Pure.

They are BuildKit's, so that `history` and scanners show the same for both builders.
"""

from __future__ import annotations

from collections.abc import Sequence

from rootless.dockerfile.errors import quoted
from rootless.dockerfile.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Shell,
    StopSignal,
    User,
    Volume,
)
from rootless.dockerfile.syntax.ports import exposed_ports
from rootless.durations import format_duration


def history_text(instruction: Instruction, shell: Sequence[str]) -> str:
    """The text for an instruction whose variables are replaced; empty for ONBUILD, which BuildKit does not note.
    `shell`: what precedes a command in the shell form."""
    match instruction:
        case Env() | Label():
            words = (f"{pair.name}={pair.value}" for pair in instruction.pairs)
            return " ".join([type(instruction).__name__.upper(), *words])
        case Cmd() | Entrypoint():
            command = instruction.command
            before = () if command.is_exec_form else tuple(shell)
            name = type(instruction).__name__.upper()
            after = command.words if command.is_exec_form else (" ".join(command.words),)
            return f"{name} {_list((*before, *after))}"
        case Expose():
            ports = (port for text in instruction.ports for port in exposed_ports(text).ports)
            return f"EXPOSE [{' '.join(sorted(ports))}]"
        case Healthcheck():
            return _healthcheck(instruction)
        case Volume():
            return f"VOLUME [{' '.join(instruction.paths)}]"
        case _:
            return _word(instruction)


def _word(instruction: Instruction) -> str:
    match instruction:
        case User():
            return f"USER {instruction.user}"
        case StopSignal():
            return f"STOPSIGNAL {instruction.signal}"
        case Shell():
            return f"SHELL [{' '.join(instruction.words)}]"
        case Maintainer():
            return f"MAINTAINER {instruction.name}"
        case _:
            return ""


def _healthcheck(instruction: Healthcheck) -> str:
    times = (
        instruction.interval,
        instruction.timeout,
        instruction.start_period,
        instruction.start_interval,
    )
    shown = " ".join(f'"{format_duration(value)}"' for value in times)
    retries = f"'\\x{instruction.retries:02x}'"
    return f"HEALTHCHECK &{{{_list(instruction.test)} {shown} {retries}}}"


def _list(words: Sequence[str]) -> str:
    """A list as Go's %q prints it."""
    return f"[{' '.join(map(quoted, words))}]"
