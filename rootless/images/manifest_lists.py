"""manifest create, annotate, push, inspect, rm: one name for images of several platforms.

As Docker has it: the list is made here of manifests that are at registries, annotated, and pushed; it
is kept in the store's manifests/ until it is removed. One JSON document a list, replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rootless.durable import write_atomically
from rootless.errors import ExistsError, InvalidDocumentError, NotFoundError, UsageError
from rootless.images.refusals import manifest_unknown
from rootless.oci import media_types
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.document import Json, encode, optional, parse_object, required
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import Descriptor, read_descriptor, read_manifest
from rootless.oci.reference import Reference, parse_reference
from rootless.registry.client import Document, RepositoryClient
from rootless.registry.configuration import Surroundings
from rootless.registry.download import download
from rootless.registry.failures import UnknownError
from rootless.registry.remote import Remote, RemoteOptions, run_remote
from rootless.registry.upload import Blob, has_blob, mount_blob, put_blob, put_manifest
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.partial import open_partial


class Entry(NamedTuple):
    """One manifest of a list, and where it is."""

    reference: Reference
    descriptor: Descriptor


class ManifestList(NamedTuple):
    """A list under its name."""

    name: Reference
    entries: tuple[Entry, ...]

    def document(self) -> bytes:
        """The index: Docker's if all it names is Docker's, else OCI's."""
        return encode(
            {
                "schemaVersion": 2,
                "mediaType": self.media_type,
                "manifests": [entry.descriptor.to_json() for entry in self.entries],
            }
        )

    @property
    def media_type(self) -> str:
        docker = all(e.descriptor.media_type == media_types.DOCKER_MANIFEST for e in self.entries)
        return media_types.DOCKER_INDEX if docker else media_types.OCI_INDEX


def path_of_list(store: Store, name: Reference) -> Path:
    """Where a list of this name is kept."""
    return Path(store.root) / "manifests" / f"{hex_of(sha256_digest(str(name).encode()))}.json"


