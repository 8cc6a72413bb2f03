"""From the text of a Dockerfile to its stages and instructions. Pure.

A statement of the lexer becomes a typed instruction by the function of its name. The order of the checks and the
words of the errors are BuildKit's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.flags import Flags
from rootless.dockerfile.instructions import (
    Add,
    Arg,
    ArgDefinition,
    Cmd,
    CommandLine,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Source,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.json_form import json_words
from rootless.dockerfile.mounts import mount_flag
from rootless.dockerfile.statements import (
    Statement,
    Statements,
    parse_heredoc,
    split_statement,
    split_statements,
)
from rootless.dockerfile.suggestions import did_you_mean
from rootless.dockerfile.words import split
from rootless.durations import parse_duration

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_NETWORKS = ("default", "none", "host")
_SECURITY_MODES = ("sandbox", "insecure")
_SHORTEST = 1_000_000
"""Nanoseconds: Docker's lower bound on the times of a health check."""
_MOST_RETRIES = 2**31
CHANGES = (
    *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL"),
    *("USER", "VOLUME", "WORKDIR"),
)
"""The instructions that need no build: `docker import --change` and `docker commit --change` take them."""


def parse(text: str) -> Dockerfile:
    """The stages of a Dockerfile. Raises DockerfileError."""
    found = read_statements(text)
    instructions, error = make_instructions(found, text)
    if error is not None:
        raise error
    return assemble(text, found, instructions)


def read_statements(text: str) -> Statements:
    """The first part of `parse`. Raises DockerfileError."""
    if not text:
        raise DockerfileError("the Dockerfile cannot be empty")
    return split_statements(text)


def make_instructions(
    found: Statements, text: str
) -> tuple[tuple[From | Instruction, ...], DockerfileError | None]:
    """The second part of `parse`: the instructions up to the first that makes no sense, and its error. As in
    BuildKit the error of a statement that cannot be split into its parts comes before all others."""
    instructions: list[From | Instruction] = []
    first_error = None
    for statement in found.statements:
        try:
            instruction = _located(statement, found.escape, text)
        except DockerfileError as error:
            if error.is_lexical:
                return (), error
            first_error = first_error or error
        else:
            if first_error is None:
                instructions.append(instruction)
    return tuple(instructions), first_error


def assemble(
    text: str, found: Statements, instructions: Sequence[From | Instruction]
) -> Dockerfile:
    """The third part of `parse`: instructions as stages. Raises DockerfileError."""
    args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            args.append(instruction)
        else:
            raise DockerfileError(
                "no build stage in current context",
                line=instruction.source.first_line,
                last_line=instruction.source.last_line,
            )
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build")
    return Dockerfile(
        text,
        found.directives,
        found.escape,
        tuple(args),
        tuple(
            Stage(number, origin, tuple(commands))
            for number, (origin, commands) in enumerate(stages)
        ),
        found.empty_continuations,
    )


def parse_instructions(text: str) -> tuple[Instruction, ...]:
    """Instructions without a stage, such as those of `docker commit --change`. Raises DockerfileError."""
    found = split_statements(text)
    instructions = []
    for statement in found.statements:
        name = statement.keyword.upper()
        make = _MAKERS.get(name)
        if make is None or name not in CHANGES:
            hint = "one of " + ", ".join(CHANGES)
            raise DockerfileError(f"{name} is not a valid change command", hint=hint)
        instruction = make(_Request(statement, found.escape))
        assert not isinstance(instruction, From)  # FROM is no change command
        instructions.append(instruction)
    return tuple(instructions)


def parse_trigger(expression: str, source: Source) -> Instruction:
    """The instruction of an ONBUILD trigger of a base image, placed at the FROM that names the image. Raises
    DockerfileError."""
    found = split_statements(expression)
    if len(found.statements) != 1:
        raise DockerfileError(
            "onbuild trigger should be a single expression",
            line=source.first_line,
            last_line=source.last_line,
        )
    statement = found.statements[0]._replace(
        first_line=source.first_line, last_line=source.last_line
    )
    instruction = _located(statement, found.escape, "")
    if isinstance(instruction, From):
        raise DockerfileError(
            "FROM isn't allowed as an ONBUILD trigger",
            line=source.first_line,
            last_line=source.last_line,
        )
    return instruction


def _located(statement: Statement, escape: str, text: str) -> From | Instruction:
    """The instruction of a statement; an error says where the statement stands."""
    make = _MAKERS.get(statement.keyword.upper())
    try:
        if make is None:
            word = statement.keyword
            near = did_you_mean(word, _MAKERS, case_matters=False)
            raise DockerfileError(f"unknown instruction: {word}{near}", word=word)
        return make(_Request(statement, escape))
    except DockerfileError as error:
        line = statement.first_line
        where = "" if error.is_lexical else f"dockerfile parse error on line {line}: "
        raise DockerfileError(
            f"{where}{error.message}",
            line=line,
            last_line=statement.last_line,
            column=_column(text, line, error.word),
            is_lexical=error.is_lexical,
        ) from None


