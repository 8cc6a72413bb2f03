"""push: an image of the store to a registry.

Blobs go as they are in the store, so that what was pulled is pushed under the digests that it had.
Layers that were made here, and are not compressed, are compressed with gzip on the way; the manifest
that is pushed then has other digests than the one in the store. Blobs first, then the config, then
the manifest: a registry takes a manifest only when everything that it names is there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from rootless.errors import NotFoundError, UsageError
from rootless.images.transfer.progress import Progress, Silence, Stage
from rootless.oci import media_types
from rootless.oci.conversion import renamed_index
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.document import encode
from rootless.oci.manifest import Descriptor, Manifest, read_manifest
from rootless.oci.reference import Reference, parse_reference
from rootless.registry.client import RepositoryClient
from rootless.registry.configuration import ClientEnv
from rootless.registry.download import foreign_urls
from rootless.registry.remote import Remote, RemoteOptions, run_remote
from rootless.registry.upload import Blob, Sent, put_blob, put_manifest
from rootless.store.compression import compress, file_pieces
from rootless.store.image import (
    Image,
    all_images,
    manifest_of,
    manifests_of_index,
    resolve,
)
from rootless.store.ingest import Ingest
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from rootless.store.names import REPO_DIGEST, name_of

AT_ONCE = 3

_COMPRESSED = {
    media_types.OCI_LAYER: media_types.OCI_LAYER_GZIP,
    media_types.DOCKER_LAYER_PLAIN: media_types.DOCKER_LAYER,
}
_STAGES = {
    Sent.EXISTS: Stage.EXISTS_REMOTELY,
    Sent.MOUNTED: Stage.MOUNTED,
    Sent.PUSHED: Stage.PUSHED,
}


class Pushed(NamedTuple):
    """The result of a push: what the registry has now."""

    reference: Reference
    digest: str
    size: int
    """Of the manifest, in bytes."""


def push(
    store: Store,
    name: str,
    env: ClientEnv,
    *,
    options: RemoteOptions | None = None,
    all_tags: bool = False,
    target: Reference | None = None,
    progress: Progress | None = None,
) -> list[Pushed]:
    """Send an image to the registry that its name says, or to `target`; or all tags of a repository.

    Raises NotFoundError if there is no such image, UsageError, DeniedError, UnreachableError,
    RegistryError.
    """
    reference = parse_reference(name) if target is None else target
    references = _tags_here(store, reference) if all_tags else [reference.with_default_tag()]
    if target is None and reference.digest is not None:
        raise UsageError("cannot push a digest reference")
    shown = progress or Silence()
    shown.line(f"The push refers to repository [{reference.name}]")

    async def work() -> list[Pushed]:
        async with Remote(env, options or RemoteOptions()) as remote:
            pushed = []
            for each in references:
                image = _image(store, str(each) if target is None else name, each)
                pushed.append(await _push(store, image, each, remote, shown))
            return pushed

    return run_remote(work)


def _image(store: Store, name: str, reference: Reference) -> Image:
    try:
        return resolve(store, name)
    except NotFoundError:
        raise NotFoundError(
            f"An image does not exist locally with the tag: {reference.familiar_name}"
        ) from None


def _tags_here(store: Store, reference: Reference) -> list[Reference]:
    if reference.tag is not None or reference.digest is not None:
        raise UsageError("tag can't be used with --all-tags/-a")
    found = [tag for image in all_images(store) for tag in image.tags if tag.name == reference.name]
    if not found:
        raise NotFoundError(
            f"An image does not exist locally with the tag: {reference.familiar_name}"
        )
    return sorted(found)


async def _push(
    store: Store, image: Image, reference: Reference, remote: Remote, progress: Progress
) -> Pushed:
    client = remote.writer(reference)
    with Ingest(store) as ingest:
        pushing = _Pushing(store, ingest, client, reference, progress)
        if image.entry.media_type in media_types.INDEXES:
            data, media_type = await pushing.push_index(image.entry)
        else:
            # Blobs may have been deleted to save space while the layers are there, and the other way round.
            layer_files(store, image)
            data, media_type = await pushing.push_content(image.manifest)
    target = reference.tag or reference.digest or "latest"
    digest = await put_manifest(client, target, data, media_type)
    _note(store, reference, digest)
    progress.line(f"{target}: digest: {digest} size: {len(data)}")
    return Pushed(reference, digest, len(data))


class _Pushing(NamedTuple):
    """A push to one repository."""

    store: Store
    ingest: Ingest
    client: RepositoryClient
    reference: Reference
    progress: Progress

    async def push_index(self, entry: Descriptor) -> tuple[bytes, str]:
        """Push every manifest of an index with what it names; the index as it is to be put then. Raises
        NotFoundError if one is not in the store."""
        converted = {}
        for each in manifests_of_index(self.store, entry):
            data, media_type = await self.push_content(each)
            digest = await put_manifest(self.client, sha256_digest(data), data, media_type)
            converted[each.digest] = Descriptor(media_type, digest, len(data))
        what = f"image index {entry.digest}"
        data = self.store.read_document(entry.digest, what)
        return renamed_index(data, entry.media_type, what, converted), entry.media_type

    async def push_content(self, descriptor: Descriptor) -> tuple[bytes, str]:
        """Push the layers and the config of a manifest; the manifest as it is to be put then."""
        store = self.store
        what = f"image manifest {descriptor.digest}"
        data = store.read_document(descriptor.digest, what)
        manifest = read_manifest(data, what, descriptor.media_type)
        limiter = trio.CapacityLimiter(AT_ONCE)
        sent: dict[int, Descriptor] = {}

        async def one(position: int) -> None:
            async with limiter:
                sent[position] = await _push_layer(
                    store,
                    self.ingest,
                    manifest.layers[position],
                    self.client,
                    self.progress,
                    mounts=partial(_repositories_with, store, self.reference),
                )

        async with trio.open_nursery() as nursery:
            for position in _first_of_each(manifest):
                nursery.start_soon(one, position)
        by_digest = {manifest.layers[i].digest: descriptor for i, descriptor in sent.items()}
        layers = tuple(by_digest[layer.digest] for layer in manifest.layers)
        config = manifest.config
        path = Path(store.blob_to_read(config.digest))
        await put_blob(self.client, Blob(config.digest, config.size, path), (), lambda _: None)
        if layers != manifest.layers:
            data = encode({**manifest.document, "layers": [layer.to_json() for layer in layers]})
        return data, manifest.media_type


def _first_of_each(manifest: Manifest) -> list[int]:
    seen: dict[str, int] = {}
    for position, layer in enumerate(manifest.layers):
        seen.setdefault(layer.digest, position)
    return list(seen.values())


async def _push_layer(
    store: Store,
    ingest: Ingest,
    layer: Descriptor,
    client: RepositoryClient,
    progress: Progress,
    *,
    mounts: Callable[[str], list[str]],
) -> Descriptor:
    """Push one layer; returns its descriptor in the manifest that is pushed."""
    name = hex_of(layer.digest)[:12]
    progress.layer(name, Stage.PREPARING)
    if foreign_urls(layer):
        progress.layer(name, Stage.FOREIGN)
        return layer
    # What was compressed here is compressed alike each time, so the blob is known by its origin.
    elsewhere = mounts(layer.digest)
    path = Path(store.blob_to_read(layer.digest))
    if layer.media_type in _COMPRESSED:
        layer, path = await trio.to_thread.run_sync(_compressed, ingest, layer, path)

    def moved(done: int) -> None:
        progress.layer(name, Stage.PUSHING, done, layer.size)

    blob = Blob(layer.digest, layer.size, path)
    outcome, source = await put_blob(client, blob, elsewhere, moved)
    progress.layer(name, _STAGES[outcome], note=f" from {source}" if source else "")
    return layer


def _compressed(ingest: Ingest, layer: Descriptor, path: Path) -> tuple[Descriptor, Path]:
    """A layer as gzip, in the ingest's directory, which is swept whatever happens."""
    target = ingest.directory / f"gzip-{hex_of(layer.digest)}"
    digest, size = compress(file_pieces(path), target, "gzip")
    media_type = _COMPRESSED[layer.media_type]
    return layer._replace(media_type=media_type, digest=digest, size=size), target


def _repositories_with(store: Store, reference: Reference, digest: str) -> list[str]:
    """Other repositories of the same registry that have a blob, as far as this store knows."""
    found: dict[str, None] = {}
    for image in all_images(store):
        names = [*image.tags, *(parse_reference(text) for text in image.repo_digests)]
        paths = [each.path for each in names if each.domain == reference.domain]
        if paths and any(layer.digest == digest for layer in manifest_of(store, image).layers):
            found.update(dict.fromkeys(path for path in paths if path != reference.path))
    return list(found)


def _note(store: Store, reference: Reference, digest: str) -> None:
    """Store the digest that the image has at the registry, as `images --digests` shows it."""
    if reference.tag is None:
        return
    with store.lock():
        index = store.read_index()
        wanted = reference._replace(digest=None)
        noted = {REPO_DIGEST: f"{reference.name}@{digest}"}
        table = tuple(
            entry._replace(annotations={**entry.annotations, **noted})
            if name_of(entry) == wanted
            else entry
            for entry in index.manifests
        )
        store.write_index(index.with_manifests(table))
