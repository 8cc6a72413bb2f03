"""Finds the steps of a build in a registry or an OCI layout: --cache-from.

The documents of each cache are read when the build begins, its layers when a step needs them. A place that cannot
be read is shown and passed over, as BuildKit does.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from rootless.build.cache.manifest import CacheDocument, config_of, read_config, read_inline
from rootless.build.cache.options import CacheImport
from rootless.build.errors import BuildError
from rootless.errors import InvalidDocumentError, NotFoundError, RootlessError
from rootless.oci import media_types
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import media_type_of, read_index, read_manifest
from rootless.run_in_child import run_in_child
from rootless.store.build_cache import BuiltLayer
from rootless.store.names import REF_NAME
from unionfs.light_types import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rootless.build.cache.blob_fetcher import BlobFetcher
    from rootless.build.progress import Progress
    from rootless.oci.manifest import Descriptor
    from rootless.oci.reference import Reference
    from rootless.store.ingest import Ingest


_MOST_IMAGES = 50
"""Of an index, whose configs are looked into."""


class _Place(Protocol):
    """A registry or a layout."""

    def top(self) -> tuple[bytes, str]:
        """The manifest or index that has the name, and its media type."""

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or a config, verified."""


class FoundLayer(NamedTuple):
    """The layer of a step that a cache has, now in the store, and when it was made."""

    layer: BuiltLayer
    created: str


class ImportedCaches:
    """The caches of --cache-from."""

    def __init__(
        self, caches: Sequence[tuple[CacheImport, CacheDocument]], environ: Mapping[str, str]
    ) -> None:
        self._caches = tuple(caches)
        self._environ = environ
        self._fetcher: BlobFetcher | None = None

    def close(self) -> None:
        """End what was started for downloads."""
        if self._fetcher is not None and self._fetcher.owner == os.getpid():
            self._fetcher.close()
        self._fetcher = None

    def _fetcher_of_this_process(self, scratch: Path) -> BlobFetcher:
        if self._fetcher is not None and self._fetcher.owner != os.getpid():
            self._fetcher.leave()
            self._fetcher = None
        if self._fetcher is None:
            from rootless.build.cache.blob_fetcher import BlobFetcher

            self._fetcher = BlobFetcher(self._environ, scratch)
        return self._fetcher

    def find(self, key: str, ingest: Ingest, note: Callable[[str], None]) -> FoundLayer | None:
        """The layer of a step, added to `ingest`; None if no place has it. A place that has it and cannot give it is
        named by `note`."""
        for place, cache in self._caches:
            record = cache.records.get(key)
            if record is None:
                continue
            found = cache.layers[record.layer]
            try:
                layer = self._layer(place, found.blob, found.diff_id, ingest)
            except (OSError, RootlessError) as error:
                note(f"cannot import {found.blob.digest} from {place.name}: {error}")
                continue
            return FoundLayer(layer, record.created)
        return None

    def _layer(
        self, place: CacheImport, blob: Descriptor, diff_id: str, ingest: Ingest
    ) -> BuiltLayer:
        layer = BuiltLayer(diff_id, blob.digest, blob.size, blob.media_type)
        if ingest.keep_layer(diff_id) and ingest.keep_blob(blob.digest, blob.size):
            return layer
        if place.reference is None:
            path = _blob_path(place.directory, blob.digest)
        else:
            path = ingest.directory / f"cache-{hex_of(blob.digest)}"
            self._fetcher_of_this_process(ingest.directory).fetch(place.reference, blob, path)
        with open(path, "rb", buffering=0) as file:
            ingest.add_layer(file.read, f"layer {blob.digest}", diff_id=diff_id, blob=blob)
        if place.reference is not None:
            path.unlink()
        ingest.share([(diff_id, blob.digest)])
        return layer


NO_CACHES = ImportedCaches((), {})


def import_caches(
    places: Sequence[CacheImport], environ: Mapping[str, str], progress: Progress
) -> ImportedCaches:
    """Read the documents of caches. Raises BuildError for a layout without the entry that was asked for."""
    found: list[tuple[CacheImport, CacheDocument]] = []
    for place in places:
        step = progress.begin(f"importing cache manifest from {place.name}")
        try:
            found += [(place, each) for each in _read_place(place, environ)]
        except BuildError as error:
            step.failed(error.message)
            raise
        except (RootlessError, OSError) as error:
            kind = "local" if place.reference is None else "registry"
            step.failed(f"failed to configure {kind} cache importer: {error}")
        else:
            step.done()
    return ImportedCaches(found, environ)


def _read_place(place: CacheImport, environ: Mapping[str, str]) -> list[CacheDocument]:
    if place.reference is None:
        return _read_cache(_Layout(place), place.name)
    # The client of registries has threads, and a build forks.
    documents = run_in_child(partial(_fetch_documents, environ, place.reference))
    return _read_cache(_Fetched(*documents), place.name)


