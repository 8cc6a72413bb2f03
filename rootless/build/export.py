"""The result of a build: an image in the store or in an archive, or its files."""

from __future__ import annotations

from contextlib import ExitStack

from rootless.build.cache.manifest import INLINE, CacheRecord, inline_records
from rootless.build.errors import BuildError
from rootless.build.files.sources import LayerSource
from rootless.build.outputs import Output, OutputKind, PlatformTree, write_files
from rootless.build.progress import Progress, StepProgress
from rootless.build.request import BuildHost, BuildRequest, BuiltImage
from rootless.build.state import COMMENT, StageState
from rootless.build.workspace import Workspace
from rootless.errors import RootlessError
from rootless.images.new_image import new_image
from rootless.oci import media_types
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor, empty_index
from rootless.oci.platform import choose_platform, host_platform
from rootless.oci.reference import parse_tag
from rootless.store.build_cache import steps_of_image
from rootless.store.image import resolve
from rootless.store.ingest import NewImage
from rootless.store.names import CONFIG_DIGEST
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.build.attestations import Provenance
    from rootless.build.provenance import Material
    from rootless.images.save import Format
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference


class PlatformResult(NamedTuple):
    """The result of a build for one platform, and its base."""

    platform: Platform
    state: StageState
    base: StageState | None
    materials: tuple[Material, ...] = ()


