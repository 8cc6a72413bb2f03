"""What Dockerfile instructions do to an image's config. Pure.

These are the instructions that need no build: those that `docker import --change` and `docker commit
--change` take. Variables are those of the config's Env before the instruction, as in a Dockerfile.
CMD, ENTRYPOINT, HEALTHCHECK and ONBUILD are taken literally: their shell replaces variables later.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable, Sequence

from rootless.dockerfile.parser import Instruction, json_words, parse
from rootless.dockerfile.words import expand, expand_words, split
from rootless.durations import parse_duration
from rootless.errors import UsageError

Config = dict[str, object]
"""An image's `config`: Cmd, Env, ... as the OCI image specification (config.md) and Docker have them."""

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE | re.ASCII)
_DEFAULT_SHELL = ["/bin/sh", "-c"]
_SHORTEST = 1_000_000
"""Nanoseconds: Docker's lower bound on the times of a health check."""


def apply_changes(config: Config, changes: Sequence[str]) -> Config:
    """The config after the instructions in `changes`, each of which sees those before it. Raises
    UsageError for an instruction that does not exist, is malformed, or needs a build."""
    if not changes:
        return config
    cmd_set = False
    for instruction in parse("\n".join(changes)):
        apply = _INSTRUCTIONS.get(instruction.name)
        if apply is None:
            raise UsageError(
                f"{instruction.name[:40]!r} is not a valid change command",
                hint="one of " + ", ".join(_INSTRUCTIONS),
            )
        if not instruction.arguments:
            raise UsageError(f"{instruction.name} requires at least one argument")
        if instruction.flags and instruction.name != "HEALTHCHECK":
            instruction.flag_values()
        change = apply(config, instruction)
        if instruction.name == "ENTRYPOINT" and not cmd_set:
            # The arguments of the entrypoint that was there are not those of this one.
            change["Cmd"] = None
        cmd_set = cmd_set or (instruction.name == "CMD" and bool(change["Cmd"]))
        config = {**config, **change}
    return config


def _variables(config: Config) -> dict[str, str]:
    return {
        name: value for each in _list_of(config, "Env") for name, _, value in [each.partition("=")]
    }


def _list_of(config: Config, name: str) -> list[str]:
    value = config.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []


def _map_of(config: Config, name: str) -> Config:
    value = config.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _command(config: Config, text: str) -> list[str]:
    words = json_words(text)
    return [*(_list_of(config, "Shell") or _DEFAULT_SHELL), text] if words is None else words


def _pairs(config: Config, instruction: Instruction) -> list[tuple[str, str]]:
    """`a=b c=d`, or the old form `a b c`, whose value is the rest of the line."""
    variables = _variables(config)
    words = split(instruction.arguments)
    if not words or "=" not in words[0]:
        name, *rest = instruction.arguments.split(None, 1)
        if not rest:
            raise UsageError(f"{instruction.name} must have two arguments")
        return [(expand(name, variables), expand(rest[0].rstrip(), variables))]
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(
                f"syntax error in {instruction.name}: can't find = in {word!r}: must be of the form "
                "name=value"
            )
        if not name:
            raise UsageError(f"{instruction.name} names can not be blank")
        pairs.append((expand(name, variables), expand(value, variables)))
    return pairs


def _cmd(config: Config, instruction: Instruction) -> Config:
    return {"Cmd": _command(config, instruction.arguments) or None}


def _entrypoint(config: Config, instruction: Instruction) -> Config:
    return {"Entrypoint": _command(config, instruction.arguments) or None}


def _env(config: Config, instruction: Instruction) -> Config:
    env = _list_of(config, "Env")
    for name, value in _pairs(config, instruction):
        position = next(
            (i for i, each in enumerate(env) if each.partition("=")[0] == name), len(env)
        )
        env[position : position + 1] = [f"{name}={value}"]
    return {"Env": env}


def _expose(config: Config, instruction: Instruction) -> Config:
    ports = _map_of(config, "ExposedPorts")
    for word in expand_words(instruction.arguments, _variables(config)):
        # As with -p: what stands before the last colon is of the host, and not kept.
        match = _PORT.fullmatch(word.rpartition(":")[2])
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 1 <= first <= last <= 65535:
            raise UsageError(f"EXPOSE: invalid port {word!r}")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    return {"ExposedPorts": ports}