def _read_cache(place: _Place, name: str) -> list[CacheDocument]:
    """The cache in a place, or those in the configs of its images. Raises InvalidDocumentError."""
    what = f"cache manifest of {name}"
    data, media_type = place.top()
    cache = config_of(data, media_type, what)
    if cache is not None:
        config, layers = cache
        return [read_config(place.document(config), layers, f"cache config of {name}")]
    found = []
    for each in _images(data, media_type, what):
        manifest = read_manifest(place.document(each) if each else data, what)
        if manifest.config.media_type in media_types.CONFIGS:
            config_data = place.document(manifest.config)
            image = read_image_config(config_data, f"config of {name}")
            found.append(read_inline(image.document, manifest.layers, image.diff_ids, name))
    return found


def _images(data: bytes, media_type: str, what: str) -> list[Descriptor | None]:
    """The manifests of an index that are images, not attestations; None for `data` itself, which is a manifest."""
    if media_type not in media_types.INDEXES:
        return [None]
    named = read_index(data, what, media_type).manifests
    images = [each for each in named if each.platform is None or each.platform.os != "unknown"]
    return [*images[:_MOST_IMAGES]]


# An OCI layout


class _Layout:
    def __init__(self, place: CacheImport) -> None:
        self._place = place

    def top(self) -> tuple[bytes, str]:
        place = self._place
        path = f"{place.directory}/index.json"
        with open(path, "rb") as file:
            named = read_index(file.read(), path).manifests
        for each in named:
            if each.digest == place.digest or (
                not place.digest and each.annotations.get(REF_NAME) == place.tag
            ):
                data = self.document(each)
                return data, media_type_of(data, path, each.media_type)
        raise BuildError(
            'local cache importer requires either explicit digest, "latest" tag or custom tag on '
            "index.json"
        )

    def document(self, descriptor: Descriptor) -> bytes:
        path = _blob_path(self._place.directory, descriptor.digest)
        with open(path, "rb") as file:
            data = file.read(descriptor.size + 1)
        if len(data) != descriptor.size or sha256_digest(data) != descriptor.digest:
            raise InvalidDocumentError(f"{path} does not match its descriptor")
        return data


def _blob_path(directory: str, digest: str) -> Path:
    return Path(directory, "blobs", "sha256", hex_of(digest))


# A registry


class _Fetched:
    """The documents of a cache at a registry, which another process has fetched and verified."""

    def __init__(self, data: bytes, media_type: str, documents: Mapping[str, bytes]) -> None:
        self._top = data, media_type
        self._documents = documents

    def top(self) -> tuple[bytes, str]:
        return self._top

    def document(self, descriptor: Descriptor) -> bytes:
        return self._documents[descriptor.digest]


def _fetch_documents(
    environ: Mapping[str, str], reference: Reference
) -> tuple[bytes, str, dict[str, bytes]]:
    """The manifest or index of a name with its media type, and by their digests the documents that it names."""
    from rootless.registry.client import RepositoryClient
    from rootless.registry.configuration import ClientEnv
    from rootless.registry.failures import UnknownError
    from rootless.registry.remote import Remote, RemoteOptions, run_remote

    async def config(client: RepositoryClient, descriptor: Descriptor) -> bytes:
        what = f"config {descriptor.digest}"
        return await client.document(descriptor.digest, descriptor.size, what)

    async def from_one(client: RepositoryClient) -> tuple[bytes, str, dict[str, bytes]]:
        top = await client.manifest(reference.digest or reference.tag or "latest")
        what = f"cache manifest of {reference}"
        kind = media_type_of(top.data, what, top.media_type)
        cache = config_of(top.data, kind, what)
        if cache is not None:
            return top.data, kind, {cache[0].digest: await config(client, cache[0])}
        documents: dict[str, bytes] = {}
        for each in _images(top.data, kind, what):
            data = top.data
            if each is not None:
                data = documents[each.digest] = (await client.manifest(each.digest)).data
            wanted = read_manifest(data, what).config
            if wanted.media_type in media_types.CONFIGS:
                documents[wanted.digest] = await config(client, wanted)
        return top.data, kind, documents

    async def work() -> tuple[bytes, str, dict[str, bytes]]:
        async with Remote(ClientEnv.of_caller(environ), RemoteOptions()) as remote:
            failure: RootlessError | None = None
            for client in remote.readers(reference):
                try:
                    return await from_one(client)
                except UnknownError as error:
                    failure = NotFoundError(f"{reference}: not found")
                    failure.__cause__ = error
                except RootlessError as error:
                    failure = error
            assert failure is not None
            raise failure

    return run_remote(work)