def _column(text: str, line: int, word: str) -> int:
    lines = text.split("\n", line)
    if not word or line > len(lines):
        return 0
    return lines[line - 1].find(word) + 1


class _Request:
    """One statement while its instruction is made of it."""

    def __init__(self, statement: Statement, escape: str) -> None:
        self.statement = statement
        self.name = statement.keyword.upper()
        self.arguments = statement.arguments
        self.escape = escape
        self.source = Source(
            statement.first_line,
            statement.last_line,
            statement.keyword,
            statement.text.strip(SPACE),
            statement.comments,
        )

    def list(self) -> tuple[str, ...]:
        """The arguments as a JSON array or at white space."""
        found = json_words(self.arguments)
        return self.statement.words() if found is None else found

    def text(self) -> str:
        """The arguments as one."""
        if not self.arguments:
            raise DockerfileError(f"{self.name} requires exactly one argument")
        return self.arguments

    def some(self, words: tuple[str, ...]) -> tuple[str, ...]:
        if not words:
            raise DockerfileError(f"{self.name} requires at least one argument")
        return words

    def command_line(self) -> CommandLine:
        """The exec or the shell form."""
        found = json_words(self.arguments)
        if found is not None:
            return CommandLine(found, is_exec_form=True)
        words = (self.arguments,) if self.arguments else ()
        heredocs = self.statement.heredocs
        is_one = bool(heredocs) and parse_heredoc(self.arguments) is not None
        return CommandLine(words, is_exec_form=False, heredocs=heredocs, is_one_heredoc=is_one)

    def no_flags(self) -> None:
        Flags(self.statement.flags)

    def pairs(self) -> tuple[Pair, ...]:
        """`a=b c=d`, or the old form `a b c`, whose value is the rest of the line."""
        words = split(self.arguments, self.escape)
        if words and "=" not in words[0]:
            name, *rest = _BLANKS.split(self.arguments, maxsplit=1)
            if not rest:
                raise DockerfileError(f"{self.name} must have two arguments", is_lexical=True)
            self.no_flags()
            return (Pair(name, rest[0], is_legacy=True),)
        pairs = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise DockerfileError(
                    f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value",
                    word=word,
                    is_lexical=True,
                )
            pairs.append(Pair(name, value))
        self.no_flags()
        self.some(tuple(words))
        if not all(each.name for each in pairs):
            raise DockerfileError(f"{self.name} names can not be blank")
        return tuple(pairs)