class Exporter:
    """Writes the result of one build.

    Attributes:
        provenance: Attests how the images were built; None: nothing is attested.
    """

    provenance: Provenance | None = None

    def __init__(
        self, workspace: Workspace, request: BuildRequest, host: BuildHost, progress: Progress
    ) -> None:
        self._workspace = workspace
        self._request = request
        self._host = host
        self._progress = progress

    def export(self, results: Sequence[PlatformResult], tags: tuple[Reference, ...]) -> BuiltImage:
        """Write what was built for each platform where the outputs of the request say. Raises BuildError,
        RootlessError, OSError."""
        step = self._progress.begin("exporting to image")
        try:
            if self._request.squash:
                for each in results:
                    self._squash(each.state, each.base)
            built = BuiltImage()
            for output in self._request.outputs:
                if output.kind in {OutputKind.LOCAL, OutputKind.TAR}:
                    self._export_files(results, output)
                else:
                    named = (*tags, *map(parse_tag, output.names))
                    built = self._export_image(results, output, tuple(dict.fromkeys(named)), step)
        except (RootlessError, OSError) as error:
            step.failed(str(error))
            raise
        step.done()
        return built

    def _export_files(self, results: Sequence[PlatformResult], output: Output) -> None:
        with ExitStack() as stack:
            trees = []
            for each in results:
                tree = self._workspace.snapshot(each.state.layers)
                stack.callback(tree.close)
                said = None
                if self.provenance is not None:
                    said = self.provenance.of_files(LayerSource(tree), each.materials)
                trees.append(PlatformTree(each.platform, tree, said, self._workspace.now_ns()))
            write_files(trees, output)

    def _export_image(
        self,
        results: Sequence[PlatformResult],
        output: Output,
        tags: tuple[Reference, ...],
        step: StepProgress,
    ) -> BuiltImage:
        if (
            output.kind is OutputKind.DOCKER
            and output.destination is not None
            and (len(results) > 1 or self.provenance is not None)
        ):
            raise BuildError(
                "docker exporter does not support exporting manifest lists, use the oci exporter instead"
            )
        ingest, store = self._workspace.ingest, self._workspace.store
        images = [self._image(each, output, step) for each in results]
        is_index = len(images) > 1 or self.provenance is not None
        image = self._index(results, images, tags) if is_index else images[0]
        image = image._replace(tags=tags)
        descriptor = image.manifest
        image_id = descriptor.digest if is_index else descriptor.annotations[CONFIG_DIGEST]
        built = BuiltImage(image_id, descriptor._replace(annotations={}), tags)
        if output.destination is None:
            ingest.publish([image])
            step.note(f"writing image {image_id} done")
            for tag in tags:
                step.note(f"naming to {tag} done")
            return built
        # An archive is written of an image of the store; one that was not there before goes again.
        was_there = any(each.digest == descriptor.digest for each in store.read_index().manifests)
        ingest.publish([image._replace(tags=())])
        try:
            found = resolve(store, descriptor.digest)
            from rootless.images.save import save_image

            save_image(store, found, tags, output.destination, _format(output))
        finally:
            if not was_there:
                self._host.forget(descriptor.digest)
        return built

    def _image(self, result: PlatformResult, output: Output, step: StepProgress) -> NewImage:
        """The image for one platform, without a name."""
        state = result.state
        if output.rewrites_times:
            state = self._clamped(state, result.base, step)
        if output.push or self.provenance is not None:
            # Its manifest then has the digest here that it has at a registry.
            state = state.copy()
            state.layers = tuple(map(self._workspace.compressed_layer, state.layers))
        config = dict(state.config)
        if self._request.labels:
            known = config.get("Labels")
            config["Labels"] = {
                **(known if isinstance(known, dict) else {}),
                **self._request.labels,
            }
        return stage_image(
            self._workspace,
            state,
            config,
            (),
            self._request.annotations,
            fields=self._inline_cache(state),
        )

    def _index(
        self,
        results: Sequence[PlatformResult],
        images: Sequence[NewImage],
        tags: Sequence[Reference],
    ) -> NewImage:
        """The index of the images of all platforms, and of what is attested about them. In the store it is known by the
        id of the one that this machine would run, too."""
        manifests = [
            image.manifest._replace(annotations={}, platform=result.platform)
            for result, image in zip(results, images, strict=True)
        ]
        if self.provenance is not None:
            manifests += [
                self.provenance.attest(
                    self._workspace.ingest, manifest, result.platform, tags, result.materials
                )
                for result, manifest in zip(results, tuple(manifests), strict=True)
            ]
        data = empty_index().with_manifests(tuple(manifests)).encode()
        digest = self._workspace.ingest.add_document(data)
        own = choose_platform(host_platform(), [each.platform for each in results]) or 0
        noted = {CONFIG_DIGEST: images[own].manifest.annotations[CONFIG_DIGEST]}
        return NewImage(Descriptor(media_types.OCI_INDEX, digest, len(data), noted), ())

    def _inline_cache(self, state: StageState) -> Json:
        """The field of the config document that --cache-to type=inline asks for."""
        if not any(each.is_inline for each in self._request.cache_to):
            return {}
        positions: dict[str, int] = {}
        for i, layer in enumerate(state.layers):
            positions.setdefault(layer.diff_id, i)
        records = {
            each.key: CacheRecord(positions[each.layer.diff_id], each.created)
            for each in steps_of_image(self._workspace.used, state.layers)
        }
        return {INLINE: inline_records(records)}

    def _clamped(
        self, state: StageState, base: StageState | None, step: StepProgress
    ) -> StageState:
        """The state with no time after SOURCE_DATE_EPOCH in the layers and the history over the base: those of
        steps in the cache may be of another time."""
        epoch = self._workspace.epoch
        if epoch is None:
            step.note("rewrite-timestamp is set, but SOURCE_DATE_EPOCH is not: no time is changed")
            return state
        count, known = (len(base.layers), len(base.history)) if base is not None else (0, 0)
        made = state.copy()
        new = (self._workspace.clamped_layer(each, epoch) for each in state.layers[count:])
        made.layers = (*state.layers[:count], *new)
        newest = self._workspace.now()
        for i, entry in enumerate(made.history):
            if i >= known and isinstance(entry, dict) and _is_later(entry.get("created"), newest):
                made.history[i] = {**entry, "created": newest}
        return made

    def _squash(self, state: StageState, base: StageState | None) -> None:
        """One layer in the place of all those over the base."""
        count = len(base.layers) if base is not None else 0
        if len(state.layers) - count < 2:
            return
        layer = self._workspace.merged_layer(state.layers[:count], state.layers[count:])
        history = [dict(each) for each in state.history if isinstance(each, dict)]
        for entry in history[len(base.history) if base is not None else 0 :]:
            entry["empty_layer"] = True
        history.append({"created": self._workspace.now(), "comment": "squashed", "created_by": ""})
        state.history = [*history]
        state.layers = (*state.layers[:count], layer)


def stage_image(
    workspace: Workspace,
    state: StageState,
    config: Json,
    tags: tuple[Reference, ...] = (),
    annotations: Mapping[str, str] | None = None,
    *,
    fields: Json | None = None,
) -> NewImage:
    """The image of what a stage has become, not published yet; `fields` are added to its config document."""
    document = {**image_document(state, config, workspace.now()), **(fields or {})}
    descriptors = tuple(
        Descriptor(layer.media_type, layer.digest, layer.size) for layer in state.layers
    )
    return new_image(workspace.ingest, encode(document), descriptors, tags, annotations)


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


def _is_later(created: object, newest: str) -> bool:
    """Whether a time of a build is later than another one in whole seconds, both as RFC 3339 in UTC."""
    seconds = len("2006-01-02T15:04:05")
    return isinstance(created, str) and created[:seconds] >= newest[:seconds]


def _format(output: Output) -> Format:
    from rootless.images.save import Format

    if output.kind is OutputKind.DOCKER:
        return Format.DOCKER_ARCHIVE
    return Format.OCI_DIR if output.is_directory else Format.OCI_ARCHIVE
