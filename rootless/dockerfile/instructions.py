"""The instructions of a Dockerfile as values, with their positions. Pure.

`parser.parse` makes them. Their texts are as the Dockerfile has them: variables are not replaced yet, and
quotes and escapes are still there where the instruction allows variables; `expansion.expand_instruction` gives
the same instruction with both done. Docker's Dockerfile reference describes what each instruction means.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple


class Source(NamedTuple):
    """Where an instruction stands in its Dockerfile and how it is written there."""

    first_line: int
    """Number of the first line of the instruction, from 1."""
    last_line: int
    """Number of the last line, that which ends its last here-document included."""
    keyword: str
    """The name of the instruction, in the case of the Dockerfile."""
    text: str
    """The instruction as one line: continuation lines joined, comments between them left out."""
    comments: tuple[str, ...] = ()
    """The comment lines above the instruction, without `#`."""

    def description_of(self, name: str) -> str:
        """The description in the comment line `# NAME DESCRIPTION` above the instruction; empty without one."""
        found = (each for each in self.comments if name and each.startswith(f"{name} "))
        return next(found, "").partition(" ")[2]


class Heredoc(NamedTuple):
    """A here-document: `<<NAME`, and the lines up to one that is NAME."""

    name: str
    content: str
    """The lines as they are, with the end of each line. Empty, or ends with a line feed."""
    expands: bool
    """Whether variables in it are replaced: no part of NAME is quoted."""
    strips_tabs: bool
    """Whether it is written `<<-NAME`."""
    descriptor: int = 0
    """The number before `<<`."""

    @property
    def text(self) -> str:
        """The content, without the tabs that begin each line if `<<-` asks for that."""
        if not self.strips_tabs:
            return self.content
        return "\n".join(line.lstrip("\t") for line in self.content.split("\n"))


class CommandLine(NamedTuple):
    """The arguments of RUN, CMD or ENTRYPOINT."""

    words: tuple[str, ...]
    """The program and its arguments in the exec form; at most one text for the shell in the shell form."""
    is_exec_form: bool
    heredocs: tuple[Heredoc, ...] = ()
    is_one_heredoc: bool = False
    """Whether the text is `<<NAME` alone: the content is a script, run by the shell, or by the interpreter
    that its first line names (`#!`)."""

    @property
    def shell_text(self) -> str:
        """The text of the shell's command line: the text with the here-documents that it names. A text that is
        nothing but one here-document is replaced by that document's content.
        """
        text = " ".join(self.words)
        if not self.heredocs:
            return text
        if self.is_one_heredoc:
            return self.heredocs[0].text
        return text + "".join(f"\n{each.content}{each.name}" for each in self.heredocs)


class From(NamedTuple):
    source: Source
    image: str
    platform: str = ""
    name: str = ""
    """The name of the stage in lower case; empty for a stage without one."""
    name_as_written: str = ""
    as_keyword: str = ""
    """`AS` in the case of the Dockerfile."""


class MountFlag(NamedTuple):
    """One `--mount` of RUN. Its values may hold variables, so `mounts.parse_mount` reads it at the instruction's
    turn; `from` cannot."""

    text: str
    from_stage: str = ""
    target: str = ""
    """As written, for messages."""


class Run(NamedTuple):
    source: Source
    command: CommandLine
    mounts: tuple[MountFlag, ...] = ()
    network: str = "default"
    """default, none or host."""
    security: str = "sandbox"
    """sandbox or insecure."""
    devices: tuple[str, ...] = ()


class Copy(NamedTuple):
    source: Source
    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    """Files whose content stands in the Dockerfile. The name of each is that of its here-document."""
    from_stage: str = ""
    """The stage, image or named context that the sources are in; empty for the build context."""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(NamedTuple):
    source: Source
    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    """None: the flag is absent."""
    unpack: bool | None = None
    """None: the flag is absent. Local archives are unpacked, remote ones are not."""


class Pair(NamedTuple):
    """One variable of ENV or one label."""

    name: str
    value: str
    is_legacy: bool = False
    """Whether it is written `NAME VALUE`, without `=`."""


class Env(NamedTuple):
    source: Source
    pairs: tuple[Pair, ...]


class Label(NamedTuple):
    source: Source
    pairs: tuple[Pair, ...]


class ArgDefinition(NamedTuple):
    name: str
    default: str | None = None
    description: str = ""
    """The comment `# NAME description` above the instruction."""


class Arg(NamedTuple):
    source: Source
    definitions: tuple[ArgDefinition, ...]


class Workdir(NamedTuple):
    source: Source
    path: str


class User(NamedTuple):
    source: Source
    user: str


class Volume(NamedTuple):
    source: Source
    paths: tuple[str, ...]


class Expose(NamedTuple):
    source: Source
    ports: tuple[str, ...]
    """In the order of their texts, as BuildKit sorts them."""


class Cmd(NamedTuple):
    source: Source
    command: CommandLine


class Entrypoint(NamedTuple):
    source: Source
    command: CommandLine


class Shell(NamedTuple):
    source: Source
    words: tuple[str, ...]


class Healthcheck(NamedTuple):
    source: Source
    test: tuple[str, ...]
    """As in the image's config: NONE, or CMD and words, or CMD-SHELL and a text."""
    interval: int = 0
    """Nanoseconds, as all times here; 0: Docker's default."""
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class StopSignal(NamedTuple):
    source: Source
    signal: str


class Onbuild(NamedTuple):
    source: Source
    expression: str
    """The instruction to run in a build from this image, with its here-documents."""
    trigger: str
    """The name of that instruction, in upper case."""


class Maintainer(NamedTuple):
    source: Source
    name: str


Instruction = (
    Run
    | Copy
    | Add
    | Env
    | Label
    | Arg
    | Workdir
    | User
    | Volume
    | Expose
    | Cmd
    | Entrypoint
    | Shell
    | Healthcheck
    | StopSignal
    | Onbuild
    | Maintainer
)
"""Every instruction that stands in a stage."""


class Stage(NamedTuple):
    """FROM and the instructions up to the next one."""

    number: int
    """Its place among the stages, from 0."""
    origin: From
    instructions: tuple[Instruction, ...]


class Directive(NamedTuple):
    """A parser directive: `# name=value` at the top of the file."""

    name: str
    """syntax, escape or check."""
    value: str
    line: int


class EmptyContinuation(NamedTuple):
    """Lines without text between the lines of one instruction."""

    text: str
    line: int
    """Number of the last line of that instruction, from 1."""


class Dockerfile(NamedTuple):
    text: str
    directives: tuple[Directive, ...]
    escape: str
    """The escape character: a backslash or a backtick."""
    args: tuple[Arg, ...]
    """The ARG instructions before the first FROM."""
    stages: tuple[Stage, ...]
    """At least one."""
    empty_continuations: tuple[EmptyContinuation, ...] = ()
