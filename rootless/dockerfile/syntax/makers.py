"""One function per instruction: from the operands of a statement to the typed instruction. Pure.

The order of the checks and the words of the errors are BuildKit's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.instructions import (
    Add,
    Arg,
    ArgDefinition,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.syntax.flags import Flags
from rootless.dockerfile.syntax.json_form import json_words
from rootless.dockerfile.syntax.mounts import mount_flag
from rootless.dockerfile.syntax.operands import Operands, sources_and_destination, without_heredocs
from rootless.dockerfile.syntax.statements import (
    Statement,
    split_statement,
)
from rootless.dockerfile.syntax.words import split
from rootless.durations import parse_duration

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_NETWORKS = ("default", "none", "host")
_SECURITY_MODES = ("sandbox", "insecure")
_SHORTEST = 1_000_000
"""Nanoseconds: Docker's lower bound on the times of a health check."""
_MOST_RETRIES = 2**31


def _add(operands: Operands) -> Add:
    words = sources_and_destination(operands)
    flags = Flags(
        operands.statement.flags,
        texts=("chown", "chmod", "checksum"),
        switches=("link", "keep-git-dir", "unpack"),
        lists=("exclude",),
    )
    sources, heredocs, destination = without_heredocs(operands, words)
    return Add(
        operands.source,
        sources,
        destination,
        heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.switch("link")),
        exclude=flags.all("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
    )


def _copy(operands: Operands) -> Copy:
    words = sources_and_destination(operands)
    flags = Flags(
        operands.statement.flags,
        texts=("chown", "chmod", "from"),
        switches=("link", "parents"),
        lists=("exclude",),
    )
    sources, heredocs, destination = without_heredocs(operands, words)
    return Copy(
        operands.source,
        sources,
        destination,
        heredocs,
        from_stage=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.switch("link")),
        parents=bool(flags.switch("parents")),
        exclude=flags.all("exclude"),
    )


def _arg(operands: Operands) -> Arg:
    definitions = []
    for word in operands.some(tuple(split(operands.arguments, operands.escape))):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank", word=word)
        description = operands.source.description_of(name)
        definitions.append(ArgDefinition(name, value if equals else None, description))
    return Arg(operands.source, tuple(definitions))


def _from(operands: Operands) -> From:
    words = operands.statement.words()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise DockerfileError("FROM requires either one or three arguments")
    image, as_keyword, name = (*words, "", "")[:3]
    if name and _STAGE_NAME.fullmatch(name.lower()) is None:
        raise DockerfileError(
            f"invalid name for build stage: {quoted(name)}, name can't start with a number or "
            "contain symbols",
            word=name,
        )
    platform = Flags(operands.statement.flags, texts=("platform",)).text("platform")
    return From(operands.source, image, platform, name.lower(), name, as_keyword)


def _run(operands: Operands) -> Run:
    command = operands.command_line()
    flags = Flags(
        operands.statement.flags, texts=("network", "security"), lists=("mount", "device")
    )
    network = flags.text("network", "default")
    security = flags.text("security", "sandbox")
    mounts = tuple(mount_flag(each) for each in flags.all("mount"))
    if network not in _NETWORKS:
        raise DockerfileError(f"invalid network mode {quoted(network)}", word=network)
    if security not in _SECURITY_MODES:
        raise DockerfileError(f"security {quoted(security)} is not valid", word=security)
    return Run(operands.source, command, mounts, network, security, flags.all("device"))


def _cmd(operands: Operands) -> Cmd:
    command = operands.command_line()
    operands.no_flags()
    return Cmd(operands.source, command)


def _entrypoint(operands: Operands) -> Entrypoint:
    command = operands.command_line()
    operands.no_flags()
    return Entrypoint(operands.source, command)


def _env(operands: Operands) -> Env:
    return Env(operands.source, operands.pairs())


def _label(operands: Operands) -> Label:
    return Label(operands.source, operands.pairs())


def _expose(operands: Operands) -> Expose:
    ports = operands.some(operands.statement.words())
    operands.no_flags()
    return Expose(operands.source, tuple(sorted(ports)))


