"""Continues from a RUN that failed and whose container was kept: `build --resume` and `build --accept`.

The layer of such a step is what the failed command left, with what was changed in the container since; with
--resume the command is executed again over that. The step has a key of its own, so that a build without
these flags never finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from rootless.build.errors import BuildError
from rootless.build.state import StageState
from rootless.build.steps.options import Resume
from rootless.build.steps.run_instruction import RunPlan, Runs
from rootless.build.workspace import Workspace
from rootless.dockerfile.instructions import Run
from rootless.durable import write_atomically
from rootless.errors import NotFoundError
from rootless.recording.dockerfile import instructions_of
from rootless.recording.log import decode_log
from rootless.recording.shell import LOG
from rootless.store.build_cache import BuiltLayer
from rootless.store.kept_steps import KeptStep, recording_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.progress import StepProgress

Changes = Callable[[str], AbstractContextManager[Iterable[bytes]]]
"""Gives what was changed in a container, as the archive of a layer."""


def resumed_inputs(kept: KeptStep, key: str, resume: Resume) -> dict[str, object]:
    """The inputs of the key of a resumed step."""
    return {
        "step": key,
        "container": kept.container,
        "layer": kept.layer.diff_id,
        "again": resume.executes_again,
    }


class Resumption:
    """Takes over the container of one step. `key`: of the step that failed."""

    def __init__(
        self, workspace: Workspace, runs: Runs, resume: Resume, kept: KeptStep, key: str
    ) -> None:
        self._workspace = workspace
        self._runs = runs
        self._resume = resume
        self._kept = kept
        self._key = key

    def layer(
        self, instruction: Run, plan: RunPlan, state: StageState, progress: StepProgress
    ) -> BuiltLayer:
        """The layer of the step. Raises BuildError."""
        workspace, resume = self._workspace, self._resume
        lines = self._typed(state) if resume.accepts else []
        name = self._kept.container
        if resume.accepts and not resume.executes_again and not lines:
            raise BuildError(
                f"nothing was typed into container {name} that could be accepted",
                hint="--resume executes the command again",
            )
        layers = [self._kept.layer]
        try:
            with resume.changes(name) as pieces:
                layers.append(workspace.add_archive(pieces, "the layer of the step"))
        except NotFoundError as error:
            raise BuildError(
                f"container {name}, which was kept of the step, is not there any more",
                hint="build without --resume and --accept",
            ) from error
        progress.note(f"going on from container {name}")
        if resume.executes_again:
            layers.append(self._runs.execute(plan, state, progress, tuple(layers)).layer)
        if lines:
            self._accept(instruction, lines)
            progress.note(f"what was typed is in {resume.dockerfile}")
        return workspace.merged_layer(state.layers, layers)

    def _typed(self, state: StageState) -> list[str]:
        """What was typed into the container, as instructions that leave the stage's directory as it is."""
        try:
            directory = recording_directory(self._workspace.store, self._key)
            with open(f"{directory}/{LOG}", "rb") as file:
                typed = decode_log(file.read())
        except FileNotFoundError:
            return []
        lines = instructions_of(typed, exported="ARG")
        if not any(line.startswith("RUN ") for line in lines):
            return []
        if typed[-1].directory != state.directory:
            lines.append(f"WORKDIR {state.directory}")
        return lines

    def _accept(self, instruction: Run, lines: list[str]) -> None:
        """Write the lines in front of the instruction, which becomes a comment unless it was executed again."""
        resume, source = self._resume, instruction.source
        try:
            with open(resume.dockerfile, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read().split("\n")
        except OSError as error:
            raise BuildError(
                f"--accept cannot read the Dockerfile {resume.dockerfile!r}: {error.strerror}"
            ) from error
        first, last = source.first_line - 1, source.last_line
        own = text[first:last]
        if not own or own[0].split()[:1] != [source.keyword]:
            raise BuildError("--accept: the step is not one of the Dockerfile itself")
        if not resume.executes_again:
            own = [f"# {line}" for line in own]
        changed = "\n".join([*text[:first], *lines, *own, *text[last:]])
        write_atomically(resume.dockerfile, changed.encode(errors="surrogateescape"))
