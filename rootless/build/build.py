"""A build, from a Dockerfile and a context to an image in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

from rootless.build.cache_directory import export_steps
from rootless.build.context import BuildContext, ContextRequest, open_context
from rootless.build.copying import CopyItem, CopyPlan, copy_members
from rootless.build.errors import BuildError
from rootless.build.keys import files_key
from rootless.build.mounts import MountSources
from rootless.build.named_contexts import ContextKind, NamedContext, load_layout, named_context
from rootless.build.outputs import Output, OutputKind, squashed, write_files
from rootless.build.progress import Progress, Silence, StepProgress
from rootless.build.sources import Source
from rootless.build.stage import StageBuilder, StageOptions, Trees
from rootless.build.stage_workers import StageWorker, wait_for
from rootless.build.state import COMMENT, StageState
from rootless.build.workspace import Workspace
from rootless.containers.timestamps import source_date_epoch
from rootless.dockerfile.check import CheckContext, check
from rootless.dockerfile.errors import DockerfileError, excerpt, quoted
from rootless.dockerfile.graph import SCRATCH, Graph, stage_graph, stage_label
from rootless.dockerfile.instructions import Add, Copy, Dockerfile, Instruction, Run, Workdir
from rootless.dockerfile.parser import parse, parse_trigger
from rootless.dockerfile.rules import report
from rootless.dockerfile.scopes import (
    BuildPlatform,
    expand_from,
    global_variables,
    platform_arguments,
)
from rootless.errors import RootlessError, UsageError
from rootless.images.new_image import new_image
from rootless.images.save import Format, save_image
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor
from rootless.oci.platform import Platform, host_platform, parse_platform
from rootless.oci.reference import parse_reference, parse_tag
from rootless.spec.options import DEFAULT_SHM_SIZE, HostEntry, Ulimit
from rootless.store.build_cache import BuiltLayer, decode_step, encode_step
from rootless.store.image import resolve
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST
from unionfs.tar.writer import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.reference import Reference
    from rootless.store.image import Image

_KEPT = frozenset(("architecture", "os", "variant", "os.version", "os.features", "author"))
"""What an image has of the config of its base, besides `config`, layers and history."""


FindImage: TypeAlias = "Callable[[str, Platform | None, bool], Image]"


class BuiltImage(NamedTuple):
    """The result: the id, the digest of the manifest and the names; empty where the output is not an
    image."""

    id: str = ""
    digest: str = ""
    tags: tuple[Reference, ...] = ()


class SecretSource(NamedTuple):
    """Where a secret is: in a file, or in a variable of the environment."""

    id: str
    path: str | None = None
    variable: str | None = None


class BuildHost(NamedTuple):
    """What a build has of the engine. `find_image` gives an image by its name, for a platform, pulled anew if
    the third argument says so. `runtime` is the engine's directory in memory."""

    store: Store
    find_image: FindImage
    environ: Mapping[str, str]
    runtime: str
    forget: Callable[[str], None]
    """Removes an entry of the index of names by its digest, with what only that needs."""