def _add(request: _Request) -> Add:
    words = _sources_and_destination(request)
    flags = Flags(
        request.statement.flags,
        texts=("chown", "chmod", "checksum"),
        switches=("link", "keep-git-dir", "unpack"),
        lists=("exclude",),
    )
    sources, heredocs, destination = _without_heredocs(request, words)
    return Add(
        request.source,
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


def _copy(request: _Request) -> Copy:
    words = _sources_and_destination(request)
    flags = Flags(
        request.statement.flags,
        texts=("chown", "chmod", "from"),
        switches=("link", "parents"),
        lists=("exclude",),
    )
    sources, heredocs, destination = _without_heredocs(request, words)
    return Copy(
        request.source,
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


def _sources_and_destination(request: _Request) -> tuple[str, ...]:
    words = request.list()
    if len(words) < 2:
        raise DockerfileError(
            f"{request.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    return words


def _without_heredocs(
    request: _Request, words: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Heredoc, ...], str]:
    """The sources that are paths, those that are here-documents, and the destination."""
    *sources, destination = words
    if _heredoc_of(destination) is not None:
        raise DockerfileError(
            f"{request.name} cannot accept a heredoc as a destination", word=destination
        )
    contents = {each.name: each for each in request.statement.heredocs}
    paths, heredocs = [], []
    for source in sources:
        heredoc = _heredoc_of(source)
        if heredoc is None:
            paths.append(source)
        else:
            found = contents.get(heredoc.name, heredoc)
            heredocs.append(heredoc._replace(content=found.content))
    return tuple(paths), tuple(heredocs), destination


def _heredoc_of(word: str) -> Heredoc | None:
    try:
        return parse_heredoc(word)
    except DockerfileError:
        return None


def _arg(request: _Request) -> Arg:
    definitions = []
    for word in request.some(tuple(split(request.arguments, request.escape))):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank", word=word)
        description = request.source.description_of(name)
        definitions.append(ArgDefinition(name, value if equals else None, description))
    return Arg(request.source, tuple(definitions))


def _from(request: _Request) -> From:
    words = request.statement.words()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise DockerfileError("FROM requires either one or three arguments")
    image, as_keyword, name = (*words, "", "")[:3]
    if name and _STAGE_NAME.fullmatch(name.lower()) is None:
        raise DockerfileError(
            f"invalid name for build stage: {quoted(name)}, name can't start with a number or "
            "contain symbols",
            word=name,
        )
    platform = Flags(request.statement.flags, texts=("platform",)).text("platform")
    return From(request.source, image, platform, name.lower(), name, as_keyword)


def _run(request: _Request) -> Run:
    command = request.command_line()
    flags = Flags(request.statement.flags, texts=("network", "security"), lists=("mount", "device"))
    network = flags.text("network", "default")
    security = flags.text("security", "sandbox")
    mounts = tuple(mount_flag(each) for each in flags.all("mount"))
    if network not in _NETWORKS:
        raise DockerfileError(f"invalid network mode {quoted(network)}", word=network)
    if security not in _SECURITY_MODES:
        raise DockerfileError(f"security {quoted(security)} is not valid", word=security)
    return Run(request.source, command, mounts, network, security, flags.all("device"))


def _cmd(request: _Request) -> Cmd:
    command = request.command_line()
    request.no_flags()
    return Cmd(request.source, command)


def _entrypoint(request: _Request) -> Entrypoint:
    command = request.command_line()
    request.no_flags()
    return Entrypoint(request.source, command)


def _env(request: _Request) -> Env:
    return Env(request.source, request.pairs())


def _label(request: _Request) -> Label:
    return Label(request.source, request.pairs())


def _expose(request: _Request) -> Expose:
    ports = request.some(request.statement.words())
    request.no_flags()
    return Expose(request.source, tuple(sorted(ports)))


def _volume(request: _Request) -> Volume:
    paths = tuple(each.strip(SPACE) for each in request.some(request.list()))
    request.no_flags()
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return Volume(request.source, paths)


def _workdir(request: _Request) -> Workdir:
    path = request.text()
    request.no_flags()
    return Workdir(request.source, path)


def _user(request: _Request) -> User:
    user = request.text()
    request.no_flags()
    return User(request.source, user)


def _maintainer(request: _Request) -> Maintainer:
    name = request.text()
    request.no_flags()
    return Maintainer(request.source, name)


def _stop_signal(request: _Request) -> StopSignal:
    return StopSignal(request.source, request.text())


def _shell(request: _Request) -> Shell:
    words = json_words(request.arguments)
    request.no_flags()
    request.some(words if words is not None else request.statement.words())
    if words is None:
        raise DockerfileError("SHELL requires the arguments to be in JSON form")
    return Shell(request.source, words)


def _healthcheck(request: _Request) -> Healthcheck:
    kind, command = _first_word(request)
    if kind == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(request.source, ("NONE",))
    words = json_words(command)
    flags = Flags(
        request.statement.flags,
        texts=("interval", "timeout", "start-period", "start-interval", "retries"),
    )
    if kind != "CMD":
        raise DockerfileError(f"Unknown type {quoted(kind)} in HEALTHCHECK (try CMD)")
    if not command or words == ():
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    return Healthcheck(
        request.source,
        ("CMD-SHELL", command) if words is None else ("CMD", *words),
        _time(flags, "interval"),
        _time(flags, "timeout"),
        _time(flags, "start-period"),
        _time(flags, "start-interval"),
        _retries(flags.text("retries")),
    )


def _first_word(request: _Request) -> tuple[str, str]:
    """The first of the arguments, in upper case, and the rest."""
    request.some((request.arguments,) if request.arguments else ())
    rest = request.arguments.lstrip("".join(set(request.arguments) - set(SPACE)))
    word = request.arguments[: len(request.arguments) - len(rest)]
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


def _onbuild(request: _Request) -> Onbuild:
    request.some((request.arguments,) if request.arguments else ())
    inner = split_statement(request.arguments, request.escape)
    request.no_flags()
    trigger = inner.keyword.upper()
    if trigger == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise DockerfileError(f"{trigger} isn't allowed as an ONBUILD trigger")
    _split_trigger(inner, request.escape)
    expression = request.statement.text.lstrip(SPACE)[len("ONBUILD") :].lstrip(SPACE)
    for heredoc in request.statement.heredocs:
        expression += f"\n{heredoc.content}{heredoc.name}"
    return Onbuild(request.source, expression, trigger)


def _split_trigger(statement: Statement, escape: str) -> None:
    """Refuse a trigger that cannot be split into its parts. The rest shows in the build that runs it."""
    make = _MAKERS.get(statement.keyword.upper())
    if make is None:
        return
    try:
        make(_Request(statement, escape))
    except DockerfileError as error:
        if error.is_lexical:
            raise


_MAKERS: dict[str, Callable[[_Request], From | Instruction]] = {
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