def _volume(operands: Operands) -> Volume:
    paths = tuple(each.strip(SPACE) for each in operands.some(operands.list()))
    operands.no_flags()
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return Volume(operands.source, paths)


def _workdir(operands: Operands) -> Workdir:
    path = operands.text()
    operands.no_flags()
    return Workdir(operands.source, path)


def _user(operands: Operands) -> User:
    user = operands.text()
    operands.no_flags()
    return User(operands.source, user)


def _maintainer(operands: Operands) -> Maintainer:
    name = operands.text()
    operands.no_flags()
    return Maintainer(operands.source, name)


def _stop_signal(operands: Operands) -> StopSignal:
    return StopSignal(operands.source, operands.text())


def _shell(operands: Operands) -> Shell:
    words = json_words(operands.arguments)
    operands.no_flags()
    operands.some(words if words is not None else operands.statement.words())
    if words is None:
        raise DockerfileError("SHELL requires the arguments to be in JSON form")
    return Shell(operands.source, words)


def _healthcheck(operands: Operands) -> Healthcheck:
    kind, command = _first_word(operands)
    if kind == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(operands.source, ("NONE",))
    words = json_words(command)
    flags = Flags(
        operands.statement.flags,
        texts=("interval", "timeout", "start-period", "start-interval", "retries"),
    )
    if kind != "CMD":
        raise DockerfileError(f"Unknown type {quoted(kind)} in HEALTHCHECK (try CMD)")
    if not command or words == ():
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    return Healthcheck(
        operands.source,
        ("CMD-SHELL", command) if words is None else ("CMD", *words),
        _time(flags, "interval"),
        _time(flags, "timeout"),
        _time(flags, "start-period"),
        _time(flags, "start-interval"),
        _retries(flags.text("retries")),
    )


def _first_word(operands: Operands) -> tuple[str, str]:
    """The first of the arguments, in upper case, and the rest."""
    operands.some((operands.arguments,) if operands.arguments else ())
    rest = operands.arguments.lstrip("".join(set(operands.arguments) - set(SPACE)))
    word = operands.arguments[: len(operands.arguments) - len(rest)]
    return word.upper(), rest.strip(SPACE)


def _time(flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    try:
        found = parse_duration(text)
    except ValueError:
        raise DockerfileError(f"time: invalid duration {quoted(text)}", word=text) from None
    if found != 0 and found < _SHORTEST:
        raise DockerfileError(f"Interval {quoted(name)} cannot be less than 1ms", word=text)
    return found


def _retries(text: str) -> int:
    if not text:
        return 0
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise DockerfileError(
            f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax", word=text
        )
    if len(digits) > 10 or int(digits) >= _MOST_RETRIES:
        raise DockerfileError(
            f"strconv.ParseInt: parsing {quoted(text)}: value out of range", word=text
        )
    if text.startswith("-") and int(digits):
        raise DockerfileError(f"--retries cannot be negative ({text})", word=text)
    return int(digits)


def _onbuild(operands: Operands) -> Onbuild:
    operands.some((operands.arguments,) if operands.arguments else ())
    inner = split_statement(operands.arguments, operands.escape)
    operands.no_flags()
    trigger = inner.keyword.upper()
    if trigger == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise DockerfileError(f"{trigger} isn't allowed as an ONBUILD trigger")
    _split_trigger(inner, operands.escape)
    expression = operands.statement.text.lstrip(SPACE)[len("ONBUILD") :].lstrip(SPACE)
    for heredoc in operands.statement.heredocs:
        expression += f"\n{heredoc.content}{heredoc.name}"
    return Onbuild(operands.source, expression, trigger)


def _split_trigger(statement: Statement, escape: str) -> None:
    """Refuse a trigger that cannot be split into its parts. The rest shows in the build that runs it."""
    make = MAKERS.get(statement.keyword.upper())
    if make is None:
        return
    try:
        make(Operands(statement, escape))
    except DockerfileError as error:
        if error.is_lexical:
            raise


MAKERS: dict[str, Callable[[Operands], From | Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