class BuildRequest(NamedTuple):
    """What to build. Paths are of the host."""

    context: ContextRequest
    tags: tuple[str, ...] = ()
    build_arguments: Mapping[str, str] = {}
    target: str = ""
    labels: Mapping[str, str] = {}
    platform: Platform | None = None
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    """Of RUN: default, host or none."""
    hosts: tuple[HostEntry, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = DEFAULT_SHM_SIZE
    """Bytes."""
    allows_insecure: bool = False
    secrets: tuple[SecretSource, ...] = ()
    agents: Mapping[str, str] = {}
    """Sockets of SSH agents by id."""
    contexts: Mapping[str, str] = {}
    """Named contexts: a directory, docker-image://NAME, oci-layout://DIRECTORY[:TAG], or a URL."""
    outputs: tuple[Output, ...] = (Output(),)
    uncached_stages: tuple[str, ...] = ()
    """Names of stages whose steps are all done again."""
    annotations: Mapping[str, str] = {}
    """Of the manifest."""
    cache_from: tuple[str, ...] = ()
    """Directories that `cache_to` of other builds has written."""
    cache_to: tuple[str, ...] = ()
    """Directories that the steps of this build are written to."""
    jobs: int = 1
    """How many stages are built at the same time at most."""
    squash: bool = False
    """Make one layer of all those over the base."""


def build(request: BuildRequest, host: BuildHost, progress: Progress | None = None) -> BuiltImage:
    """Build an image and put it where the outputs say, by default into the store.

    Raises BuildError, which says where in the Dockerfile, and UsageError for a malformed tag.
    """
    tags = tuple(map(parse_tag, request.tags))
    given = request.build_arguments.get("SOURCE_DATE_EPOCH")
    epoch = source_date_epoch({"SOURCE_DATE_EPOCH": given} if given else host.environ)
    with Ingest(host.store) as ingest:
        workspace = Workspace(host.store, ingest, epoch)
        workspace.imports = request.cache_from
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
            raise _with_excerpt(failure, context) from error
        except BuildError as error:
            raise _with_excerpt(error, context) from None


def _with_excerpt(error: BuildError, context: BuildContext) -> BuildError:
    if error.line:
        error.excerpt = excerpt(context.text, context.name, error.line, error.last_line)
    return error


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
        self._context_source: Source | None = None
        self._sources: dict[str, Source] = {}
        self._named = {name.lower(): named_context(text) for name, text in request.contexts.items()}

    def run(self, tags: tuple[Reference, ...]) -> BuiltImage:
        dockerfile, request = self._dockerfile, self._request
        host = host_platform()
        platforms = _shown(host), _shown(request.platform or host)
        self._globals = global_variables(
            dockerfile,
            platform_arguments(*platforms, request.target.lower()),
            request.build_arguments,
        )
        self._origins = [
            expand_from(each.origin, self._globals, dockerfile.escape) for each in dockerfile.stages
        ]
        step = self._progress.begin("[internal] load build definition from " + self._context.name)
        step.done()
        self._graph = self._resolve()
        self._check(step)
        self._build_stages()
        built = self._export(self._states[self._graph.target], tags)
        for directory in request.cache_to:
            step = self._progress.begin("exporting cache to client directory")
            try:
                steps = self._workspace.used.values()
                export_steps(self._workspace.store, steps, directory)
            except OSError as error:
                reason = (error.strerror or "").lower()
                step.failed(reason)
                raise BuildError(f"failed to export cache to {directory}: {reason}") from error
            step.done()
        return built

    def _check(self, step: StepProgress) -> None:
        """Show what is probably a mistake. Raises DockerfileError if the Dockerfile asks for that."""
        host = host_platform()
        request = self._request
        arguments = platform_arguments(
            _shown(host), _shown(request.platform or host), request.target.lower()
        )
        found = check(
            self._context.text,
            CheckContext(
                arguments,
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
        context = self._named.get(name.lower())
        if is_replaced:
            self._instructions[number] = ()
        if context is not None:
            self._bases[number] = self._state_of_context(context)
            return
        if origin.image == SCRATCH:
            self._bases[number] = _scratch(self._request.platform or host_platform())
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
            state = self._state_of(self._image(origin.image, platform))
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
        store = self._workspace.store
        with Ingest(store) as ingest:
            self._workspace = Workspace(store, ingest, self._workspace.epoch)
            self._workspace.imports = self._request.cache_from
            self._progress = progress
            # Those of the building process read through connections and descriptors that are its own.
            self._sources, self._context_source = {}, None
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
            if node.is_replaced or origin.image == SCRATCH or origin.image.lower() in self._named:
                name_of_step("")
            else:
                reference = str(parse_reference(origin.image).with_default_tag())
                self._progress.begin(name_of_step(f"FROM {reference}")).cached()
        options = self._stage_options(origin.name or str(number))
        stages = {each.name: each.stage for each in node.inputs}
        trees = Trees(lambda name: self._source(name, stages.get(name)))
        builder = StageBuilder(self._workspace, trees, options, self._progress, name_of_step)
        for instruction in instructions:
            builder.execute(instruction, state)
        return state

    def _stage_options(self, stage: str) -> StageOptions:
        request = self._request
        uncached = {each.lower() for each in request.uncached_stages}
        return StageOptions(
            request.build_arguments,
            self._globals,
            self._dockerfile.escape,
            request.no_cache or stage in uncached,
            request.network,
            request.hosts,
            request.ulimits,
            request.shm_size,
            request.allows_insecure,
            MountSources(self._secret, request.agents, self._host.runtime),
        )

    def _secret(self, name: str) -> bytes | None:
        """A secret by its id. Raises BuildError if it cannot be read."""
        found = next((each for each in self._request.secrets if each.id == name), None)
        if found is None:
            return None
        if found.variable is not None:
            value = self._host.environ.get(found.variable)
            return None if value is None else value.encode(errors="surrogateescape")
        try:
            return Path(found.path or "").read_bytes()
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise BuildError(f"failed to read secret {name}: {reason}") from error

    def _image(self, name: str, platform: Platform | None) -> Image:
        """Raises BuildError if it cannot be had."""
        try:
            return self._host.find_image(name, platform, self._request.pull)
        except RootlessError as error:
            reference = parse_reference(name).with_default_tag()
            raise BuildError(
                f"{name}: failed to resolve source metadata for {reference}: {error.message}",
                hint=error.hint,
            ) from error

    def _state_of(self, image: Image) -> StageState:
        layers = self._layers_of(image)
        document: Json = {
            key: value for key, value in image.image_config.document.items() if key in _KEPT
        }
        key = files_key(image.chain_id if layers else SCRATCH)
        return StageState(document, dict(image.config), image.image_config.history, layers, key)

    def _layers_of(self, image: Image) -> tuple[BuiltLayer, ...]:
        from rootless.images.commit import keep_base

        descriptors = keep_base(self._workspace.store, self._workspace.ingest, image)
        return tuple(
            BuiltLayer(diff_id, each.digest, each.size, each.media_type)
            for diff_id, each in zip(image.diff_ids, descriptors, strict=True)
        )

    # Sources

    def _source(self, name: str, stage: int | None) -> Source:
        """What --from names: a stage, or else an image."""
        if not name:
            return self._build_context()
        key = name if stage is None else f"stage {stage}"
        known = self._sources.get(key)
        context = self._named.get(name.lower())
        if known is None and context is not None:
            known = self._sources[key] = self._source_of_context(name, context)
        if known is None:
            if stage is None:
                layers = self._layers_of(self._image(name, self._request.platform))
            else:
                layers = self._states[stage].layers
            known = self._sources[key] = self._workspace.layer_source(layers)
        return known

    def _source_of_context(self, name: str, context: NamedContext) -> Source:
        if context.kind is ContextKind.IMAGE:
            return self._workspace.layer_source(self._layers_of(self._image_of_context(context)))
        request = ContextRequest(directory=context.value, text="")
        if context.kind is ContextKind.URL:
            request = ContextRequest(url=context.value, text="")
        make = self._workspace.new_directory
        return open_context(request, lambda kind: make(f"{kind}-{name}")).source()

    def _image_of_context(self, context: NamedContext) -> Image:
        if not context.layout:
            return self._image(context.value, self._request.platform)
        return resolve(self._workspace.store, load_layout(self._workspace.store, context))

    def _state_of_context(self, context: NamedContext) -> StageState:
        """A stage that is what a named context has: an image, or the files of a directory."""
        if context.kind is ContextKind.IMAGE:
            return self._state_of(self._image_of_context(context))
        state = _scratch(self._request.platform or host_platform())
        item = CopyItem(self._source_of_context("base", context), b"", b"")
        empty = self._workspace.snapshot(())
        pieces = archive(copy_members(CopyPlan((item,), "/", link=True), empty))
        layer = self._workspace.add_layer(pieces, "the layer of a context")
        empty.close()
        state.layers = (layer,)
        state.key = files_key(layer.diff_id)
        return state

    def _build_context(self) -> Source:
        if self._context_source is None:
            self._context_source = self._context.source()
        return self._context_source

    # The result

    def _export(self, state: StageState, tags: tuple[Reference, ...]) -> BuiltImage:
        step = self._progress.begin("exporting to image")
        try:
            if self._request.squash:
                self._squash(state)
            built = BuiltImage()
            for output in self._request.outputs:
                if output.kind in {OutputKind.LOCAL, OutputKind.TAR}:
                    tree = self._workspace.snapshot(state.layers)
                    write_files(tree, output)
                    tree.close()
                else:
                    named = (*tags, *map(parse_tag, output.names))
                    built = self._export_image(state, output, tuple(dict.fromkeys(named)), step)
        except (RootlessError, OSError) as error:
            step.failed(str(error))
            raise
        step.done()
        return built

    def _export_image(
        self, state: StageState, output: Output, tags: tuple[Reference, ...], step: StepProgress
    ) -> BuiltImage:
        config = dict(state.config)
        if self._request.labels:
            known = config.get("Labels")
            config["Labels"] = {
                **(known if isinstance(known, dict) else {}),
                **self._request.labels,
            }
        document = image_document(state, config, self._workspace.now())
        descriptors = tuple(
            Descriptor(layer.media_type, layer.digest, layer.size) for layer in state.layers
        )
        ingest, store = self._workspace.ingest, self._workspace.store
        annotations = self._request.annotations
        image = new_image(ingest, encode(document), descriptors, tags, annotations)
        image_id = image.manifest.annotations[CONFIG_DIGEST]
        built = BuiltImage(image_id, image.manifest.digest, tags)
        if output.destination is None:
            ingest.publish([image])
            step.note(f"writing image {image_id} done")
            for tag in tags:
                step.note(f"naming to {tag} done")
            return built
        # An archive is written of an image of the store; one that was not there before goes again.
        was_there = any(
            each.digest == image.manifest.digest for each in store.read_index().manifests
        )
        ingest.publish([image._replace(tags=())])
        try:
            save_image(store, resolve(store, image_id), tags, output.destination, _format(output))
        finally:
            if not was_there:
                self._host.forget(image.manifest.digest)
        return built

    def _squash(self, state: StageState) -> None:
        """One layer in the place of all those over the base."""
        base = self._bases.get(self._root_of(self._graph.target))
        count = len(base.layers) if base is not None else 0
        if len(state.layers) - count < 2:
            return
        below, above = (
            self._workspace.snapshot(layers) for layers in (state.layers[:count], state.layers)
        )
        single = self._workspace.single_layers(state.layers[count:])
        layer = self._workspace.add_layer(squashed(single, below, above), "the layer of the image")
        for each in single:
            each.close()
        below.close()
        above.close()
        history = [dict(each) for each in state.history if isinstance(each, dict)]
        for entry in history[len(base.history) if base is not None else 0 :]:
            entry["empty_layer"] = True
        history.append({"created": self._workspace.now(), "comment": "squashed", "created_by": ""})
        state.history = [*history]
        state.layers = (*state.layers[:count], layer)

    def _root_of(self, number: int) -> int:
        """The stage at whose base a chain of stages begins."""
        base = self._graph.nodes[number].base
        return number if base is None else self._root_of(base)


def image_document(state: StageState, config: Json, now: str) -> Json:
    """The config document of a stage's image. Steps that made no layer get the time of the layer before
    them, or after them, so that a build that makes nothing new gives the same image again."""
    history: list[Json] = [dict(each) for each in state.history if isinstance(each, dict)]
    made = [str(each["created"]) for each in history if each.get("created")]
    first = next(
        (
            str(each["created"])
            for i, each in enumerate(history)
            if each.get("created") and any(not other.get("created") for other in history[:i])
        ),
        made[-1] if made else now,
    )
    latest = ""
    for entry in history:
        if entry.get("created"):
            latest = str(entry["created"])
        elif entry.get("comment") == COMMENT:
            entry["created"] = latest if latest and latest != made[0] else first
    created = str(history[-1]["created"]) if history else now
    return {
        "created": created,
        **state.document,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in state.layers]},
        "history": history,
    }


def _scratch(platform: Platform) -> StageState:
    document: Json = {"architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        document["variant"] = platform.variant
    return StageState(document, {"WorkingDir": "/"}, (), (), files_key(SCRATCH))


def _format(output: Output) -> Format:
    if output.kind is OutputKind.DOCKER:
        return Format.DOCKER_ARCHIVE
    return Format.OCI_DIR if output.is_directory else Format.OCI_ARCHIVE


def _shown(platform: Platform) -> BuildPlatform:
    return BuildPlatform(platform.os, platform.architecture, platform.variant or "")


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


def check_dockerfile(request: BuildRequest, workspace: Workspace) -> str:
    """What `build --check` prints: the findings in the Dockerfile. Raises BuildError for one that cannot be
    built."""
    context = open_context(request.context, workspace.new_directory)
    host = host_platform()
    platforms = _shown(host), _shown(request.platform or host)
    found = check(
        context.text,
        CheckContext(
            platform_arguments(*platforms, request.target.lower()),
            request.build_arguments,
            request.target,
            tuple(request.contexts),
            context.patterns,
        ),
    )
    text = report(found.findings, context.text, context.name, is_whole=found.error is None)
    if found.error is not None and not found.findings:
        failure = BuildError(found.error.message)
        failure.line, failure.last_line = found.error.line, found.error.last_line
        raise _with_excerpt(failure, context)
    return text
