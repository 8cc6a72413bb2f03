"""A build, from a Dockerfile and a context to an image in the store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rootless.build.cache.importing import import_caches
from rootless.build.checking import with_excerpt
from rootless.build.errors import BuildError
from rootless.build.export import Exporter, PlatformResult
from rootless.build.files.context import open_context
from rootless.build.platform_stages import BuildSetting, PlatformStages
from rootless.build.progress import Progress, Silence, StepProgress
from rootless.build.provenance import Material
from rootless.build.request import BuildHost, BuildRequest, BuiltImage
from rootless.build.stage_workers import StageWorker, wait_for
from rootless.build.state import StageState
from rootless.build.workspace import Workspace
from rootless.containers.timestamps import now, source_date_epoch
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.syntax.parser import parse
from rootless.errors import RootlessError
from rootless.oci.platform import Platform, host_platform
from rootless.oci.reference import parse_tag
from rootless.store.build_cache import decode_step, steps_of_image
from rootless.store.ingest import Ingest
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.cache.options import CacheExport
    from rootless.oci.reference import Reference


def build(request: BuildRequest, host: BuildHost, progress: Progress | None = None) -> BuiltImage:
    """Build an image and put it where the outputs say, by default into the store.

    Raises BuildError, which says where in the Dockerfile, and UsageError for a malformed tag.
    """
    tags = tuple(map(parse_tag, request.tags))
    given = request.build_arguments.get("SOURCE_DATE_EPOCH")
    epoch = source_date_epoch({"SOURCE_DATE_EPOCH": given} if given else host.environ)
    host.store.require_writable()
    with Ingest(host.store) as ingest:
        workspace = Workspace(host.store, ingest, epoch, host.uppers)
        context = open_context(request.context, workspace.new_directory)
        try:
            setting = BuildSetting(
                request, parse(context.text), context, workspace, host, progress or Silence(), {}
            )
            return _Build(setting).run(tags)
        except DockerfileError as error:
            failure = BuildError(error.message, hint=error.hint)
            failure.line, failure.last_line = error.line, error.last_line
            raise with_excerpt(failure, context) from error
        except BuildError as error:
            raise with_excerpt(error, context) from None
        finally:
            workspace.imports.close()


class _Task(NamedTuple):
    """A stage to build."""

    stages: PlatformStages
    number: int


class _Build:
    """One build, for one platform or several."""

    def __init__(self, setting: BuildSetting) -> None:
        self._setting = setting
        self._started = now()

    def run(self, tags: tuple[Reference, ...]) -> BuiltImage:
        setting = self._setting
        request, progress = setting.request, setting.progress
        platforms: list[PlatformStages] = [
            PlatformStages(setting, each) for each in request.platforms or (None,)
        ]
        step = progress.begin(f"[internal] load build definition from {setting.context.name}")
        step.done()
        setting.workspace.imports = import_caches(
            request.cache_from, setting.host.environ, progress
        )
        for each in platforms:
            each.resolve()
        self._check(platforms, step)
        self._build_stages(platforms)
        results = [
            PlatformResult(
                each.platform or host_platform(), each.target, each.base_of_target, each.materials
            )
            for each in platforms
        ]
        exporter = Exporter(setting.workspace, request, setting.host, progress)
        if request.provenance is not None:
            from rootless.build.attestations import Provenance
            from rootless.build.invocation import invocation

            made = invocation(request, setting.context.name, self._started)
            exporter.provenance = Provenance(request.provenance, made)
        built = exporter.export(results, tags)
        for where in request.cache_to:
            if not where.is_inline:
                self._export_cache(where, [each.state for each in results])
        return built

    def _check(self, platforms: Sequence[PlatformStages], step: StepProgress) -> None:
        """Show what is probably a mistake, each once. Raises DockerfileError if the Dockerfile asks for that."""
        shown: dict[str, None] = {}
        for found in [each.check() for each in platforms]:
            for each in found.findings:
                if each.short not in shown:
                    shown[each.short] = None
                    step.note(f"WARN: {each.short}")
                    self._setting.progress.warn(each.short)
            if found.error is not None:
                raise found.error

    def _build_stages(self, platforms: Sequence[PlatformStages]) -> None:
        """Build all stages that are needed, those that do not need one another at the same time. One that is the
        same for two platforms is built once."""
        request, progress = self._setting.request, self._setting.progress
        waiting: list[_Task] = []
        same: dict[_Task, _Task] = {}
        for stages in platforms:
            for number in stages.graph.needed:
                task = _Task(stages, number)
                twins = (each for each in waiting if each.number == number)
                twin = next(
                    (each for each in twins if stages.is_same_stage(number, each.stages)), None
                )
                if twin is None:
                    waiting.append(task)
                else:
                    same[task] = twin

        def finish(task: _Task, state: StageState) -> None:
            task.stages.states[task.number] = state
            for (stages, number), twin in same.items():
                if twin == task:
                    stages.states[number] = state

        workers: dict[StageWorker, _Task] = {}
        try:
            while waiting or workers:
                ready = [
                    each
                    for each in waiting
                    if each.stages.states.keys() >= set(each.stages.needs(each.number))
                ]
                if not workers and (len(ready) == 1 or request.jobs == 1):
                    finish(ready[0], ready[0].stages.build_stage(ready[0].number))
                    waiting.remove(ready[0])
                    continue
                for task in ready[: request.jobs - len(workers)]:
                    workers[StageWorker(partial(task.stages.work, task.number))] = task
                    waiting.remove(task)
                ended = wait_for(list(workers), progress)
                task = workers.pop(ended)
                finish(task, self._taken_over(ended))
        except BaseException:
            for worker in workers:
                worker.kill()
            raise

    def _taken_over(self, worker: StageWorker) -> StageState:
        """What a stage of a worker has become, with its layers kept for this build. Raises BuildError."""
        workspace = self._setting.workspace
        packed, steps, materials = worker.result()
        for uri, algorithm, digest, platform in materials:
            workspace.add_material(
                Material(uri, algorithm, digest, platform and Platform(*platform))
            )
        state = StageState.unpacked(packed)
        for key, record in steps:
            workspace.used[key] = decode_step(record, key, "a step")
        for layer in state.layers:
            if not (
                workspace.ingest.keep_layer(layer.diff_id)
                and workspace.ingest.keep_blob(layer.digest)
            ):
                raise BuildError(f"layer {layer.diff_id} was removed meanwhile")
        return state

    def _export_cache(self, where: CacheExport, states: Sequence[StageState]) -> None:
        """Write the steps of the build to a place of --cache-to. Raises BuildError."""
        from rootless.build.cache.exporting import CacheExporter

        setting = self._setting
        workspace = setting.workspace
        to = "client directory" if where.reference is None else "registry"
        step = setting.progress.begin(f"exporting cache to {to}")
        layers = [layer for state in states for layer in state.layers]
        steps = (
            tuple(workspace.used.values())
            if where.is_whole
            else steps_of_image(workspace.used, layers)
        )
        exporter = CacheExporter(workspace.store, setting.host.environ, workspace.scratch)
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
