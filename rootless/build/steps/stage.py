"""Builds one stage: executes its instructions in order, or finds their results in the cache."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping

from rootless.build.errors import BuildError
from rootless.build.files.copying import CopyPlan, copy_members, directory_attributes
from rootless.build.files.digests import digest_of_items
from rootless.build.files.modes import ModeChange
from rootless.build.files.sources import Source
from rootless.build.keys import step_key
from rootless.build.progress import Progress, StepProgress
from rootless.build.state import StageState
from rootless.build.steps.copy_sources import CopySources, copy_text, destination_of
from rootless.build.steps.explanation import earlier_step, explain, recorded
from rootless.build.steps.mounts import (
    mount_inputs,
)
from rootless.build.steps.options import Resume, StageOptions
from rootless.build.steps.reads_cache import ReadsCache
from rootless.build.steps.run_instruction import RunPlan, Runs, command_of
from rootless.build.workspace import Workspace
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.instructions import Add, Arg, Copy, Instruction, Run, Workdir
from rootless.dockerfile.scopes import mounts_of
from rootless.errors import (
    RootlessError,
)
from rootless.network.options import HOST, NONE
from rootless.runtime.userdb import UnknownUserError, find_group, find_identity
from rootless.store.build_cache import BuiltLayer, CachedStep, all_steps
from rootless.store.kept_steps import KeptStep, find_kept
from unionfs.light_types import NamedTuple
from unionfs.nodes import Directory
from unionfs.tar.writer import TarEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.dockerfile.instructions import Stage
    from unionfs.changes.snapshot import Snapshot
    from unionfs.tar.writer import ArchiveMember


class Trees(NamedTuple):
    """Where a stage finds files that are not its own: by the name in --from, or of the context for an
    empty one."""

    source: Callable[[str], Source]


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
        self._copies = CopySources(workspace, trees.source)
        self._runs = Runs(workspace, trees.source, options)
        self._last_done = ""

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
        scope = state.scope.with_arg(
            instruction, options.global_variables, options.build_arguments, options.escape
        )
        state.define(instruction, scope, "")

    # Steps that make layers

    def _step(
        self,
        state: StageState,
        name: str,
        text: str,
        key: str,
        *,
        inputs: Mapping[str, object],
        make: Callable[[StepProgress], BuiltLayer],
        reads: ReadsCache | None = None,
    ) -> None:
        """The layer of a step: found by its key or by what it read, or made and recorded."""
        known = recorded(inputs, state.key, f"{self._options.place} {name}")
        shown_name, name = name, self._name_of_step(name)
        progress = self._progress.begin(name)
        try:
            step = self._cached(key, text, known, progress, reads)
            if step is not None:
                progress.cached()
            else:
                earlier = self._explain(known, reads, progress)
                layer = make(progress)
                if earlier is not None:
                    self._show_changed_files(earlier.layer, layer, progress)
                self._last_done = shown_name
                step = CachedStep(key, layer, self._workspace.now(), text, known)
                self._workspace.save(step)
                if reads is not None:
                    reads.save(key)
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

    def _cached(
        self,
        key: str,
        text: str,
        known: Mapping[str, str],
        progress: StepProgress,
        reads: ReadsCache | None,
    ) -> CachedStep | None:
        if self._options.no_cache:
            return None
        return (
            self._workspace.find(key)
            or self._found_by_reads(key, text, known, progress, reads)
            or self._imported(key, text, known, progress)
        )

    def _imported(
        self, key: str, text: str, inputs: Mapping[str, str], progress: StepProgress
    ) -> CachedStep | None:
        """The step as a place of --cache-from has it, now recorded in the store."""
        workspace = self._workspace
        found = workspace.imports.find(key, workspace.ingest, progress.note)
        if found is None:
            return None
        step = CachedStep(key, found.layer, found.created or workspace.now(), text, inputs)
        workspace.save(step)
        return step

    def _found_by_reads(
        self,
        key: str,
        text: str,
        known: Mapping[str, str],
        progress: StepProgress,
        reads: ReadsCache | None,
    ) -> CachedStep | None:
        """A step that was executed over another parent, recorded as done over this one."""
        found = None if reads is None else reads.find(key)
        if found is None:
            return None
        step = found._replace(key=key, text=text, inputs=known)
        self._workspace.save(step)
        if self._options.explains:
            progress.note("reused because nothing that it read has changed")
        return step

    def _explain(
        self, inputs: Mapping[str, str], reads: ReadsCache | None, progress: StepProgress
    ) -> CachedStep | None:
        """Show why a step is executed, if that is asked for. Returns an earlier one that copied other files."""
        if not self._options.explains:
            return None
        if self._options.no_cache:
            progress.note("executed because the cache is not used")
            return None
        earlier = earlier_step(inputs, all_steps(self._workspace.store))
        reason = reads.difference if reads is not None and reads.difference else ""
        progress.note(f"executed because {reason or explain(inputs, earlier, self._last_done)}")
        if earlier is None or inputs.get("content") == earlier.inputs.get("content"):
            return None
        return earlier

    def _show_changed_files(
        self, before: BuiltLayer, after: BuiltLayer, progress: StepProgress
    ) -> None:
        from rootless.build.steps.changed_files import changed_files

        if not self._workspace.store.has_layer(before.diff_id):
            return
        trees = [self._workspace.snapshot((layer,)) for layer in (before, after)]
        try:
            differences = changed_files(*trees)
        finally:
            for tree in trees:
                tree.close()
        if differences:
            progress.note(f"changed files: {differences}")

    def _run(self, instruction: Run, state: StageState) -> None:
        plan, inputs = self._plan_run(instruction, state)
        check_allowed(instruction, plan.network, self._options)
        resume = self._options.resume
        if resume is not None:
            kept = find_kept(self._workspace.store, plan.key)
            if kept is not None:
                self._go_on(instruction, state, plan, kept, resume)
                return
        reads = None
        if self._options.by_reads:
            reads = ReadsCache(self._workspace, step_key("", "RUN", inputs), state.layers)

        def make(progress: StepProgress) -> BuiltLayer:
            result = self._runs.execute(plan, state, progress)
            if reads is not None:
                reads.note(result.trace)
            return result.layer

        self._step(
            state,
            shown(instruction),
            state.run_text(plan.words),
            plan.key,
            inputs=inputs,
            make=make,
            reads=reads,
        )

    def _plan_run(
        self, instruction: Run, state: StageState
    ) -> tuple[RunPlan, Mapping[str, object]]:
        """What a RUN executes, and what of it decides whether a step of the cache is the same. Raises BuildError."""
        options = self._options
        words, script = command_of(instruction, state)
        if not words:
            raise BuildError("failed to marshal LLB definition: arguments are required")
        mounts = mounts_of(instruction, state.scope.expander(options.escape))
        network = options.network if instruction.network == "default" else instruction.network
        inputs = {
            "words": list(words),
            "script": "" if script is None else script[1].decode(errors="surrogateescape"),
            "environment": dict(sorted(state.scope.variables.items())),
            "arguments": state.shown_arguments(),
            "user": state.user,
            "directory": state.directory,
            "network": network,
            "security": instruction.security,
            "hosts": [list(each) for each in options.hosts],
            "mounts": mount_inputs(mounts, self._trees.source, self._workspace),
        }
        if options.chown is not None:
            inputs["chown"] = options.chown.value
        key = step_key(state.key, "RUN", inputs)
        insecure = instruction.security == "insecure"
        return RunPlan(words, script, mounts, network, insecure, key), inputs

    def _go_on(
        self,
        instruction: Run,
        state: StageState,
        plan: RunPlan,
        kept: KeptStep,
        resume: Resume,
    ) -> None:
        """Go on from the container of a RUN that failed."""
        from rootless.build.steps.resuming import Resumption, resumed_inputs

        resumption = Resumption(self._workspace, self._runs, resume, kept, plan.key)
        inputs = resumed_inputs(kept, plan.key, resume)
        key = step_key(state.key, "RESUMED", inputs)

        def make(progress: StepProgress) -> BuiltLayer:
            return resumption.layer(instruction, plan, state, progress)

        text = state.run_text(plan.words)
        self._step(state, shown(instruction), text, key, inputs=inputs, make=make)

    def _workdir(self, instruction: Workdir, state: StageState) -> None:
        # As BuildKit has it: an absolute path stays as it is written.
        written = instruction.path
        if not written.startswith("/"):
            written = posixpath.normpath(posixpath.join("/", state.directory, written))
        state.config["WorkingDir"] = written
        text = f"WORKDIR {written}"
        path = "/" + posixpath.normpath(written).lstrip("/")
        if path == "/":
            state.add_history(text, "")
            return
        inputs = {"path": path, "user": state.user}
        key = step_key(state.key, "WORKDIR", inputs)

        def make(_: StepProgress) -> BuiltLayer:
            target = self._workspace.snapshot(state.layers)
            try:
                members = self._directories(path, state.user, target)
                return self._workspace.add_layer(members, "the layer of the step")
            finally:
                target.close()

        self._step(state, shown(instruction), text, key, inputs=inputs, make=make)

    def _directories(self, path: str, user: str, target: Snapshot) -> Iterator[ArchiveMember]:
        """The directories of a path that have to be made for a user, and those above them."""
        names = target.resolve(os.fsencode(path)).split(b"/")
        above: list[ArchiveMember] = []
        is_made = False
        for count in range(1, len(names) + 1):
            directory = b"/".join(names[:count])
            node = target.find(directory)
            if node is None:
                if above and not is_made:  # a name is added to the last one that is there
                    changed = above[-1][0]
                    times = changed.attributes._replace(mtime_ns=self._workspace.now_ns())
                    above[-1] = (changed._replace(attributes=times), ())
                is_made = True
                owner = self._owner(user, target) if user else (0, 0)
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
        items = self._copies.items(instruction)
        destination = destination_of(instruction, state.directory, several=len(items) != 1)
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
                    tuple(self._copies.with_archives(items, instruction)),
                    destination,
                    self._owner(instruction.chown, target) if instruction.chown else None,
                    mode,
                    self._workspace.now_ns(),
                    self._workspace.epoch,
                    instruction.link,
                )
                return self._workspace.add_layer(
                    copy_members(plan, target), "the layer of the step"
                )
            except ValueError as error:
                raise BuildError(f"the build context changed while it was read: {error}") from error
            finally:
                target.close()

        self._step(state, shown(instruction), copy_text(instruction), key, inputs=inputs, make=make)

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
            if text == "root":
                return 0, 0  # without any files too
            raise BuildError(str(error)) from None
        return identity.uid, gid


def check_allowed(instruction: Run, network: str, options: StageOptions) -> None:
    """Raises BuildError for a RUN that asks for what the build does not allow or cannot give. `network` is that of the step."""
    if instruction.security == "insecure" and not options.allows_insecure:
        raise BuildError(
            "security.insecure is not allowed", hint="allow it: --allow security.insecure"
        )
    if network == HOST and options.network == NONE and not options.allows_host_network:
        raise BuildError("network.host is not allowed", hint="allow it: --allow network.host")
    if instruction.devices:
        raise BuildError("RUN --device is not supported: devices of CDI are not read")


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


def _content(tree: Snapshot, path: bytes) -> bytes:
    node = tree.find(tree.resolve(path))
    if node is None or isinstance(node, Directory):
        return b""
    file = tree.open_file(node)
    try:
        return file.read(0, node.attributes.size)
    finally:
        file.close()
