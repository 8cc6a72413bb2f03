"""The effect of Dockerfile instructions on an image's config. Pure.

`apply_changes` takes the text of instructions that need no build: those of `docker import --change` and `docker
commit --change`. `apply_instruction` is the same for one instruction whose variables are replaced.
"""

from __future__ import annotations

import posixpath
import signal
from collections.abc import Sequence

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expansion import Expander, expand_instruction
from rootless.dockerfile.instructions import (
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Onbuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.syntax.parser import parse_instructions
from rootless.dockerfile.syntax.ports import exposed_ports

Config = dict[str, object]
"""An image's `config`: Cmd, Env, ... as the OCI image specification (config.md) and Docker have them."""

DEFAULT_SHELL = ("/bin/sh", "-c")


def apply_changes(config: Config, changes: Sequence[str], *, path: str | None = None) -> Config:
    """The config after the instructions in `changes`, each of which sees those before it. `path` is the value of the
    variable PATH where the config has none. Raises DockerfileError for an instruction that does not exist, is malformed,
    or needs a build.
    """
    if not changes:
        return config
    cmd_is_set = False
    for instruction in parse_instructions("\n".join(changes)):
        variables = ({} if path is None else {"PATH": path}) | variables_of(config)
        expanded = expand_instruction(instruction, Expander(variables))
        config = apply_instruction(config, expanded, cmd_is_set=cmd_is_set)
        cmd_is_set = cmd_is_set or (isinstance(instruction, Cmd) and bool(config["Cmd"]))
    return config


def apply_instruction(config: Config, instruction: Instruction, *, cmd_is_set: bool) -> Config:
    """The config after one instruction; the same one for those that change only files. `cmd_is_set`: whether CMD
    stands before it in the same stage: ENTRYPOINT removes a Cmd that it did not set. Raises DockerfileError."""
    try:
        change = _change(config, instruction)
    except DockerfileError as error:
        source = instruction.source
        raise DockerfileError(
            error.message, line=source.first_line, last_line=source.last_line
        ) from None
    if isinstance(instruction, Entrypoint) and not cmd_is_set:
        # The arguments of the entrypoint that was there are not those of this one.
        change["Cmd"] = None
    if not change:
        return config
    # Docker leaves out fields without content.
    empty = [name for name, value in change.items() if value in ("", {})]
    return {name: value for name, value in {**config, **change}.items() if name not in empty}


def _change(config: Config, instruction: Instruction) -> Config:
    """The fields that an instruction sets."""
    match instruction:
        case Cmd():
            return {"Cmd": _words(config, instruction.command) or None}
        case Entrypoint():
            return {"Entrypoint": _words(config, instruction.command) or None}
        case Shell():
            return {"Shell": list(instruction.words)}
        case Healthcheck():
            return {"Healthcheck": _healthcheck(instruction)}
        case Onbuild():
            return {"OnBuild": [*_list_of(config, "OnBuild"), instruction.expression]}
        case StopSignal():
            return {"StopSignal": _signal(instruction.signal)}
        case _:
            return _change_of_surroundings(config, instruction)


def _change_of_surroundings(config: Config, instruction: Instruction) -> Config:
    """The fields about variables, user, directories and ports."""
    match instruction:
        case Env():
            return {"Env": _env(config, instruction)}
        case Label():
            labels = {each.name: each.value for each in instruction.pairs}
            return {"Labels": {**_map_of(config, "Labels"), **labels}}
        case Expose():
            ports: Config = {
                port: {} for word in instruction.ports for port in exposed_ports(word).ports
            }
            return {"ExposedPorts": {**_map_of(config, "ExposedPorts"), **ports}}
        case User():
            return {"User": instruction.user}
        case Volume():
            if not all(instruction.paths):
                raise DockerfileError("VOLUME specified can not be an empty string")
            volumes: Config = {path: {} for path in instruction.paths}
            return {"Volumes": {**_map_of(config, "Volumes"), **volumes}}
        case Workdir():
            return {"WorkingDir": _directory(config, instruction.path)}
        case _:
            return {}


def variables_of(config: Config) -> dict[str, str]:
    """The variables of the config's Env."""
    return {
        name: value for each in _list_of(config, "Env") for name, _, value in [each.partition("=")]
    }


def shell_of(config: Config) -> tuple[str, ...]:
    """The words before the text of a command in the shell form."""
    return tuple(_list_of(config, "Shell")) or DEFAULT_SHELL


def _list_of(config: Config, name: str) -> list[str]:
    value = config.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []


def _map_of(config: Config, name: str) -> Config:
    value = config.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _words(config: Config, command: CommandLine) -> list[str]:
    if command.is_exec_form:
        return list(command.words)
    return [*shell_of(config), " ".join(command.words)]


def _env(config: Config, instruction: Env) -> list[str]:
    env = _list_of(config, "Env")
    places = {each.partition("=")[0]: place for place, each in enumerate(env)}
    for pair in instruction.pairs:
        place = places.setdefault(pair.name, len(env))
        env[place : place + 1] = [f"{pair.name}={pair.value}"]
    return env


def _healthcheck(instruction: Healthcheck) -> Config:
    fields: Config = {
        "Test": list(instruction.test),
        "Interval": instruction.interval,
        "Timeout": instruction.timeout,
        "StartPeriod": instruction.start_period,
        "StartInterval": instruction.start_interval,
        "Retries": instruction.retries,
    }
    return {name: value for name, value in fields.items() if value}


def _signal(text: str) -> str:
    if not _is_signal(text):
        raise DockerfileError(f"invalid signal: {text}")
    return text


def _directory(config: Config, path: str) -> str:
    current = config.get("WorkingDir")
    base = current if isinstance(current, str) and current else "/"
    return posixpath.normpath(posixpath.join("/", base, path))


def _is_signal(text: str) -> bool:
    """A number, or a name with or without SIG, as Docker reads it (moby/sys/signal)."""
    if text.isascii() and text.isdecimal():
        return text.strip("0") != ""
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+" if name.startswith("RTMIN") else "-")
    if sign and base in ("RTMIN", "RTMAX"):
        least, most = signal.Signals.SIGRTMIN, signal.Signals.SIGRTMAX
        digits = offset if offset.isascii() and offset.isdecimal() and len(offset) < 4 else ""
        return digits != "" and int(digits) <= most - least
    return f"SIG{name}" in signal.Signals.__members__
