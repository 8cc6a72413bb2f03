"""The state that the steps of one building process share: the store, the layers of the build, the working directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rootless.build.cache.importing import NO_CACHES
from rootless.build.files.digests import ContentDigests
from rootless.build.files.sources import FilteredSource, HostSource, LayerSource, Source
from rootless.build.provenance import Material
from rootless.containers.launch_description import ImageTree
from rootless.containers.timestamps import now, timestamp
from rootless.durable import remove_tree
from rootless.oci import media_types
from rootless.oci.digest import chain_id, hex_of
from rootless.store.build_cache import (
    BuiltLayer,
    CachedStep,
    contents_directory,
    find_step,
    save_step,
)
from rootless.store.chains import build_merged_index, merged_below
from rootless.store.compression import compress, file_pieces
from rootless.store.ingest import Ingest
from rootless.store.layout import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.seen_files import SeenFiles
    from rootless.store.layer_writing import WrittenLayer
    from unionfs.changes.snapshot import Snapshot
    from unionfs.layer import Layer
    from unionfs.tar.writer import ArchiveMember

_FLUSH_SECONDS = 1.0
"""Between the times at which finished steps go to the store: a build that is killed has at most this much to do again."""

_MOST_UNMERGED = 6
"""Layers that a lookup may have to ask one after the other, before their indexes are merged."""


class Workspace:
    """Holds what it brings in until `ingest` is left. `epoch`: SOURCE_DATE_EPOCH in seconds, which is then the
    time of all that is made. `uppers`: a directory for the writable layers of steps, empty where they are with the rest."""

    def __init__(self, store: Store, ingest: Ingest, epoch: int | None, uppers: str = "") -> None:
        self.store = store
        self.ingest = ingest
        self.epoch = epoch
        self.uppers = uppers
        self.imports = NO_CACHES
        self.used: dict[str, CachedStep] = {}
        """The steps of this build, by their keys."""
        self.materials: dict[str, Material] = {}
        """What went into this build from elsewhere, by its URIs."""
        self.scratch = Path(ingest.directory, "build")
        self.scratch.mkdir()
        self._digests: dict[int, ContentDigests] = {}
        self._unshared: list[BuiltLayer] = []
        self._unsaved: list[CachedStep] = []
        self._flushed = time.monotonic()

    def now(self) -> str:
        """RFC 3339."""
        return now() if self.epoch is None else timestamp(self.epoch * 10**9)

    def now_ns(self) -> int:
        """In whole seconds: layers hold no fractions of what is made by a build itself."""
        return (int(time.time()) if self.epoch is None else self.epoch) * 10**9

    # Layers.

    def add_layer(self, members: Iterable[ArchiveMember], what: str) -> BuiltLayer:
        """A new layer with these members. It is in the store after `flush`."""
        return self._built(self.ingest.add_made_layer(members, what))

    def add_archive(self, archive: Iterable[bytes], what: str) -> BuiltLayer:
        """As `add_layer`, for an archive in pieces."""
        # An empty piece would be taken for the end.
        pieces = (piece for piece in archive if piece)
        return self._built(self.ingest.add_layer(lambda _: next(pieces, b""), what))

    def _built(self, written: WrittenLayer) -> BuiltLayer:
        layer = BuiltLayer(
            written.diff_id, written.digest, written.blob_size, media_types.OCI_LAYER
        )
        self._unshared.append(layer)
        return layer

    def flush(self) -> None:
        """Put the layers that were made, and then the records of their steps, into the store. One sync for many layers takes
        little longer than one for each."""
        layers, steps, self._unshared, self._unsaved = self._unshared, self._unsaved, [], []
        self._flushed = time.monotonic()
        if layers:
            self.ingest.share([(layer.diff_id, layer.digest) for layer in layers])
        for step in steps:
            try:
                save_step(self.store, step)
            except OSError:
                pass  # on a full disk it is only not found again

    def add_material(self, material: Material) -> None:
        """Note what goes into this build."""
        self.materials[material.uri] = material

    def compressed_layer(self, layer: BuiltLayer) -> BuiltLayer:
        """A layer with a blob that is compressed, as registries are to have it: the same one if it is."""
        if layer.media_type not in {media_types.OCI_LAYER, media_types.DOCKER_LAYER_PLAIN}:
            return layer
        target = self.scratch / f"gzip-{hex_of(layer.diff_id)}"
        tar = Path(self.store.layer_files(layer.diff_id).tar)
        digest, size = compress(file_pieces(tar), target, "gzip")
        self.ingest.add_blob(target, digest)
        return BuiltLayer(layer.diff_id, digest, size, media_types.OCI_LAYER_GZIP)

    def clamped_layer(self, layer: BuiltLayer, newest: int) -> BuiltLayer:
        """A layer whose times are not later than `newest`, in seconds: the same one if none is."""
        from unionfs.tar.clamping import clamped_archive

        with open(self.ingest.layer_files(layer.diff_id).tar, "rb") as file:
            made = self.add_archive(clamped_archive(file, newest), "the layer of the image")
        return layer if made.diff_id == layer.diff_id else made

    def find(self, key: str) -> CachedStep | None:
        """The step of this key, with its layer kept for this build."""
        for made in self._unsaved:
            if made.key == key:
                return made
        step = find_step(self.store, key)
        if step is None or not self.ingest.keep_layer(step.layer.diff_id):
            return None
        if not self.ingest.keep_blob(step.layer.digest):
            if self.ingest.keep_layer_as_blob(step.layer.diff_id) is None:
                return None
            tar = step.layer.diff_id
            size = os.stat(self.store.layer_files(tar).tar).st_size
            step = step._replace(layer=BuiltLayer(tar, tar, size, media_types.OCI_LAYER))
        self.used[key] = step
        return step

    def save(self, step: CachedStep) -> None:
        """Record a step that is done; it is in the store after `flush`."""
        self.used[step.key] = step
        self._unsaved.append(step)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    # Trees.

    def tree(self, layers: Iterable[BuiltLayer]) -> ImageTree:
        """The files of layers, for a union."""
        diff_ids = tuple(layer.diff_id for layer in layers)
        if not diff_ids:
            return ImageTree(())
        merged, index = merged_below(self.store, diff_ids)
        if len(diff_ids) - merged > _MOST_UNMERGED:
            self.flush()
            index = build_merged_index(self.store, diff_ids, "a layer of the build")
            merged = len(diff_ids)
        files = [self.ingest.layer_files(diff_id) for diff_id in diff_ids]
        above = len(diff_ids) - merged if index is not None else 0
        return ImageTree(tuple((each.tar, each.index) for each in files), index, above)

    def snapshot(self, layers: Iterable[BuiltLayer]) -> Snapshot:
        """The merged files of layers, to look into."""
        from rootless.rootfs.union import lower_layers
        from unionfs.changes.snapshot import Snapshot

        return Snapshot(lower_layers(self.tree(layers)), None)

    def merged_layer(
        self, below: tuple[BuiltLayer, ...], layers: Sequence[BuiltLayer]
    ) -> BuiltLayer:
        """One layer in the place of several over the same layers."""
        from rootless.build.outputs import squashed

        trees = [self.snapshot(each) for each in (below, (*below, *layers))]
        single = self.single_layers(layers)
        try:
            return self.add_layer(squashed(single, *trees), "the layer of the step")
        finally:
            for each in single:
                each.close()
            for tree in trees:
                tree.close()

    def seen_files(self, snapshot: Snapshot, layers: Iterable[BuiltLayer]) -> SeenFiles:
        """What can be seen in `snapshot`, which is of these layers."""
        from rootless.build.seen_files import SeenFiles

        archives = {}
        for layer in layers:
            status = os.stat(self.ingest.layer_files(layer.diff_id).tar)
            archives[status.st_dev, status.st_ino] = layer.diff_id
        return SeenFiles(snapshot, archives)

    def single_layers(self, layers: Iterable[BuiltLayer]) -> list[Layer]:
        """Each layer by itself, with its whiteouts."""
        from unionfs.tar.layer import TarLayer

        files = (self.ingest.layer_files(layer.diff_id) for layer in layers)
        return [TarLayer(each.tar, each.index) for each in files]

    def layer_source(self, layers: tuple[BuiltLayer, ...]) -> LayerSource:
        """The merged files of layers, to copy from."""
        source = LayerSource(self.snapshot(layers))
        name = chain_id(tuple(layer.diff_id for layer in layers)) if layers else "empty"
        self._digests[id(source)] = ContentDigests(
            f"{contents_directory(self.store)}/{name.removeprefix('sha256:')}"
        )
        return source

    def digests_of(self, source: Source) -> ContentDigests:
        """The known digests of a source's files."""
        if isinstance(source, FilteredSource):
            return self.digests_of(source.inner)
        known = self._digests.get(id(source))
        if known is None:
            path = None
            if isinstance(source, HostSource):
                device, number = source.root_identity
                path = f"{contents_directory(self.store)}/{device:x}-{number:x}"
            known = self._digests[id(source)] = ContentDigests(path)
        return known

    def new_directory(self, name: str) -> Path:
        """A directory of this build's; one of the same name is emptied."""
        path = self.scratch / name
        remove_tree(path)
        path.mkdir()
        return path