def _read(store: Store, name: Reference) -> ManifestList | None:
    path = path_of_list(store, name)
    try:
        return parse_list(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def parse_list(data: bytes, what: str) -> ManifestList:
    """A list as it is kept; `what` names it. Raises InvalidDocumentError, UsageError."""
    document = parse_object(data, what)
    entries = []
    for each in required(document, "entries", list, what):
        if not isinstance(each, dict):
            raise InvalidDocumentError(f"{what}: entries is not a list of objects")
        reference = parse_reference(required(each, "reference", str, what))
        entries.append(Entry(reference, read_descriptor(each.get("descriptor"), what)))
    name = parse_reference(required(document, "name", str, what)).with_default_tag()
    return ManifestList(name, tuple(entries))


def _write(store: Store, listed: ManifestList) -> None:
    path = path_of_list(store, listed.name)
    path.parent.mkdir(exist_ok=True)
    entries = [
        {"reference": str(entry.reference), "descriptor": entry.descriptor.to_json()}
        for entry in listed.entries
    ]
    with store.lock():
        write_atomically(path, encode({"name": str(listed.name), "entries": entries}))


def _named(store: Store, name: str) -> ManifestList:
    reference = parse_reference(name).with_default_tag()
    listed = _read(store, reference)
    if listed is None:
        raise NotFoundError(f"No such manifest list: {reference.familiar}")
    return listed


def create(
    store: Store,
    name: str,
    images: Sequence[str],
    around: Surroundings,
    *,
    amend: bool = False,
    options: RemoteOptions | None = None,
) -> ManifestList:
    """Make a list of images at registries, or, to amend, add them to one. Raises ExistsError,
    NotFoundError, UsageError."""
    reference = parse_reference(name).with_default_tag()
    known = _read(store, reference)
    if known is not None and not amend:
        raise ExistsError(
            f"refusing to amend an existing manifest list with no --amend flag: {reference.familiar}"
        )

    async def work() -> list[Entry]:
        async with Remote(around, options or RemoteOptions()) as remote:
            wanted = [parse_reference(image).with_default_tag() for image in images]
            return [await _entry(remote, each) for each in wanted]

    new = run_remote(work)
    fresh = {entry.reference for entry in new}
    kept = tuple(e for e in (known.entries if known else ()) if e.reference not in fresh)
    listed = ManifestList(reference, (*kept, *new))
    _write(store, listed)
    return listed


async def _fetch(remote: Remote, reference: Reference) -> tuple[RepositoryClient, Document]:
    client = remote.writer(reference)
    try:
        return client, await client.manifest(reference.digest or reference.tag or "latest")
    except UnknownError as error:
        raise manifest_unknown(reference, error) from error


async def _entry(remote: Remote, reference: Reference) -> Entry:
    client, document = await _fetch(remote, reference)
    if document.media_type in media_types.INDEXES:
        raise UsageError(f"{reference.familiar} is a manifest list")
    manifest = read_manifest(document.data, reference.familiar)
    platform = None
    if manifest.config.media_type in media_types.CONFIGS:
        config = manifest.config
        what = f"config {config.digest} of {reference.familiar}"
        data = await client.document(config.digest, config.size, what)
        platform = read_image_config(data, what).platform
    descriptor = Descriptor(
        manifest.media_type, document.digest, len(document.data), platform=platform
    )
    return Entry(reference, descriptor)


def annotate(store: Store, name: str, image: str, changes: Mapping[str, object]) -> None:
    """Change what a list says of the platform of one of its images: `os`, `architecture`, `variant`,
    `os.version`, `os.features`. Raises NotFoundError."""
    listed = _named(store, name)
    reference = parse_reference(image).with_default_tag()
    if not any(entry.reference == reference for entry in listed.entries):
        raise NotFoundError(f"manifest for image {image} does not exist in {name}")
    entries = tuple(
        Entry(entry.reference, _annotated(entry.descriptor, changes))
        if entry.reference == reference
        else entry
        for entry in listed.entries
    )
    _write(store, listed._replace(entries=entries))


def _annotated(descriptor: Descriptor, changes: Mapping[str, object]) -> Descriptor:
    document = descriptor.to_json()
    platform = dict(optional(document, "platform", dict, "platform") or {})
    platform.update(changes)
    return read_descriptor({**document, "platform": platform}, "the annotated manifest")


def push_list(
    store: Store,
    name: str,
    around: Surroundings,
    *,
    purge: bool = False,
    options: RemoteOptions | None = None,
) -> str:
    """Bring a list, and what it names, to its registry; returns its digest. Raises NotFoundError and
    what registries raise."""
    listed = _named(store, name)
    chosen = options or RemoteOptions()

    async def work() -> str:
        async with Remote(around, chosen) as remote:
            client = remote.writer(listed.name)
            for entry in listed.entries:
                await _bring(store, remote, client, entry)
            tag = listed.name.tag or "latest"
            return await put_manifest(client, tag, listed.document(), listed.media_type)

    digest = run_remote(work)
    if purge:
        path_of_list(store, listed.name).unlink(missing_ok=True)
    return digest


async def _bring(store: Store, remote: Remote, client: RepositoryClient, entry: Entry) -> None:
    """A manifest of the list and all that it names, into the repository of the list."""
    source = remote.writer(entry.reference)
    if (source.host, source.repository) == (client.host, client.repository):
        return
    document = await source.manifest(entry.descriptor.digest)
    manifest = read_manifest(document.data, entry.reference.familiar)
    for blob in dict.fromkeys((manifest.config.digest, *(x.digest for x in manifest.layers))):
        descriptor = next(x for x in (manifest.config, *manifest.layers) if x.digest == blob)
        await _carry(store, source, client, descriptor, remote)
    await put_manifest(client, document.digest, document.data, manifest.media_type)


async def _carry(
    store: Store,
    source: RepositoryClient,
    client: RepositoryClient,
    blob: Descriptor,
    remote: Remote,
) -> None:
    if await has_blob(client, blob.digest):
        return
    if source.host == client.host and await mount_blob(client, blob.digest, source.repository):
        return
    with Ingest(store) as ingest:
        held = open_partial(Store(ingest.directory), blob.digest)
        assert held is not None, "a directory of our own"
        try:
            await download([source], blob, held, remote.options.timing, _ignore)
            # The registry compares the digest of what it gets.
            await put_blob(client, Blob(blob.digest, blob.size, held.path), (), _ignore)
        finally:
            held.close()


def _ignore(_: int) -> None:
    """Progress that nobody looks at."""


def inspect(
    store: Store, name: str, around: Surroundings, options: RemoteOptions | None = None
) -> Json:
    """The list, or the manifest at a registry, as it is pushed or stored there."""
    reference = parse_reference(name).with_default_tag()
    listed = _read(store, reference)
    if listed is not None:
        return parse_object(listed.document(), name)

    async def work() -> Json:
        async with Remote(around, options or RemoteOptions()) as remote:
            _, document = await _fetch(remote, reference)
            return parse_object(document.data, reference.familiar)

    return run_remote(work)


def remove(store: Store, name: str) -> None:
    """Forget a list. Raises NotFoundError."""
    path_of_list(store, _named(store, name).name).unlink(missing_ok=True)
