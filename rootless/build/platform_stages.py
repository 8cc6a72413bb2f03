"""The stages of a Dockerfile for one platform: their graph, their base images and their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rootless.build.checking import platforms_of
from rootless.build.errors import BuildError
from rootless.build.files.context import BuildContext
from rootless.build.files.sources import Source
from rootless.build.inputs import BuildInputs, scratch_state
from rootless.build.progress import Progress
from rootless.build.provenance import Material
from rootless.build.request import BuildHost, BuildRequest
from rootless.build.secrets import read_secret
from rootless.build.state import StageState
from rootless.build.steps.mounts import MountSources
from rootless.build.steps.options import Resume, StageOptions
from rootless.build.steps.stage import StageBuilder, Trees
from rootless.build.workspace import Workspace
from rootless.dockerfile.checks.checker import CheckContext, Checked, check
from rootless.dockerfile.errors import quoted
from rootless.dockerfile.graph import SCRATCH, Graph, stage_graph, stage_label
from rootless.dockerfile.instructions import Add, Arg, Copy, Dockerfile, Instruction, Run, Workdir
from rootless.dockerfile.scopes import expand_from, global_variables
from rootless.dockerfile.stage_instructions import stage_instructions
from rootless.dockerfile.syntax.parser import parse_trigger
from rootless.errors import RootlessError, UsageError
from rootless.oci.platform import Platform, host_platform, parse_platform
from rootless.oci.reference import parse_reference
from rootless.store.build_cache import encode_step
from rootless.store.ingest import Ingest
from unionfs.light_types import NamedTuple


class BuildSetting(NamedTuple):
    """The state that the stages of all platforms of a build share in one process."""

    request: BuildRequest
    dockerfile: Dockerfile
    context: BuildContext
    workspace: Workspace
    host: BuildHost
    progress: Progress
    images: dict[tuple[str, Platform | None], StageState]
    """Base images that were found, each once, by name and platform."""


class PlatformStages:
    """The stages for one platform; None: this machine's.

    Attributes:
        states: What finished stages have become, by their numbers.
        bases: What stages began with that start from no other stage, by their numbers.
        graph: The stages that are needed; set by `resolve`.
    """

    graph: Graph

    def __init__(self, setting: BuildSetting, platform: Platform | None) -> None:
        """Raises DockerfileError, BuildError."""
        self.platform = platform
        self.states: dict[int, StageState] = {}
        self.bases: dict[int, StageState] = {}
        self._setting = setting
        self._triggers: dict[int, list[object]] = {}
        self._inputs = self._new_inputs()
        dockerfile, request = setting.dockerfile, setting.request
        self._globals = global_variables(
            dockerfile, platforms_of(request, platform), request.build_arguments
        )
        self._origins = [
            expand_from(each.origin, self._globals, dockerfile.escape) for each in dockerfile.stages
        ]
        self._instructions = stage_instructions(
            dockerfile,
            self._origins,
            self._globals,
            request.build_arguments,
            tuple(request.contexts),
        )

    def _new_inputs(self) -> BuildInputs:
        setting = self._setting
        return BuildInputs(
            setting.workspace, setting.request, setting.host, setting.context, self.platform
        )

    @property
    def target(self) -> StageState:
        """The state of the target stage."""
        return self.states[self.graph.target]

    @property
    def base_of_target(self) -> StageState | None:
        """The base of the chain of stages that ends with the target."""
        return self.bases.get(self._root_of(self.graph.target))

    @property
    def materials(self) -> tuple[Material, ...]:
        """The external inputs of the stages, with their platforms."""
        host = host_platform()
        platforms = {self._platform_of(number) or host for number in self.graph.needed}
        found = self._setting.workspace.materials.values()
        used = (each for each in found if each.platform is None or each.platform in platforms)
        return tuple(sorted(used, key=lambda each: each.uri))

    def check(self) -> Checked:
        """Look for what is probably a mistake."""
        setting = self._setting
        request = setting.request
        return check(
            setting.context.text,
            CheckContext(
                platforms_of(request, self.platform),
                request.build_arguments,
                request.target,
                tuple(request.contexts),
                setting.context.patterns,
                {
                    number: {**state.config, "OnBuild": self._triggers.get(number)}
                    for number, state in self.bases.items()
                },
                self.graph.needed,
            ),
        )

    def resolve(self) -> None:
        """Find the base images and the graph of the stages: triggers of a base may need further stages. Raises
        BuildError, DockerfileError."""
        request = self._setting.request
        while True:
            graph = stage_graph(
                self._origins,
                self._instructions,
                request.target,
                tuple(request.contexts),
            )
            missing = [
                number
                for number in graph.needed
                if number not in self.bases
                and (graph.nodes[number].base is None or graph.nodes[number].is_replaced)
            ]
            if not missing:
                self.graph = graph
                return
            for number in missing:
                self._begin(number, is_replaced=graph.nodes[number].is_replaced)

    def _begin(self, number: int, *, is_replaced: bool) -> None:
        """Find the image that a stage starts from, or the context that stands for it."""
        origin = self._origins[number]
        name = origin.name if is_replaced else origin.image
        context = self._inputs.named.get(name.lower())
        if is_replaced:
            self._instructions[number] = ()
        if context is not None:
            self.bases[number] = self._inputs.state_of_context(context)
            return
        if origin.image == SCRATCH:
            self.bases[number] = scratch_state(self.platform or host_platform())
            return
        try:
            reference = str(parse_reference(origin.image).with_default_tag())
        except UsageError as error:
            failure = BuildError(
                f"failed to parse stage name {quoted(origin.image)}: {error.message}"
            )
            failure.line, failure.last_line = origin.source.first_line, origin.source.last_line
            raise failure from error
        platform = self._platform_of(number)
        state = self._setting.images.get((reference, platform))
        if state is None:
            shown = f"[{self._prefix(number)}internal] load metadata for {reference}"
            step = self._setting.progress.begin(shown)
            try:
                state = self._inputs.state_of(self._inputs.image(origin.image, platform))
            except RootlessError as error:
                failure = BuildError(error.message, hint=error.hint)
                failure.step = shown
                step.failed(error.message)
                failure.line, failure.last_line = origin.source.first_line, origin.source.last_line
                raise failure from error
            step.done()
            self._setting.images[reference, platform] = state
        state = state.copy()
        triggers = state.config.pop("OnBuild", None)
        if isinstance(triggers, list):
            self._triggers[number] = triggers
            inherited = tuple(parse_trigger(str(each), origin.source) for each in triggers)
            self._instructions[number] = (*inherited, *self._instructions[number])
        self.bases[number] = state

    def needs(self, number: int) -> tuple[int, ...]:
        """The stages that must be complete before this one."""
        return self.graph.nodes[number].needs

    def is_same_stage(self, number: int, other: PlatformStages) -> bool:
        """Whether a stage and all that it needs are those of another platform too: such as one of the building
        platform that no argument about the target reaches."""
        node, theirs = self.graph.nodes[number], other.graph.nodes[number]
        named = {
            definition.name
            for instruction in self._instructions[number]
            if isinstance(instruction, Arg)
            for definition in instruction.definitions
        }
        return (
            number in other.graph.needed
            and node == theirs
            and self._origins[number] == other._origins[number]
            and self._instructions[number] == other._instructions[number]
            and self._platform_of(number) == other._platform_of(number)
            and all(self._globals.get(name) == other._globals.get(name) for name in named)
            and all(self.is_same_stage(needed, other) for needed in node.needs)
        )

    def work(self, number: int, progress: Progress) -> object:
        """The program of a worker: what one stage has become, and its steps."""
        before = self._setting.workspace
        with Ingest(before.store) as ingest:
            workspace = Workspace(before.store, ingest, before.epoch, before.uppers)
            workspace.imports = before.imports
            self._setting = self._setting._replace(workspace=workspace, progress=progress)
            # Those of the building process read through connections and descriptors that are its own.
            self._inputs = self._new_inputs()
            try:
                state = self.build_stage(number)
            finally:
                workspace.imports.close()
            steps = [(each.key, encode_step(each)) for each in workspace.used.values()]
            materials = [tuple(each) for each in workspace.materials.values()]
            return state.packed(), steps, materials

    def build_stage(self, number: int) -> StageState:
        """Build a stage; what it needs is complete. Raises BuildError."""
        node, origin = self.graph.nodes[number], self._origins[number]
        instructions = self._instructions[number]
        label = stage_label(origin, number) if len(self._origins) > 1 else ""
        labels = (f"{self._prefix(number)}{label}", f"{self._arrow(number)}{label}")
        name_of_step = _step_namer(*labels, instructions)
        if node.base is not None and not node.is_replaced:
            state = self.states[node.base].copy()
            state.config.pop("OnBuild", None)
            name_of_step("")
        else:
            state = self.bases[number].copy()
            if (
                node.is_replaced
                or origin.image == SCRATCH
                or origin.image.lower() in self._inputs.named
            ):
                name_of_step("")
            else:
                reference = str(parse_reference(origin.image).with_default_tag())
                self._setting.progress.begin(name_of_step(f"FROM {reference}")).cached()
        options = self._stage_options(origin.name or str(number))
        platform = self._platform_of(number)
        stages = {each.name: each.stage for each in node.inputs}

        def source(name: str) -> Source:
            found = stages.get(name)
            return self._inputs.source(
                name, None if found is None else self.states[found].layers, platform
            )

        trees = Trees(source)
        builder = StageBuilder(
            self._setting.workspace, trees, options, self._setting.progress, name_of_step
        )
        workspace = self._setting.workspace
        try:
            for instruction in instructions:
                builder.execute(instruction, state)
        except BaseException:
            try:
                workspace.flush()
            except OSError:
                pass  # the first error is the reason
            raise
        workspace.flush()
        return state

    def _root_of(self, number: int) -> int:
        """The stage at whose base a chain of stages begins."""
        base = self.graph.nodes[number].base
        return number if base is None else self._root_of(base)

    def _platform_of(self, number: int) -> Platform | None:
        """The platform of a stage: its own, or that of the stage it starts from, or what is built for."""
        origin = self._origins[number]
        if origin.platform:
            return parse_platform(origin.platform)
        base = self._earlier_stage(number)
        return self.platform if base is None else self._platform_of(base)

    def _earlier_stage(self, number: int) -> int | None:
        """The stage that a stage starts from."""
        image = self._origins[number].image
        names = [each.name for each in self._origins[:number]]
        found = [place for place, name in enumerate(names) if name and name == image]
        return found[-1] if found else None

    def _prefix(self, number: int) -> str:
        """What precedes the names of steps if there are several platforms: the platform of the stage."""
        if len(self._setting.request.platforms) < 2:
            return ""
        return f"{self._platform_of(number)} "

    def _arrow(self, number: int) -> str:
        """The prefix of the steps after FROM in a stage that sees that the target is for another platform."""
        prefix = self._prefix(number)
        own, shown = self._platform_of(number), str(self.platform)
        if not prefix or own is None or own == self.platform or not self._sees_target(number):
            return prefix
        return f"{own}->{shown.removeprefix(f'{own.os}/')} "

    def _sees_target(self, number: int) -> bool:
        return any(
            definition.name == "TARGETPLATFORM"
            for instruction in self._instructions[number]
            if isinstance(instruction, Arg)
            for definition in instruction.definitions
        )

    def _stage_options(self, stage: str) -> StageOptions:
        setting = self._setting
        request = setting.request
        uncached = {each.lower() for each in request.uncached_stages}
        return StageOptions(
            request.build_arguments,
            self._globals,
            setting.dockerfile.escape,
            request.no_cache or stage in uncached,
            f"{setting.context.place} {stage}",
            request.explains,
            request.by_reads,
            request.network,
            request.hosts,
            request.ulimits,
            request.shm_size,
            request.allows_insecure,
            request.allows_host_network,
            MountSources(
                partial(read_secret, request.secrets, setting.host.environ),
                request.agents,
                setting.host.runtime,
            ),
            setting.host.create if request.keeps_failed else None,
            request.keeps_shell,
            self._resume(),
            request.chown,
        )

    def _resume(self) -> Resume | None:
        request, setting = self._setting.request, self._setting
        if not request.resumes and not request.accepts:
            return None
        place, changes = setting.context.place, setting.host.changes
        return Resume(request.resumes, request.accepts, place, changes)


def _step_namer(
    first: str, others: str, instructions: Sequence[Instruction]
) -> Callable[[str], str]:
    """What the steps of a stage are called: `[build 2/4] RUN make`. The first one is FROM."""
    steps = 1 + sum(isinstance(each, Run | Copy | Add | Workdir) for each in instructions)
    width = len(str(steps))
    count = 0

    def named(text: str) -> str:
        nonlocal count
        count += 1
        label = (first if count == 1 else others).strip()
        return f"[{label}{' ' if label else ''}{count:>{width}}/{steps}] {text}"

    return named
