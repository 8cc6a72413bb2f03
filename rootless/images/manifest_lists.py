"""manifest create, annotate, push, inspect, rm: one name for images of several platforms.

As Docker has it: the list is made here of manifests that are at registries, annotated, and pushed; it
is kept in the store's manifests/ until it is removed. One JSON document a list, replaced as a whole.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rootless.errors import ExistsError, NotFoundError, UsageError
from rootless.images.transfer.copy_graph import RepositorySource, RepositoryTarget, copy_graph
from rootless.oci import media_types
from rootless.oci.document import Json, optional, parse_object
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import (
    Descriptor,
    media_type_of,
    read_descriptor,
    read_index,
    read_manifest,
)
from rootless.oci.reference import Reference, parse_reference
from rootless.registry.client import Document, RepositoryClient
from rootless.registry.configuration import ClientEnv
from rootless.registry.failures import UnknownError
from rootless.registry.remote import Remote, RemoteOptions, run_remote
from rootless.registry.upload import put_manifest
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.manifest_lists import (
    Entry,
    ManifestList,
    path_of_list,
    read_list,
    write_list,
)


class PlatformChanges(NamedTuple):
    """The changes of an image's platform; None and empty leave it as it is."""

    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    os_version: str | None = None
    os_features: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """The fields to set, by the names that an index has for them."""
        texts = {
            "os": self.os,
            "architecture": self.architecture,
            "variant": self.variant,
            "os.version": self.os_version,
        }
        document: Json = {name: text for name, text in texts.items() if text is not None}
        if self.os_features:
            document["os.features"] = list(self.os_features)
        return document


def _named(store: Store, name: str) -> ManifestList:
    reference = parse_reference(name).with_default_tag()
    listed = read_list(store, reference)
    if listed is None:
        raise NotFoundError(f"No such manifest: {reference.familiar}")
    return listed


def create(
    store: Store,
    name: str,
    images: Sequence[str],
    env: ClientEnv,
    *,
    amend: bool = False,
    options: RemoteOptions | None = None,
) -> ManifestList:
    """Make a list of images at registries, or, to amend, add them to one. Raises ExistsError,
    NotFoundError, UsageError."""
    reference = parse_reference(name).with_default_tag()
    known = read_list(store, reference)
    if known is not None and not amend:
        raise ExistsError(
            f"refusing to amend an existing manifest list with no --amend flag: {reference.familiar}"
        )

    async def work() -> list[Entry]:
        async with Remote(env, options or RemoteOptions()) as remote:
            wanted = [parse_reference(image).with_default_tag() for image in images]
            return [await _entry(remote, each) for each in wanted]

    new = run_remote(work)
    fresh = {entry.reference for entry in new}
    kept = tuple(e for e in (known.entries if known else ()) if e.reference not in fresh)
    listed = ManifestList(reference, (*kept, *new))
    write_list(store, listed)
    return listed


async def _fetch(remote: Remote, reference: Reference) -> tuple[RepositoryClient, Document]:
    client = remote.writer(reference)
    try:
        return client, await client.manifest(reference.digest or reference.tag or "latest")
    except UnknownError as error:
        raise UnknownError(
            f"no such manifest: {reference.familiar}", details=error.details
        ) from error


async def _entry(remote: Remote, reference: Reference) -> Entry:
    client, document = await _fetch(remote, reference)
    if media_type_of(document.data, reference.familiar, document.media_type) in media_types.INDEXES:
        raise UsageError(f"{reference.familiar} is a manifest list")
    return Entry(reference, await _descriptor(client, document, reference.familiar))


async def _descriptor(client: RepositoryClient, document: Document, what: str) -> Descriptor:
    """The descriptor of a manifest at a registry, with the platform of its config."""
    manifest = read_manifest(document.data, what)
    platform = None
    if manifest.config.media_type in media_types.CONFIGS:
        config = manifest.config
        of_config = f"config {config.digest} of {what}"
        data = await client.document(config.digest, config.size, of_config)
        platform = read_image_config(data, of_config).platform
    return Descriptor(manifest.media_type, document.digest, len(document.data), platform=platform)


def annotate(store: Store, name: str, image: str, changes: PlatformChanges) -> None:
    """Set the platform of an image in a list. Raises NotFoundError."""
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
    write_list(store, listed._replace(entries=entries))


