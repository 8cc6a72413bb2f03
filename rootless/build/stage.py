"""Builds one stage: executes its instructions one after the other, or finds what they made before."""

from __future__ import annotations

import itertools
import os
import posixpath
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from rootless.build.archives import fetch, unpacked
from rootless.build.copying import CopyItem, CopyPlan, copy_members, directory_attributes
from rootless.build.digests import digest_of_items
from rootless.build.errors import BuildError
from rootless.build.git import GitSource, clone, git_source
from rootless.build.keys import step_key
from rootless.build.modes import ModeChange
from rootless.build.mounts import (
    NO_MOUNT_SOURCES,
    MountPreparer,
    MountSources,
    cache_namespace,
    mount_inputs,
)
from rootless.build.progress import Progress, StepProgress
from rootless.build.selection import select
from rootless.build.sources import HostSource, MemorySource, Source
from rootless.build.state import BUILT, StageState
from rootless.build.workspace import Workspace
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.ignore import IgnorePatterns
from rootless.dockerfile.instructions import Add, Arg, Copy, Instruction, Run, Workdir
from rootless.dockerfile.scopes import mounts_of, proxy_variables
from rootless.errors import (
    CommandNotExecutableError,
    CommandNotFoundError,
    LaunchError,
    RootlessError,
)
from rootless.images.formats.url import is_url
from rootless.runtime.userdb import UnknownUserError, find_group, find_identity
from rootless.spec.options import DEFAULT_SHM_SIZE, HostEntry, Ulimit
from rootless.store.build_cache import BuiltLayer, CachedStep
from unionfs.nodes import Directory
from unionfs.tar.writer import TarEntry, archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.build.run_step import Output, RunOptions, StepRunner
    from rootless.dockerfile.instructions import Stage
    from rootless.dockerfile.mounts import Mount
    from unionfs.changes import Change, Snapshot

_LOG_LINES = 20


class Trees(NamedTuple):
    """Where a stage finds files that are not its own: by the name in --from, or of the context for an
    empty one."""

    source: Callable[[str], Source]


