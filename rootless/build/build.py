"""A build, from a Dockerfile and a context to an image in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rootless.build.cache_export import CacheExporter, steps_of_image
from rootless.build.cache_import import import_caches
from rootless.build.checking import platforms_of, with_excerpt
from rootless.build.context import BuildContext, open_context
from rootless.build.errors import BuildError
from rootless.build.export import Exporter
from rootless.build.inputs import BuildInputs, scratch_state
from rootless.build.mounts import MountSources
from rootless.build.progress import Progress, Silence, StepProgress
from rootless.build.request import BuildHost, BuildRequest, BuiltImage
from rootless.build.secrets import read_secret
from rootless.build.sources import Source
from rootless.build.stage import StageBuilder, Trees
from rootless.build.stage_options import StageOptions
from rootless.build.stage_workers import StageWorker, wait_for
from rootless.build.state import StageState
from rootless.build.workspace import Workspace
from rootless.containers.timestamps import source_date_epoch
from rootless.dockerfile.check import CheckContext, check
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.graph import SCRATCH, Graph, stage_graph, stage_label
from rootless.dockerfile.instructions import Add, Copy, Dockerfile, Instruction, Run, Workdir
from rootless.dockerfile.parser import parse, parse_trigger
from rootless.dockerfile.scopes import expand_from, global_variables
from rootless.errors import RootlessError, UsageError
from rootless.oci.platform import host_platform, parse_platform
from rootless.oci.reference import parse_reference, parse_tag
from rootless.store.build_cache import decode_step, encode_step
from rootless.store.ingest import Ingest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.cache_options import CacheExport
    from rootless.oci.reference import Reference


def build(request: BuildRequest, host: BuildHost, progress: Progress | None = None) -> BuiltImage:
    """Build an image and put it where the outputs say, by default into the store.

    Raises BuildError, which says where in the Dockerfile, and UsageError for a malformed tag.
    """
    tags = tuple(map(parse_tag, request.tags))
    given = request.build_arguments.get("SOURCE_DATE_EPOCH")
    epoch = source_date_epoch({"SOURCE_DATE_EPOCH": given} if given else host.environ)
    with Ingest(host.store) as ingest:
        workspace = Workspace(host.store, ingest, epoch)
        context = open_context(request.context, workspace.new_directory)
        try:
            dockerfile = parse(context.text)
            stages = _Build(
                request,
                dockerfile,
                context,
                workspace,
                host=host,
                progress=progress or Silence(),
            )
            return stages.run(tags)
        except DockerfileError as error:
            failure = BuildError(error.message, hint=error.hint)
            failure.line, failure.last_line = error.line, error.last_line
            raise with_excerpt(failure, context) from error
        except BuildError as error:
            raise with_excerpt(error, context) from None


class _Build:
    """One build. States of finished stages are kept by their index."""

    def __init__(
        self,
        request: BuildRequest,
        dockerfile: Dockerfile,
        context: BuildContext,
        workspace: Workspace,
        *,
        host: BuildHost,
        progress: Progress,
    ) -> None:
        self._request = request
        self._dockerfile = dockerfile
        self._workspace = workspace
        self._host = host
        self._progress = progress
        self._states: dict[int, StageState] = {}
        self._bases: dict[int, StageState] = {}
        self._context = context
        self._inputs = BuildInputs(workspace, request, host, context)

    def run(self, tags: tuple[Reference, ...]) -> BuiltImage:
        dockerfile, request = self._dockerfile, self._request
        self._globals = global_variables(dockerfile, platforms_of(request), request.build_arguments)
        self._origins = [
            expand_from(each.origin, self._globals, dockerfile.escape) for each in dockerfile.stages
        ]
        step = self._progress.begin("[internal] load build definition from " + self._context.name)
        step.done()
        self._workspace.imports = import_caches(
            request.cache_from, self._host.environ, self._progress
        )
        self._graph = self._resolve()
        self._check(step)
        self._build_stages()
        target = self._graph.target
        exporter = Exporter(self._workspace, request, self._host, self._progress)
        base = self._bases.get(self._root_of(target))
        built = exporter.export(self._states[target], base, tags)
        for where in request.cache_to:
            if not where.is_inline:
                self._export_cache(where, self._states[target])
        return built

    def _export_cache(self, where: CacheExport, state: StageState) -> None:
        """Write the steps of the build to a place of --cache-to. Raises BuildError."""
        workspace = self._workspace
        to = "client directory" if where.reference is None else "registry"
        step = self._progress.begin(f"exporting cache to {to}")
        steps = (
            tuple(workspace.used.values())
            if where.is_whole
            else steps_of_image(workspace.used, state.layers)
        )
        exporter = CacheExporter(workspace.store, self._host.environ, workspace.scratch)
        try:
            exporter.export(where, steps, step)
        except (RootlessError, OSError) as error:
            message = f"error writing the cache: {error}"
            step.failed(message)
            if where.ignores_errors:
                return
            failure = BuildError(message)
            failure.step = f"exporting cache to {to}"
            raise failure from error
        step.done()

    def _check(self, step: StepProgress) -> None:
        """Show what is probably a mistake. Raises DockerfileError if the Dockerfile asks for that."""
        request = self._request
        found = check(
            self._context.text,
            CheckContext(
                platforms_of(request),
                request.build_arguments,
                request.target,
                tuple(request.contexts),
                self._context.patterns,
                {number: state.config for number, state in self._bases.items()},
                self._graph.needed,
            ),
        )
        for each in found.findings:
            step.note(f"WARN: {each.short}")
            self._progress.warn(each.short)
        if found.error is not None:
            raise found.error

    # Stages

    def _resolve(self) -> Graph:
        """The graph of the stages, with the triggers of their base images, which may need further stages."""
        stages = self._dockerfile.stages
        self._instructions = [each.instructions for each in stages]
        while True:
            graph = stage_graph(
                self._origins,
                self._instructions,
                self._request.target,
                tuple(self._request.contexts),
            )
            missing = [
                number
                for number in graph.needed
                if number not in self._bases
                and (graph.nodes[number].base is None or graph.nodes[number].is_replaced)
            ]
            if not missing:
                return graph
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
            self._bases[number] = self._inputs.state_of_context(context)
            return
        if origin.image == SCRATCH:
            self._bases[number] = scratch_state(self._request.platform or host_platform())
            return
        try:
            reference = str(parse_reference(origin.image).with_default_tag())
        except UsageError as error:
            failure = BuildError(
                f"failed to parse stage name {quoted(origin.image)}: {error.message}"
            )
            failure.line, failure.last_line = origin.source.first_line, origin.source.last_line
            raise failure from error
        step = self._progress.begin(f"[internal] load metadata for {reference}")
        try:
            platform = (
                parse_platform(origin.platform) if origin.platform else self._request.platform
            )
            state = self._inputs.state_of(self._inputs.image(origin.image, platform))
            triggers = state.config.pop("OnBuild", None)
            if isinstance(triggers, list):
                inherited = tuple(parse_trigger(str(each), origin.source) for each in triggers)
                self._instructions[number] = (*inherited, *self._instructions[number])
        except RootlessError as error:
            failure = BuildError(error.message, hint=error.hint)
            failure.step = f"[internal] load metadata for {reference}"
            step.failed(error.message)
            failure.line, failure.last_line = origin.source.first_line, origin.source.last_line
            raise failure from error
        self._bases[number] = state
        step.done()

    def _build_stages(self) -> None:
        """Build all stages that are needed, those that do not need one another at the same time."""
        waiting = list(self._graph.needed)
        workers: list[StageWorker] = []
        try:
            while waiting or workers:
                ready = [
                    n for n in waiting if self._states.keys() >= set(self._graph.nodes[n].needs)
                ]
                if not workers and (len(ready) == 1 or self._request.jobs == 1):
                    self._states[ready[0]] = self._build_stage(ready[0])
                    waiting.remove(ready[0])
                    continue
                for number in ready[: self._request.jobs - len(workers)]:
                    workers.append(StageWorker(number, partial(self._work, number)))
                    waiting.remove(number)
                ended = wait_for(workers, self._progress)
                workers.remove(ended)
                self._states[ended.number] = self._taken_over(ended)
        except BaseException:
            for worker in workers:
                worker.kill()
            raise

    def _work(self, number: int, progress: Progress) -> object:
        """The program of a worker: what one stage has become."""
        store, imports = self._workspace.store, self._workspace.imports
        with Ingest(store) as ingest:
            self._workspace = Workspace(store, ingest, self._workspace.epoch)
            self._workspace.imports = imports
            self._progress = progress
            # Those of the building process read through connections and descriptors that are its own.
            self._inputs = BuildInputs(self._workspace, self._request, self._host, self._context)
            state = self._build_stage(number)
            steps = [(each.key, encode_step(each)) for each in self._workspace.used.values()]
            return state.packed(), steps

    def _taken_over(self, worker: StageWorker) -> StageState:
        """What a stage of a worker has become, with its layers kept for this build. Raises BuildError."""
        packed, steps = worker.result()
        state = StageState.unpacked(packed)
        for key, record in steps:
            self._workspace.used[key] = decode_step(record, key, "a step")
        for layer in state.layers:
            if not (
                self._workspace.ingest.keep_layer(layer.diff_id)
                and self._workspace.ingest.keep_blob(layer.digest)
            ):
                raise BuildError(f"layer {layer.diff_id} was removed meanwhile")
        return state

    def _build_stage(self, number: int) -> StageState:
        node, origin = self._graph.nodes[number], self._origins[number]
        instructions = self._instructions[number]
        name_of_step = _step_namer(
            stage_label(origin, number) if len(self._origins) > 1 else "", instructions
        )
        if node.base is not None and not node.is_replaced:
            state = self._states[node.base].copy()
            name_of_step("")
        else:
            state = self._bases[number].copy()
            if (
                node.is_replaced
                or origin.image == SCRATCH
                or origin.image.lower() in self._inputs.named
            ):
                name_of_step("")
            else:
                reference = str(parse_reference(origin.image).with_default_tag())
                self._progress.begin(name_of_step(f"FROM {reference}")).cached()
        options = self._stage_options(origin.name or str(number))
        stages = {each.name: each.stage for each in node.inputs}

        def source(name: str) -> Source:
            found = stages.get(name)
            return self._inputs.source(name, None if found is None else self._states[found].layers)

        trees = Trees(source)
        builder = StageBuilder(self._workspace, trees, options, self._progress, name_of_step)
        for instruction in instructions:
            builder.execute(instruction, state)
        return state

    def _root_of(self, number: int) -> int:
        """The stage at whose base a chain of stages begins."""
        base = self._graph.nodes[number].base
        return number if base is None else self._root_of(base)

    def _stage_options(self, stage: str) -> StageOptions:
        request = self._request
        uncached = {each.lower() for each in request.uncached_stages}
        return StageOptions(
            request.build_arguments,
            self._globals,
            self._dockerfile.escape,
            request.no_cache or stage in uncached,
            f"{self._context.place} {stage}",
            request.explains,
            request.by_reads,
            request.network,
            request.hosts,
            request.ulimits,
            request.shm_size,
            request.allows_insecure,
            MountSources(
                partial(read_secret, request.secrets, self._host.environ),
                request.agents,
                self._host.runtime,
            ),
            self._host.create if request.keeps_failed else None,
            request.keeps_shell,
        )


def _step_namer(label: str, instructions: Sequence[Instruction]) -> Callable[[str], str]:
    """What the steps of a stage are called: `[build 2/4] RUN make`. The first one is FROM."""
    steps = 1 + sum(isinstance(each, Run | Copy | Add | Workdir) for each in instructions)
    width = len(str(steps))
    prefix = f"{label} " if label else ""
    count = 0

    def named(text: str) -> str:
        nonlocal count
        count += 1
        return f"[{prefix}{count:>{width}}/{steps}] {text}"

    return named