def _healthcheck(_: Config, instruction: Instruction) -> Config:
    flags = instruction.flag_values(
        "interval", "timeout", "start-period", "start-interval", "retries"
    )
    kind, *rest = instruction.arguments.split(None, 1)
    command = rest[0].strip() if rest else ""
    if kind.upper() == "NONE":
        if command:
            raise UsageError("HEALTHCHECK NONE takes no arguments")
        return {"Healthcheck": {"Test": ["NONE"]}}
    if kind.upper() != "CMD":
        raise UsageError(f"unknown type {kind!r} in HEALTHCHECK (try CMD)")
    words = json_words(command)
    if not command or words == []:
        raise UsageError("missing command after HEALTHCHECK CMD")
    test = ["CMD-SHELL", command] if words is None else ["CMD", *words]
    fields: Config = {
        "Test": test,
        "Interval": _time(flags, "interval"),
        "Timeout": _time(flags, "timeout"),
        "StartPeriod": _time(flags, "start-period"),
        "StartInterval": _time(flags, "start-interval"),
        "Retries": _retries(flags.get("retries", "")),
    }
    return {"Healthcheck": {name: value for name, value in fields.items() if value}}


def _time(flags: dict[str, str], name: str) -> int:
    """Nanoseconds; 0 where the flag is absent, which means inherited."""
    text = flags.get(name, "")
    if not text:
        return 0
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"HEALTHCHECK --{name}: {error}") from None
    if found != 0 and found < _SHORTEST:
        raise UsageError(f"HEALTHCHECK --{name}: cannot be less than 1ms")
    return found


def _retries(text: str) -> int:
    if not text:
        return 0
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise UsageError(f"HEALTHCHECK --retries: invalid number {text!r}")
    if text.startswith("-"):
        raise UsageError(f"HEALTHCHECK --retries cannot be negative ({text})")
    return int(text)


def _label(config: Config, instruction: Instruction) -> Config:
    return {"Labels": {**_map_of(config, "Labels"), **dict(_pairs(config, instruction))}}


def _onbuild(config: Config, instruction: Instruction) -> Config:
    trigger = instruction.arguments.split(None, 1)[0].upper()
    if trigger == "ONBUILD":
        raise UsageError("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise UsageError(f"{trigger} isn't allowed as an ONBUILD trigger")
    return {"OnBuild": [*_list_of(config, "OnBuild"), instruction.arguments]}


def _stopsignal(config: Config, instruction: Instruction) -> Config:
    text = expand(instruction.arguments, _variables(config))
    if not _is_signal(text):
        raise UsageError(f"invalid signal: {text}")
    return {"StopSignal": text}


def _is_signal(text: str) -> bool:
    """A number, or a name with or without SIG, as Docker reads it (moby/sys/signal)."""
    if text.isascii() and text.isdecimal():
        return int(text) != 0
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+" if name.startswith("RTMIN") else "-")
    if sign and base in ("RTMIN", "RTMAX"):
        least, most = signal.Signals.SIGRTMIN, signal.Signals.SIGRTMAX
        return offset.isascii() and offset.isdecimal() and int(offset) <= most - least
    return f"SIG{name}" in signal.Signals.__members__


def _user(config: Config, instruction: Instruction) -> Config:
    return {"User": expand(instruction.arguments, _variables(config))}


def _volume(config: Config, instruction: Instruction) -> Config:
    words = json_words(instruction.arguments)
    volumes = _map_of(config, "Volumes")
    variables = _variables(config)
    for word in instruction.arguments.split() if words is None else words:
        path = expand(word, variables).strip()
        if not path:
            raise UsageError("VOLUME specified can not be an empty string")
        volumes[path] = {}
    return {"Volumes": volumes}


def _workdir(config: Config, instruction: Instruction) -> Config:
    current = config.get("WorkingDir")
    base = current if isinstance(current, str) and current else "/"
    path = expand(instruction.arguments, _variables(config))
    return {"WorkingDir": posixpath.normpath(posixpath.join("/", base, path))}


_INSTRUCTIONS: dict[str, Callable[[Config, Instruction], Config]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
