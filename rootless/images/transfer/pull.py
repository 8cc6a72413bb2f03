"""pull: an image from a registry into the store.

Three layers are fetched at once (layer_fetch). A layer that is whole appears in the store at once, so that a
second pull that wants it too needs nothing of the network; the image and its name appear when all of it is there.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import trio

from rootless.errors import (
    IntegrityError,
    InvalidDocumentError,
    NotFoundError,
    RootlessError,
    UsageError,
)
from rootless.images.transfer.layer_fetch import LayerFetch
from rootless.images.transfer.progress import Progress, Silence
from rootless.images.transfer.refusals import manifest_refused
from rootless.images.transfer.registry_tags import list_tags
from rootless.oci import media_types
from rootless.oci.image_config import ImageConfig, read_image_config
from rootless.oci.manifest import Descriptor, Manifest, read_index, read_manifest
from rootless.oci.platform import Platform, choose_platform, host_platform, offer_hint
from rootless.oci.reference import Reference
from rootless.registry.client import Document, RepositoryClient
from rootless.registry.configuration import ClientEnv
from rootless.registry.failures import DeniedError, RegistryError, UnknownError, UnreachableError
from rootless.registry.remote import Remote, RemoteOptions, run_remote
from rootless.store import names
from rootless.store.chains import chain_index
from rootless.store.image import resolve
from rootless.store.ingest import Ingest, NewImage
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST, REPO_DIGEST
from rootless.store.partial import abandoned_partials

AT_ONCE = 3
_MAX_INDEX_DEPTH = 4


class Pulled(NamedTuple):
    """An image that is in the store now. `digest` is what the name stands for at the registry."""

    id: str
    reference: Reference
    digest: str
    newer: bool

    @property
    def status(self) -> str:
        """The status line: the last but one of docker pull."""
        outcome = "Downloaded newer image" if self.newer else "Image is up to date"
        return f"Status: {outcome} for {self.reference.familiar}"


class _Found(NamedTuple):
    """The manifest that a registry has for a reference."""

    clients: tuple[RepositoryClient, ...]
    named: Document
    manifest_document: Document
    manifest: Manifest
    config_bytes: bytes
    config: ImageConfig


def pull(
    store: Store,
    name: str,
    env: ClientEnv,
    *,
    options: RemoteOptions | None = None,
    platform: Platform | None = None,
    all_tags: bool = False,
    progress: Progress | None = None,
    only_if_newer: bool = False,
) -> list[Pulled]:
    """Fetch an image by name, or every tag of a repository.

    `only_if_newer`: an image that is there already is left as it is if the registry has another one
    that is older. Raises UsageError, NotFoundError, DeniedError, UnreachableError, RegistryError,
    IntegrityError, InvalidDocumentError; then names are as they were.
    """
    store.require_writable()
    job = _Pull(
        store,
        env,
        options or RemoteOptions(),
        platform or host_platform(),
        progress or Silence(),
    )
    if all_tags:
        return run_remote(partial(job.all_tags, name))
    return [run_remote(partial(job.by_name, name, only_if_newer))]


class _Pull:
    """One pull: the state of a command."""

    def __init__(
        self,
        store: Store,
        env: ClientEnv,
        options: RemoteOptions,
        platform: Platform,
        progress: Progress,
    ) -> None:
        self._store = store
        self._env = env
        self._options = options
        self._platform = platform
        self._progress = progress

    async def by_name(self, name: str, only_if_newer: bool = False) -> Pulled:
        async with Remote(self._env, self._options) as remote:
            candidates = remote.candidates(name)
            for position, reference in enumerate(candidates):
                if reference.tag is None and reference.digest is None:
                    self._progress.line("Using default tag: latest")
                _refuse_scratch(reference)
                try:
                    return await self._one(remote, reference.with_default_tag(), only_if_newer)
                except (NotFoundError, DeniedError, UnreachableError):
                    if position == len(candidates) - 1:
                        raise
        raise AssertionError("a name has at least one candidate")

    async def all_tags(self, name: str) -> list[Pulled]:
        async with Remote(self._env, self._options) as remote:
            reference = remote.candidates(name)[0]
            _refuse_scratch(reference)
            if reference.tag is not None or reference.digest is not None:
                raise UsageError("tag can't be used with --all-tags/-a")
            tags = await list_tags(remote, reference)
            return [
                await self._one(remote, reference._replace(tag=tag), only_if_newer=False)
                for tag in tags
            ]

    async def _one(self, remote: Remote, reference: Reference, only_if_newer: bool) -> Pulled:
        wanted = reference.digest or reference.tag or ""
        found = await self._find(remote, reference, wanted)
        self._progress.line(f"{wanted}: Pulling from {reference.path}")
        before = self._before(reference)
        current = found.manifest_document.digest
        if before is not None and only_if_newer and not _is_newer(self._store, before, found):
            return Pulled(resolve(self._store, str(reference)).id, reference, before, newer=False)
        image_id = await self._bring_in(reference, found)
        return Pulled(image_id, reference, found.named.digest, newer=before != current)

    def _before(self, reference: Reference) -> str | None:
        entry = names.find_by_name(self._store.read_index().manifests, reference)
        return entry.digest if entry is not None else None

    # Finding out what there is.

    async def _find(self, remote: Remote, reference: Reference, wanted: str) -> _Found:
        clients = remote.readers(reference)
        failure: RootlessError | None = None
        for position, client in enumerate(clients):
            try:
                return await self._find_at(clients[position:], client, reference, wanted)
            except (UnknownError, RegistryError) as error:
                failure = manifest_refused(reference, error)
        assert failure is not None
        raise failure

    async def _find_at(
        self,
        clients: tuple[RepositoryClient, ...],
        client: RepositoryClient,
        reference: Reference,
        wanted: str,
    ) -> _Found:
        named = document = await client.manifest(wanted)
        what = f"manifest {document.digest} of {reference.familiar}"
        depth = 0
        while _is_index(document):
            if (depth := depth + 1) > _MAX_INDEX_DEPTH:
                raise InvalidDocumentError(f"index of {reference.familiar} is nested too deeply")
            chosen = self._choose(document, reference)
            document = await client.manifest(chosen.digest)
            if len(document.data) != chosen.size:
                raise IntegrityError(
                    f"manifest {chosen.digest} of {reference.familiar} has {len(document.data)} "
                    f"bytes instead of {chosen.size}"
                )
        manifest = read_manifest(document.data, what, _declared(document))
        if manifest.config.media_type not in media_types.CONFIGS:
            raise InvalidDocumentError(
                f"{reference.familiar} is an artifact, not a container image: its config is "
                f"{manifest.config.media_type}"
            )
        config = manifest.config
        kept = self._kept_document(config)
        data = kept or await client.document(
            config.digest, config.size, f"config {config.digest} of {reference.familiar}"
        )
        read = read_image_config(data, f"config {config.digest} of {reference.familiar}")
        _check_layers(manifest, read, what)
        return _Found(clients, named, document, manifest, data, read)

    def _choose(self, index: Document, reference: Reference) -> Descriptor:
        """The manifest of an index for the platform. Raises NotFoundError."""
        what = f"index {index.digest} of {reference.familiar}"
        entries = read_index(index.data, what, _declared(index)).manifests
        offered = [each.platform for each in entries]
        position = choose_platform(self._platform, offered)
        if position is None:
            raise NotFoundError(
                f"no matching manifest for {self._platform} in the manifest list entries of "
                f"{reference.familiar}",
                hint=offer_hint(offered),
                details={"platforms": sorted({str(each) for each in offered if each is not None})},
            )
        return entries[position]

    def _kept_document(self, descriptor: Descriptor) -> bytes | None:
        """The config if the store has it, with the size that the descriptor says."""
        try:
            data = self._store.read_document(descriptor.digest, "image config")
        except (NotFoundError, InvalidDocumentError, IntegrityError):
            return None
        return data if len(data) == descriptor.size else None

    # Bringing it in.

    async def _bring_in(self, reference: Reference, found: _Found) -> str:
        store = self._store
        abandoned_partials(store, remove=True)
        with Ingest(store) as ingest:
            limiter = trio.CapacityLimiter(AT_ONCE)
            async with trio.open_nursery() as nursery:
                for layer, diff_id in _pairs(found):
                    fetch = LayerFetch(
                        store,
                        ingest,
                        found.clients,
                        layer,
                        diff_id=diff_id,
                        progress=self._progress,
                        options=self._options,
                    )
                    nursery.start_soon(fetch.run, limiter)
            ingest.add_document(found.config_bytes)
            ingest.add_document(found.manifest_document.data)
            image_id = found.manifest.config.digest
            descriptor = Descriptor(
                found.manifest.media_type,
                found.manifest_document.digest,
                len(found.manifest_document.data),
                {
                    CONFIG_DIGEST: image_id,
                    REPO_DIGEST: f"{reference.name}@{reference.digest or found.named.digest}",
                },
                found.config.platform,
            )
            # As in Docker, a digest beside a tag is what is meant, and gives no tag.
            tags = () if reference.digest is not None else (reference,)
            ingest.publish([NewImage(descriptor, tags)])
        # Not needed to use the image, but its first start should not be the one to pay for it.
        try:
            chain_index(store, resolve(store, image_id))
        except NotFoundError:
            # Removed again already.
            pass
        return image_id


def _refuse_scratch(reference: Reference) -> None:
    """As Docker does: `FROM scratch` is no image."""
    if reference.familiar_name == "scratch":
        raise UsageError("'scratch' is a reserved name")


def _pairs(found: _Found) -> list[tuple[Descriptor, str]]:
    """Each layer once: images hold the same empty layer several times."""
    once = {
        (layer.digest, diff_id): (layer, diff_id)
        for layer, diff_id in zip(found.manifest.layers, found.config.diff_ids, strict=True)
    }
    return list(once.values())


def _is_index(document: Document) -> bool:
    if document.media_type in media_types.INDEXES:
        return True
    # Some registries call every manifest JSON; the document says what it is.
    return document.media_type not in media_types.MANIFESTS and b'"manifests"' in document.data


def _declared(document: Document) -> str:
    known = media_types.MANIFESTS | media_types.INDEXES
    return document.media_type if document.media_type in known else ""


def _check_layers(manifest: Manifest, config: ImageConfig, what: str) -> None:
    if len(manifest.layers) != len(config.diff_ids):
        raise InvalidDocumentError(
            f"{what} has {len(manifest.layers)} layers but its config has {len(config.diff_ids)}"
        )
    for layer in manifest.layers:
        if layer.media_type not in media_types.LAYER_COMPRESSION:
            raise InvalidDocumentError(
                f"{what}: layer {layer.digest} has the media type {layer.media_type}, which is no "
                "layer"
            )


def _is_newer(store: Store, before: str, found: _Found) -> bool:
    """Whether what the registry has was made after what the store has (podman's `newer`)."""
    try:
        mine = resolve(store, before)
    except NotFoundError:
        return True
    if mine.id == found.manifest.config.digest:
        return False
    return str(found.config.document.get("created") or "") > str(
        mine.image_config.document.get("created") or ""
    )