class StageOptions(NamedTuple):
    """What of a build bears on the steps of a stage."""

    build_arguments: Mapping[str, str]
    global_variables: Mapping[str, str]
    """Values of ARG before the first FROM, and of the arguments that tell the platform."""
    escape: str = "\\"
    no_cache: bool = False
    network: str = "default"
    hosts: tuple[HostEntry, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = DEFAULT_SHM_SIZE
    """Bytes."""
    allows_insecure: bool = False
    mounts: MountSources = NO_MOUNT_SOURCES


class StageBuilder:
    """Executes instructions on a state."""

    def __init__(
        self,
        workspace: Workspace,
        trees: Trees,
        options: StageOptions,
        progress: Progress,
        name_of_step: Callable[[str], str],
    ) -> None:
        self._workspace = workspace
        self._trees = trees
        self._options = options
        self._progress = progress
        self._name_of_step = name_of_step
        self._runner: StepRunner | None = None
        self._count = itertools.count(1)
        self._fetched_sources: list[Source] = []

    def build(self, stage: Stage, state: StageState) -> None:
        """Execute all instructions of a stage. Raises BuildError with the line of the one that failed."""
        for instruction in stage.instructions:
            self.execute(instruction, state)

    def execute(self, instruction: Instruction, state: StageState) -> None:
        """Execute one instruction. Raises BuildError with its line."""
        try:
            self._execute(instruction, state)
        except DockerfileError as error:
            failure = BuildError(error.message, hint=error.hint)
            raise located(failure, instruction) from error
        except BuildError as error:
            raise located(error, instruction) from None
        except RootlessError as error:
            raise located(BuildError(error.message, hint=error.hint), instruction) from error
        except OSError as error:
            name = f" ({os.fsdecode(error.filename)})" if error.filename else ""
            text = f"{(error.strerror or str(error)).lower()}{name}"
            raise located(BuildError(text), instruction) from error

    def _execute(self, instruction: Instruction, state: StageState) -> None:
        expander = state.scope.expander(self._options.escape)
        expanded = expand_instruction(instruction, expander)
        match expanded:
            case Arg():
                self._define(expanded, state)
            case Run():
                self._run(expanded, state)
            case Copy() | Add():
                self._copy(expanded, state)
            case Workdir():
                self._workdir(expanded, state)
            case _:
                state.apply(expanded, "")

    # ARG

    def _define(self, instruction: Arg, state: StageState) -> None:
        options = self._options
        expander = state.scope.expander(options.escape)
        scope = state.scope.with_arg(
            instruction, options.global_variables, options.build_arguments, options.escape
        )
        definitions = tuple(
            each._replace(default=None if each.default is None else expander.word(each.default))
            for each in instruction.definitions
        )
        state.define(instruction._replace(definitions=definitions), scope, "")

    # Steps that make layers

    def _step(
        self,
        state: StageState,
        name: str,
        text: str,
        key: str,
        make: Callable[[StepProgress], BuiltLayer],
    ) -> None:
        """The layer of a step: found, or made and recorded."""
        name = self._name_of_step(name)
        progress = self._progress.begin(name)
        try:
            step = None if self._options.no_cache else self._workspace.find(key)
            if step is not None:
                progress.cached()
            else:
                layer = make(progress)
                created = self._workspace.now()
                step = CachedStep(key, layer, created, text)
                self._workspace.save(step)
                progress.done()
        except BuildError as error:
            error.step = error.step or name
            progress.failed(error.message)
            raise
        except (RootlessError, OSError) as error:
            progress.failed(str(error))
            raise
        state.add_history(text, step.created, step.layer)
        state.key = key

    def _run(self, instruction: Run, state: StageState) -> None:
        options = self._options
        words, script = _command(instruction, state)
        expander = state.scope.expander(options.escape)
        mounts = mounts_of(instruction, expander)
        environment = dict(state.scope.variables)
        network = options.network if instruction.network == "default" else instruction.network
        inputs = {
            "words": list(words),
            "script": "" if script is None else script[1].decode(errors="surrogateescape"),
            "environment": dict(sorted(environment.items())),
            "arguments": state.shown_arguments(),
            "user": state.user,
            "directory": state.directory,
            "network": network,
            "security": instruction.security,
            "hosts": [list(each) for each in options.hosts],
            "mounts": mount_inputs(mounts, self._trees.source, self._workspace),
        }
        if instruction.security == "insecure" and not options.allows_insecure:
            raise BuildError(
                "security.insecure is not allowed", hint="allow it: --allow security.insecure"
            )
        if instruction.devices:
            raise BuildError("RUN --device is not supported: devices of CDI are not read")
        key = step_key(state.key, "RUN", inputs)

        def make(progress: StepProgress) -> BuiltLayer:
            from rootless.build.run_step import RunOptions

            log = _LastLines()

            def output(stream: int, data: bytes) -> None:
                log.add(data)
                progress.output(stream, data)

            run = RunOptions(
                arguments=words,
                environment=proxy_variables(options.build_arguments) | environment,
                directory=state.directory,
                user=state.user,
                network=network,
                insecure=instruction.security == "insecure",
                hosts=options.hosts,
                ulimits=options.ulimits,
                shm_size=options.shm_size,
                script=script,
            )
            try:
                return self._layer_of_run(state, run, mounts, output)
            except (_CommandFailedError, LaunchError) as error:
                reason = error.message
                if isinstance(error, CommandNotFoundError | CommandNotExecutableError):
                    # The runtime of the other builders says so on the command's standard error.
                    output(2, f"{reason}\n".encode())
                    reason = "exit code: 1"
                failure = BuildError(
                    f'process "{" ".join(words)}" did not complete successfully: {reason}'
                )
                failure.log = log.lines()
                raise failure from error

        self._step(state, shown(instruction), state.run_text(words), key, make)

    def _layer_of_run(
        self, state: StageState, options: RunOptions, mounts: Sequence[Mount], output: Output
    ) -> BuiltLayer:
        """Run a command; the layer of what it has changed."""
        runner = self._step_runner()
        tree = self._workspace.tree(state.layers)
        with ExitStack() as stack:
            hidden: tuple[bytes, ...] = ()
            if mounts:
                preparer = MountPreparer(
                    self._workspace, runner.maps, self._options.mounts, self._trees.source, stack
                )
                namespace = cache_namespace(self._options.build_arguments)
                mounted = preparer.prepare(mounts, state.directory, namespace)
                options = options._replace(
                    mounts=mounted.mounts,
                    environment={**options.environment, **mounted.environment},
                )
                tree = tree._replace(
                    layers=(*tree.layers, *mounted.layers),
                    above=tree.above + len(mounted.layers) if tree.chain is not None else 0,
                )
                hidden = mounted.hidden
            status, changed, mountpoints = stack.enter_context(runner.run(tree, options, output))
            if status != 0:
                raise _CommandFailedError(f"exit code: {status}")
            snapshot = changed()
            stack.callback(snapshot.close)
            changes = snapshot.changes(mountpoints)
            if hidden:
                below = self._workspace.snapshot(state.layers)
                stack.callback(below.close)
                changes = _without_hidden(changes, hidden, below)
            pieces = snapshot.layer_archive(changes, newest=self._workspace.epoch)
            return self._workspace.add_layer(pieces, "the layer of the step")

    def _step_runner(self) -> StepRunner:
        if self._runner is None:
            from rootless.build.run_step import StepRunner

            cache = f"{self._workspace.store.root}/seccomp"
            os.makedirs(cache, 0o700, exist_ok=True)
            self._runner = StepRunner(self._workspace.scratch, cache)
        return self._runner

    def _workdir(self, instruction: Workdir, state: StageState) -> None:
        path = posixpath.normpath(posixpath.join("/", state.directory, instruction.path))
        path = "/" + path.lstrip("/")
        state.config["WorkingDir"] = path
        text = f"WORKDIR {path}"
        if path == "/":
            state.add_history(text, "")
            return
        key = step_key(state.key, "WORKDIR", {"path": path, "user": state.user})

        def make(_: StepProgress) -> BuiltLayer:
            target = self._workspace.snapshot(state.layers)
            try:
                owner = self._owner(state.user, target) if state.user else (0, 0)
                pieces = archive(self._directories(path, owner, target))
                return self._workspace.add_layer(pieces, "the layer of the step")
            finally:
                target.close()

        self._step(state, shown(instruction), text, key, make)

    def _directories(
        self, path: str, owner: tuple[int, int], target: Snapshot
    ) -> Iterator[tuple[TarEntry, Iterable[bytes]]]:
        """The directories of a path that have to be made, and those above them."""
        names = target.resolve(os.fsencode(path)).split(b"/")
        above: list[tuple[TarEntry, Iterable[bytes]]] = []
        is_made = False
        for count in range(1, len(names) + 1):
            directory = b"/".join(names[:count])
            node = target.find(directory)
            if node is None:
                is_made = True
                attributes = directory_attributes(*owner, self._workspace.now_ns())
                above.append((TarEntry(directory, attributes), ()))
            elif isinstance(node, Directory):
                above.append((TarEntry(directory, node.attributes, xattrs=target.xattrs(node)), ()))
            else:
                raise BuildError(f"mkdir /{os.fsdecode(directory)}: not a directory")
        if is_made:
            yield from above

    # COPY and ADD

    def _copy(self, instruction: Copy | Add, state: StageState) -> None:
        items = self._items(instruction)
        destination = _destination(instruction, state.directory, several=len(items) != 1)
        mode = ModeChange(instruction.chmod) if instruction.chmod else None
        inputs = {
            "kind": type(instruction).__name__,
            "content": digest_of_items(items, self._workspace.digests_of),
            "destination": destination,
            "owner": instruction.chown,
            "mode": instruction.chmod,
            "link": instruction.link,
            "unpack": isinstance(instruction, Add) and instruction.unpack,
        }
        key = step_key(state.key, "COPY", inputs)

        def make(_: StepProgress) -> BuiltLayer:
            target = self._workspace.snapshot(state.layers)
            try:
                plan = CopyPlan(
                    tuple(self._with_archives(items, instruction)),
                    destination,
                    self._owner(instruction.chown, target) if instruction.chown else None,
                    mode,
                    self._workspace.now_ns(),
                    self._workspace.epoch,
                    instruction.link,
                )
                return self._workspace.add_layer(
                    archive(copy_members(plan, target)), "the layer of the step"
                )
            except ValueError as error:
                raise BuildError(f"the build context changed while it was read: {error}") from error
            finally:
                target.close()

        self._step(state, shown(instruction), copy_text(instruction), key, make)

    def _items(self, instruction: Copy | Add) -> list[CopyItem]:
        """Everything that COPY or ADD names, in order."""
        from_stage = instruction.from_stage if isinstance(instruction, Copy) else ""
        parents = isinstance(instruction, Copy) and instruction.parents
        items: list[CopyItem] = []
        for word in instruction.sources:
            if isinstance(instruction, Add) and (repository := git_source(word)) is not None:
                items.append(self._cloned(repository, instruction))
                continue
            if isinstance(instruction, Add) and is_url(word):
                items.append(self._fetched(word, instruction))
                continue
            items += select(self._trees.source(from_stage), word, parents=parents)
        if instruction.exclude:
            patterns = IgnorePatterns(instruction.exclude)
            items = [
                each._replace(excluded=patterns)
                for each in items
                if not patterns.ignores(os.fsdecode(each.name)) or _is_directory(each)
            ]
        if instruction.heredocs:
            files = {os.fsencode(each.name): each for each in instruction.heredocs}
            texts = {
                name: each.content.encode(errors="surrogateescape") for name, each in files.items()
            }
            source = MemorySource(texts, self._workspace.now_ns())
            items += [CopyItem(source, name, name) for name in files]
        return items

    def _cloned(self, repository: GitSource, instruction: Add) -> CopyItem:
        """The files of a repository."""
        directory = self._workspace.new_directory(f"cloned-{next(self._count)}")
        top = clone(
            repository,
            directory,
            keep_git=bool(instruction.keep_git_dir),
            checksum=instruction.checksum,
        )
        source = HostSource(str(top))
        self._fetched_sources.append(source)
        return CopyItem(source, b"", b"")

    def _fetched(self, url: str, instruction: Add) -> CopyItem:
        """The file of a URL."""
        directory = self._workspace.new_directory(f"fetched-{next(self._count)}")
        name = os.fsencode(fetch(url, directory, instruction.checksum))
        source = HostSource(str(directory))
        self._fetched_sources.append(source)
        return CopyItem(source, name, name)

    def _with_archives(self, items: list[CopyItem], instruction: Copy | Add) -> list[CopyItem]:
        """The items of ADD, with the files of an archive in its place: of a local one unless --unpack=false
        says no, of one that was fetched if --unpack asks for it."""
        if not isinstance(instruction, Add) or instruction.unpack is False:
            return items
        return [
            self._unpacked(each)
            if instruction.unpack or each.source not in self._fetched_sources
            else each
            for each in items
        ]

    def _unpacked(self, item: CopyItem) -> CopyItem:
        """The files of an archive in its place."""
        entry = item.source.entry(item.path)
        if entry is None or not stat.S_ISREG(entry.attributes.mode):
            return item
        directory = self._workspace.scratch / f"unpacked-{next(self._count)}"
        source = unpacked(item.source, entry, directory)
        return item if source is None else CopyItem(source, b"", b"", is_archive=True)

    def _owner(self, text: str, target: Snapshot) -> tuple[int, int]:
        """USER, UID, USER:GROUP and so on, looked up in the files of the stage; of a number alone the group
        has the same."""
        user, colon, group = text.partition(":")
        if user.isdecimal() and not colon:
            return int(user), int(user)
        passwd, groups = (_content(target, name) for name in (b"etc/passwd", b"etc/group"))
        try:
            identity = find_identity(user, passwd, groups)
            gid = find_group(group, groups) if group else identity.gid
        except UnknownUserError as error:
            raise BuildError(str(error)) from None
        return identity.uid, gid


def _command(
    instruction: Run, state: StageState
) -> tuple[tuple[str, ...], tuple[str, bytes] | None]:
    """What is executed. A here-document whose first line names its interpreter is a program of its own, with
    a path and its content."""
    command = instruction.command
    if command.is_one_heredoc:
        text = command.heredocs[0].text
        if text.startswith("#!"):
            path = f"/dev/pipes/{command.heredocs[0].name}"
            return (*state.shell, path), (path, text.encode(errors="surrogateescape"))
    return state.command_of(command), None


def _without_hidden(
    changes: Sequence[Change], hidden: Sequence[bytes], below: Snapshot
) -> list[Change]:
    """Changes without those of places that are thrown away, and without the directories above these that
    the stage itself does not have."""
    above = {
        b"/".join(names[:count])
        for path in hidden
        for names in [path.split(b"/")]
        for count in range(1, len(names) + 1)
    }
    kept = [
        each
        for each in changes
        if not any(each.path == path or each.path.startswith(path + b"/") for path in hidden)
    ]
    return [
        each
        for each in kept
        if each.path not in above
        or any(other.path.startswith(each.path + b"/") for other in kept)
        or _is_changed(each, below)
    ]


def _is_changed(change: Change, below: Snapshot) -> bool:
    """Whether a directory is another than the stage has; its times do not count."""
    before = below.find(change.path)
    if before is None or change.node is None:
        return change.node is None
    mine, theirs = change.node.attributes, before.attributes
    return (mine.mode, mine.uid, mine.gid) != (theirs.mode, theirs.uid, theirs.gid)


class _CommandFailedError(RootlessError):
    """The command of a RUN has ended with another status than 0."""


class _LastLines:
    """The end of a command's output."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lines: list[str] = []
        self._partial = b""

    def add(self, data: bytes) -> None:
        passed = time.monotonic() - self._started
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._lines += [f"{passed:.3f} {line.decode(errors='replace')}" for line in lines]
        del self._lines[:-_LOG_LINES]

    def lines(self) -> list[str]:
        if self._partial:
            self.add(b"\n")
        return self._lines


def _destination(instruction: Copy | Add, directory: str, *, several: bool) -> str:
    """Absolute, with a slash at the end where it has to be a directory."""
    written = instruction.destination
    path = "/" + posixpath.normpath(posixpath.join("/", directory, written)).lstrip("/")
    parents = isinstance(instruction, Copy) and instruction.parents
    if written.endswith(("/", "/.")) or written == "." or several or parents:
        return path.rstrip("/") + "/"
    return path


def _is_directory(item: CopyItem) -> bool:
    entry = item.source.entry(item.path)
    return entry is not None and stat.S_ISDIR(entry.attributes.mode)


def located(error: BuildError, instruction: Instruction) -> BuildError:
    """The error with the place of the instruction, unless it has one."""
    if not error.line:
        error.line = instruction.source.first_line
        error.last_line = instruction.source.last_line
    return error


def shown(instruction: Instruction) -> str:
    """The name of a step: the instruction as it is written, its name in upper case; of a here-document that is
    all of it the first line too."""
    keyword, text = instruction.source.keyword, instruction.source.text
    name = f"{keyword.upper()}{text[len(keyword) :]}"
    if isinstance(instruction, Run) and instruction.command.is_one_heredoc:
        return f"{name} ({instruction.command.heredocs[0].text.partition(chr(10))[0]}...)"
    return name


def copy_text(instruction: Copy | Add) -> str:
    """COPY or ADD as the history has it."""
    words = [type(instruction).__name__.upper()]
    if isinstance(instruction, Copy) and instruction.parents:
        words.append("--parents")
    if instruction.chown:
        words.append(f"--chown={instruction.chown}")
    if instruction.chmod:
        words.append(f"--chmod={instruction.chmod}")
    if instruction.link:
        words.append("--link")
    words += [f"--exclude={pattern}" for pattern in instruction.exclude]
    words += [*instruction.sources, *(f"<<{each.name}" for each in instruction.heredocs)]
    return " ".join([*words, instruction.destination]) + BUILT


def _content(tree: Snapshot, path: bytes) -> bytes:
    node = tree.find(tree.resolve(path))
    if node is None or isinstance(node, Directory):
        return b""
    file = tree.open_file(node)
    try:
        return file.read(0, node.attributes.size)
    finally:
        file.close()
