"""RUN: from the instruction to the layer of what its command has changed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from rootless.build.errors import BuildError
from rootless.build.export import stage_image
from rootless.build.files.sources import Source
from rootless.build.progress import StepProgress
from rootless.build.state import StageState
from rootless.build.steps.mounts import MountPreparer, cache_namespace
from rootless.build.steps.options import StageOptions
from rootless.build.workspace import Workspace
from rootless.dockerfile.errors import quoted
from rootless.dockerfile.instructions import Run
from rootless.dockerfile.scopes import proxy_variables
from rootless.dockerfile.syntax.mounts import Mount
from rootless.durable import remove_tree
from rootless.errors import (
    CommandNotExecutableError,
    CommandNotFoundError,
    LaunchError,
    RootlessError,
)
from rootless.network.options import HOST, NONE, NetworkOptions
from rootless.spec.options import ContainerOptions
from rootless.store.build_cache import BuiltLayer
from rootless.store.kept_steps import KeptStep, recording_directory, save_kept
from rootless.store.names import CONFIG_DIGEST
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.steps.run_step import Output, RunOptions, StepRunner
    from unionfs.changes.snapshot import Change, Snapshot
    from unionfs.tar.writer import ArchiveMember
    from unionfs.traced.trace import Record

_LOG_LINES = 20


class RunPlan(NamedTuple):
    """The program of a RUN. `script` is a program of its own: its path and content."""

    words: tuple[str, ...]
    script: tuple[str, bytes] | None
    mounts: tuple[Mount, ...]
    network: str
    insecure: bool
    key: str = ""
    """Of the step: what is kept of it is found by that."""


class RunResult(NamedTuple):
    """The changes of a command. `trace`: its accesses to the layers below, if they are known."""

    layer: BuiltLayer
    trace: Sequence[Record] | None


class Runs:
    """Executes the commands of one stage. `source_of` gives what `from` of a mount names."""

    def __init__(
        self, workspace: Workspace, source_of: Callable[[str], Source], options: StageOptions
    ) -> None:
        self._workspace = workspace
        self._source_of = source_of
        self._options = options
        self._runner: StepRunner | None = None

    def execute(
        self,
        plan: RunPlan,
        state: StageState,
        progress: StepProgress,
        above: tuple[BuiltLayer, ...] = (),
    ) -> RunResult:
        """Execute a command, over `above` and the layers of the stage. Raises BuildError with the end of its
        output."""
        from rootless.build.steps.run_step import RunOptions

        options = self._options
        log = _LastLines()

        def output(stream: int, data: bytes) -> None:
            log.add(data)
            progress.output(stream, data)

        run = RunOptions(
            arguments=plan.words,
            environment=proxy_variables(options.build_arguments) | dict(state.scope.variables),
            directory=state.directory,
            user=state.user,
            network=plan.network,
            insecure=plan.insecure,
            hosts=options.hosts,
            ulimits=options.ulimits,
            shm_size=options.shm_size,
            chown=options.chown,
            script=plan.script,
            is_traced=options.by_reads,
        )
        try:
            return self._layer_of_run(state, run, plan, output, above)
        except (_CommandFailedError, LaunchError) as error:
            reason = error.message
            if isinstance(error, CommandNotFoundError | CommandNotExecutableError):
                # The runtime of the other builders writes that to the command's standard error.
                output(2, f"{reason}\n".encode())
                is_foreign = error.details.get("errno") == errno.ENOEXEC
                reason = f"exit code: {255 if is_foreign else 1}"
            failure = BuildError(
                f"process {quoted(' '.join(plan.words))} did not complete successfully: {reason}"
            )
            failure.log = log.lines()
            failure.hint = error.hint
            if isinstance(error, _CommandFailedError):
                failure.container = error.container
            raise failure from error

    def _layer_of_run(
        self,
        state: StageState,
        options: RunOptions,
        plan: RunPlan,
        output: Output,
        above: tuple[BuiltLayer, ...],
    ) -> RunResult:
        """Run a command; the layer of what it has changed."""
        runner = self._step_runner()
        mounts, layers = plan.mounts, (*state.layers, *above)
        tree = self._workspace.tree(layers)
        with ExitStack() as stack:
            hidden: tuple[bytes, ...] = ()
            if mounts:
                preparer = MountPreparer(
                    self._workspace, runner.maps, self._options.mounts, self._source_of, stack
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
            finished = stack.enter_context(runner.run(tree, options, output))
            status = finished.status
            if status != 0 and self._options.keep is None:
                raise _CommandFailedError(f"exit code: {status}")
            snapshot = finished.changed()
            stack.callback(snapshot.close)
            changes = snapshot.changes(finished.mountpoints)
            if hidden:
                below = self._workspace.snapshot(layers)
                stack.callback(below.close)
                changes = _without_hidden(changes, hidden, below)
            members = snapshot.layer_members(
                changes, newest=self._workspace.epoch, whole_seconds=True
            )
            if status != 0:
                failure = _CommandFailedError(f"exit code: {status}")
                self._keep(state, (plan, above), members, options, failure)
                raise failure
            layer = self._workspace.add_layer(members, "the layer of the step")
            return RunResult(layer, _without_mounts(finished.trace, hidden))

    def _keep(
        self,
        state: StageState,
        step: tuple[RunPlan, tuple[BuiltLayer, ...]],
        members: Iterable[ArchiveMember],
        run: RunOptions,
        failure: _CommandFailedError,
    ) -> None:
        """Make a container with the layer that a command has left, and note it in the error. It has the
        variables of the step; mounts and predefined arguments it does not have."""
        options, store = self._options, self._workspace.store
        assert options.keep is not None
        made = state.copy()
        (plan, above), recording = step, ""
        try:
            layer = self._workspace.add_layer(members, "the layer of the step")
            if above:
                layer = self._workspace.merged_layer(state.layers, (*above, layer))
            if options.keeps_shell:
                recording = _recording(recording_directory(store, plan.key), is_new=not above)
            made.add_history(made.run_text(run.arguments), self._workspace.now(), layer)
            image = stage_image(self._workspace, made, made.config)
            self._workspace.ingest.publish([image])
            name = options.keep(
                ContainerOptions(
                    image=image.manifest.annotations[CONFIG_DIGEST],
                    command=state.shell[:1] if options.keeps_shell else run.arguments,
                    entrypoint="",
                    variables=tuple(state.scope.variables.items()),
                    network=NetworkOptions(NONE if run.network == NONE else HOST),
                    terminal=options.keeps_shell,
                    interactive=options.keeps_shell,
                ),
                recording,
            )
            save_kept(store, plan.key, KeptStep(name, layer))
        except (RootlessError, OSError) as error:
            # Such as a disk that is full, which may be why the command failed.
            failure.hint = f"the container of the step could not be kept: {error}"
            return
        failure.container = name
        start = f"`rootless start -a {name}` runs the command again"
        if options.keeps_shell:
            start = f"`rootless start -ai {name}` opens a shell in it"
        failure.hint = (
            f"the container of the step is {name}: `rootless commit {name} IMAGE` takes its files, "
            f"{start}, and the same build with --resume goes on from there"
        )

    def _step_runner(self) -> StepRunner:
        if self._runner is None:
            from rootless.build.steps.run_step import StepRunner

            cache = f"{self._workspace.store.root}/seccomp"
            os.makedirs(cache, 0o700, exist_ok=True)
            self._runner = StepRunner(self._workspace.scratch, cache, self._workspace.uppers)
        return self._runner


def command_of(
    instruction: Run, state: StageState
) -> tuple[tuple[str, ...], tuple[str, bytes] | None]:
    """The command to execute. A here-document whose first line names its interpreter is a program of its own, with
    a path and its content.
    """
    command = instruction.command
    if command.is_one_heredoc:
        text = command.heredocs[0].text
        if text.startswith("#!"):
            path = f"/dev/pipes/{command.heredocs[0].name}"
            return (*state.shell, path), (path, text.encode(errors="surrogateescape"))
    return state.command_of(command), None


def _recording(directory: str, *, is_new: bool) -> str:
    """The directory where the shell of a container records; what was typed into an earlier one stays if the build
    went on from that. Raises OSError."""
    from rootless.recording.shell import make_recording

    if is_new:
        remove_tree(directory)
    if not os.path.isdir(directory):
        os.makedirs(directory)
        make_recording(directory)
    return directory


def _without_mounts(trace: Sequence[Record] | None, hidden: Sequence[bytes]) -> list[Record] | None:
    """A trace without what was seen of mounts, which are inputs of the step."""
    if trace is None:
        return None
    return [
        each
        for each in trace
        if not any(each.path == path or each.path.startswith(path + b"/") for path in hidden)
    ]


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
    """The command of a RUN has ended with another status than 0. `container`: what was kept of the step."""

    container = ""


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