def _annotated(descriptor: Descriptor, changes: PlatformChanges) -> Descriptor:
    document = descriptor.to_json()
    platform = dict(optional(document, "platform", dict, "platform") or {})
    platform.update(changes.to_json())
    return read_descriptor({**document, "platform": platform}, "the annotated manifest")


def push_list(
    store: Store,
    name: str,
    env: ClientEnv,
    *,
    purge: bool = False,
    options: RemoteOptions | None = None,
    pushed: Callable[[Reference], None] | None = None,
) -> str:
    """Bring a list, and what it names, to its registry; returns its digest. `pushed` is called with each
    manifest that was not there. Raises NotFoundError and what registries raise."""
    listed = _named(store, name)
    chosen = options or RemoteOptions()

    async def work() -> str:
        async with Remote(env, chosen) as remote:
            client = remote.writer(listed.name)
            for entry in listed.entries:
                brought = await _bring(store, remote, client, entry)
                if brought and pushed is not None:
                    pushed(listed.name._replace(tag=None, digest=entry.descriptor.digest))
            tag = listed.name.tag or "latest"
            return await put_manifest(client, tag, listed.document(), listed.media_type)

    digest = run_remote(work)
    if purge:
        path_of_list(store, listed.name).unlink(missing_ok=True)
    return digest


async def _bring(store: Store, remote: Remote, client: RepositoryClient, entry: Entry) -> bool:
    """A manifest of the list and all that it names, into the repository of the list; whether it comes
    from another one."""
    theirs = remote.writer(entry.reference)
    if (theirs.host, theirs.repository) == (client.host, client.repository):
        return False
    with Ingest(store) as ingest:
        source = RepositorySource(theirs, remote.options.timing, ingest.directory)
        target = RepositoryTarget(client, theirs, ingest.directory)
        await copy_graph(source, target, [entry.descriptor])
    return True


def inspect(
    store: Store,
    name: str,
    env: ClientEnv,
    options: RemoteOptions | None = None,
    *,
    within: str | None = None,
    verbose: bool = False,
) -> Json | list[Json]:
    """The list, or the manifest at a registry, as it is pushed or stored there; with `within`, the
    manifest that this list has under the name. `verbose`: as Docker's -v has it, with descriptor and
    bytes, and of a list each of its manifests. Raises NotFoundError and what registries raise."""
    reference = parse_reference(name).with_default_tag()
    listed = read_list(store, reference) if within is None else _named(store, within)

    async def work() -> Json | list[Json]:
        async with Remote(env, options or RemoteOptions()) as remote:
            if listed is None:
                return await _inspect_at_registry(remote, reference, verbose)
            entries = [
                each for each in listed.entries if within is None or each.reference == reference
            ]
            if not entries:
                raise NotFoundError(f"manifest for image {name} does not exist in {within}")
            details = [await _inspect_entry(remote, each, verbose) for each in entries]
            return details if within is None else details[0]

    if listed is not None and within is None and not verbose:
        return parse_object(listed.document(), name)
    return run_remote(work)


async def _inspect_entry(remote: Remote, entry: Entry, verbose: bool) -> Json:
    document = await remote.writer(entry.reference).manifest(entry.descriptor.digest)
    shown = entry.reference.familiar
    if verbose:
        return _verbose(shown, entry.descriptor, document.data)
    return parse_object(document.data, shown)


async def _inspect_at_registry(
    remote: Remote, reference: Reference, verbose: bool
) -> Json | list[Json]:
    client, document = await _fetch(remote, reference)
    shown = reference.familiar
    if not verbose:
        return parse_object(document.data, shown)
    if media_type_of(document.data, shown, document.media_type) not in media_types.INDEXES:
        return _verbose(shown, await _descriptor(client, document, shown), document.data)
    found = []
    for each in read_index(document.data, shown).manifests:
        data = (await client.manifest(each.digest)).data
        found.append(_verbose(f"{shown}@{each.digest}", each, data))
    return found


def _verbose(shown: str, descriptor: Descriptor, data: bytes) -> Json:
    docker = descriptor.media_type == media_types.DOCKER_MANIFEST
    return {
        "Ref": shown,
        "Descriptor": descriptor.to_json(),
        "Raw": base64.b64encode(data).decode(),
        ("SchemaV2Manifest" if docker else "OCIManifest"): parse_object(data, shown),
    }


def remove(store: Store, name: str) -> None:
    """Delete a list. Raises NotFoundError."""
    path_of_list(store, _named(store, name).name).unlink(missing_ok=True)
