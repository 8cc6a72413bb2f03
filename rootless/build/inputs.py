"""The inputs of a build: base images, named contexts, and the sources of COPY and of mounts."""

from __future__ import annotations

from rootless.build.errors import BuildError
from rootless.build.files.context import BuildContext, ContextRequest, open_context
from rootless.build.files.copying import CopyItem, CopyPlan, copy_members
from rootless.build.files.named_contexts import (
    ContextKind,
    NamedContext,
    load_layout,
    named_context,
)
from rootless.build.files.sources import Source
from rootless.build.keys import files_key
from rootless.build.provenance import Material, package_url
from rootless.build.request import BuildHost, BuildRequest
from rootless.build.state import StageState
from rootless.build.workspace import Workspace
from rootless.dockerfile.graph import SCRATCH
from rootless.errors import RootlessError
from rootless.oci.document import Json
from rootless.oci.platform import Platform, host_platform
from rootless.oci.reference import parse_reference
from rootless.store.build_cache import BuiltLayer
from rootless.store.image import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.image import Image

_KEPT = frozenset(("architecture", "os", "variant", "os.version", "os.features", "author"))
"""What an image has of the config of its base, besides `config`, layers and history."""


class BuildInputs:
    """The inputs of one build, in one process. Sources are opened once."""

    def __init__(
        self,
        workspace: Workspace,
        request: BuildRequest,
        host: BuildHost,
        context: BuildContext,
        platform: Platform | None,
    ) -> None:
        """`platform`: what is built for; None: this machine's. Raises BuildError for a named context that is not
        there."""
        self._platform = platform
        self._workspace = workspace
        self._request = request
        self._host = host
        self._context = context
        self._context_source: Source | None = None
        self._sources: dict[tuple[str, Platform | None], Source] = {}
        self.named = {name.lower(): named_context(text) for name, text in request.contexts.items()}

    def image(self, name: str, platform: Platform | None) -> Image:
        """Raises BuildError if it cannot be had."""
        reference = parse_reference(name).with_default_tag()
        try:
            image = self._host.find_image(name, platform, self._request.pull)
        except RootlessError as error:
            raise BuildError(
                f"{name}: failed to resolve source metadata for {reference}: {error.message}",
                hint=error.hint,
            ) from error
        # The digest by which its registry knows it, if there is one.
        known = (each.partition("@") for each in image.repo_digests)
        digests = [digest for repository, _, digest in known if repository == reference.name]
        algorithm, _, digest = (digests or [image.manifest.digest])[0].partition(":")
        uri = package_url(reference, image.platform)
        self._workspace.add_material(Material(uri, algorithm, digest, image.platform))
        return image

    def state_of(self, image: Image) -> StageState:
        layers = self.layers_of(image)
        document: Json = {
            key: value for key, value in image.image_config.document.items() if key in _KEPT
        }
        key = files_key(image.chain_id if layers else SCRATCH)
        return StageState(document, dict(image.config), image.image_config.history, layers, key)

    def layers_of(self, image: Image) -> tuple[BuiltLayer, ...]:
        from rootless.images.commit import keep_base

        descriptors = keep_base(self._workspace.store, self._workspace.ingest, image)
        return tuple(
            BuiltLayer(diff_id, each.digest, each.size, each.media_type)
            for diff_id, each in zip(image.diff_ids, descriptors, strict=True)
        )

    def source(
        self, name: str, stage: tuple[BuiltLayer, ...] | None, platform: Platform | None
    ) -> Source:
        """The source that --from names: a stage, whose layers are given, or else a named context or an image, which
        is that of the platform of the stage that copies; for an empty name the build context.
        """
        if not name:
            return self._build_context()
        key = name, platform
        known = self._sources.get(key)
        context = self.named.get(name.lower())
        if known is None and context is not None:
            known = self._sources[key] = self._source_of_context(name, context)
        if known is None:
            layers = stage
            if layers is None:
                layers = self.layers_of(self.image(name, platform))
            known = self._sources[key] = self._workspace.layer_source(layers)
        return known

    def _source_of_context(self, name: str, context: NamedContext) -> Source:
        if context.kind is ContextKind.IMAGE:
            return self._workspace.layer_source(self.layers_of(self._image_of_context(context)))
        request = ContextRequest(directory=context.value, text="")
        if context.kind is ContextKind.URL:
            request = ContextRequest(url=context.value, text="")
        make = self._workspace.new_directory
        return open_context(request, lambda kind: make(f"{kind}-{name}")).source()

    def _image_of_context(self, context: NamedContext) -> Image:
        if not context.layout:
            return self.image(context.value, self._platform)
        return resolve(self._workspace.store, load_layout(self._workspace.store, context))

    def state_of_context(self, context: NamedContext) -> StageState:
        """A stage that is what a named context has: an image, or the files of a directory."""
        if context.kind is ContextKind.IMAGE:
            return self.state_of(self._image_of_context(context))
        state = scratch_state(self._platform or host_platform())
        item = CopyItem(self._source_of_context("base", context), b"", b"")
        empty = self._workspace.snapshot(())
        members = copy_members(CopyPlan((item,), "/", link=True), empty)
        layer = self._workspace.add_layer(members, "the layer of a context")
        # The workers of other stages look for it in the store.
        self._workspace.flush()
        empty.close()
        state.layers = (layer,)
        state.key = files_key(layer.diff_id)
        return state

    def _build_context(self) -> Source:
        if self._context_source is None:
            self._context_source = self._context.source()
        return self._context_source


def scratch_state(platform: Platform) -> StageState:
    """The beginning of a stage that starts from nothing."""
    document: Json = {"architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        document["variant"] = platform.variant
    return StageState(document, {"WorkingDir": "/"}, (), (), files_key(SCRATCH))
