"""copy --all: an index with every image that it names, from one place to another.

Nothing is unpacked: documents and blobs keep their bytes, and so their digests, each of which is
verified on the way. Only what is Docker's becomes OCI's in an OCI layout. Blobs first, then the
manifests, then the index: whatever the moment of a failure, what can be found by name is complete.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import trio

from rootless.durable import write_all
from rootless.errors import (
    ExistsError,
    IntegrityError,
    InvalidDocumentError,
    NotFoundError,
    RootlessError,
    UsageError,
)
from rootless.images.archive import Members
from rootless.images.directory_format import DirectoryAsLayout, DirectoryWriter, is_directory_format
from rootless.images.layout_directory import BLOBS, LayoutWriter, files_of_layout
from rootless.images.load import blob_document, entries_named
from rootless.images.locations import Kind, Location
from rootless.images.outgoing import File, new_file, pieces, write_tar
from rootless.images.refusals import manifest_unknown, pull_denied
from rootless.images.source import open_source
from rootless.oci import media_types
from rootless.oci.digest import hex_of
from rootless.oci.manifest import Descriptor, media_type_of, read_index, read_manifest
from rootless.oci.reference import parse_reference
from rootless.registry.client import Document, RepositoryClient
from rootless.registry.configuration import Surroundings
from rootless.registry.download import download, foreign_urls
from rootless.registry.failures import DeniedError, RegistryError, UnknownError, UnreachableError
from rootless.registry.remote import Remote, RemoteOptions, run_remote
from rootless.registry.upload import Blob, has_blob, mount_blob, put_blob, put_manifest
from rootless.store.decompression import Limits
from rootless.store.image import resolve
from rootless.store.layout import Store

_AT_ONCE = 3
_MAX_DEPTH = 4
_MAX_DOCUMENTS = 64 << 20
"""Bytes of all manifests of one index: they are kept in memory until their blobs are there."""


class _Source(Protocol):
    """Where an index is."""

    top: Document

    async def document(self, descriptor: Descriptor) -> Document:
        """A manifest, or an index in the index, verified."""

    async def blob(self, descriptor: Descriptor) -> File:
        """A blob, which is verified when its pieces are read."""


class _Target(Protocol):
    """Where it is to be. Several blobs may come at once."""

    async def has_blob(self, digest: str) -> bool: ...
    async def put_blob(self, file: File) -> None: ...
    async def put_document(self, document: Document) -> None: ...
    async def finish(self, top: Document) -> str:
        """Returns the digest of the index as it is there."""


def copy_whole(
    store: Store,
    scratch: Path,
    start: Location,
    end: Location,
    *,
    around: Surroundings,
    source_options: RemoteOptions,
    target_options: RemoteOptions,
    images: bool,
) -> str | None:
    """Copy an index, and, with `images`, all that it names; returns its digest. None if there is no
    index but a single image, which is then not copied. `scratch` is a directory for blobs on their
    way.

    Raises what `copy` raises.
    """
    if start.kind is Kind.DOCKER_ARCHIVE:
        return None

    async def work() -> str | None:
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(
                _source(store, scratch, start, around, source_options)
            )
            what = f"index {source.top.digest}"
            kind = media_type_of(source.top.data, what, source.top.media_type)
            if kind not in media_types.INDEXES:
                return None
            top = source.top._replace(media_type=kind)
            target = await stack.enter_async_context(
                _target(scratch, end, source, around, target_options)
            )
            return await _copy(source, target, top, what, images)

    return run_remote(work)


async def _copy(source: _Source, target: _Target, top: Document, what: str, images: bool) -> str:
    found = _Found([], {})
    index = read_index(top.data, what, top.media_type)
    if images:
        for each in index.manifests:
            await _find(source, each, found, 1)
    limiter = trio.CapacityLimiter(_AT_ONCE)

    async def carry(blob: Descriptor) -> None:
        async with limiter:
            if not await target.has_blob(blob.digest):
                await target.put_blob(await source.blob(blob))

    async with trio.open_nursery() as nursery:
        for blob in found.blobs.values():
            nursery.start_soon(carry, blob)
    for document in found.documents:
        await target.put_document(document)
    return await target.finish(top)


class _Found(NamedTuple):
    """What an index names: documents, each after those that it names, and blobs by digest."""

    documents: list[Document]
    blobs: dict[str, Descriptor]


async def _find(source: _Source, descriptor: Descriptor, found: _Found, depth: int) -> None:
    if any(descriptor.digest == each.digest for each in found.documents):
        return
    what = f"manifest {descriptor.digest}"
    if depth > _MAX_DEPTH:
        raise InvalidDocumentError(f"{what} is nested too deeply in indexes")
    document = await source.document(descriptor)
    kind = media_type_of(document.data, what, descriptor.media_type)
    if kind in media_types.INDEXES:
        for each in read_index(document.data, what, kind).manifests:
            await _find(source, each, found, depth + 1)
    else:
        manifest = read_manifest(document.data, what, kind)
        for blob in (manifest.config, *manifest.layers):
            # A layer that may not be distributed stays where it is.
            if not foreign_urls(blob):
                found.blobs.setdefault(blob.digest, blob)
    found.documents.append(document._replace(media_type=kind))
    if sum(len(each.data) for each in found.documents) > _MAX_DOCUMENTS:
        raise InvalidDocumentError(
            f"the manifests of an index are too large: more than {_MAX_DOCUMENTS} bytes"
        )


# From where


@asynccontextmanager
async def _source(
    store: Store, scratch: Path, start: Location, around: Surroundings, options: RemoteOptions
) -> AsyncIterator[_Source]:
    if start.kind is Kind.REGISTRY:
        async with Remote(around, options) as remote:
            yield await _registry_source(remote, start.name, scratch)
        return
    path = Path(store.root) if start.kind is Kind.LOCAL else start.path
    with open_source(path, scratch, Limits()) as members:
        if start.kind is Kind.LOCAL:
            entry = resolve(store, start.name).entry
            yield _LayoutSource(members, entry)
        elif not members.has("index.json") and is_directory_format(members):
            layout = DirectoryAsLayout(members)
            yield _LayoutSource(layout, _entry(layout, ""))
        else:
            yield _LayoutSource(members, _entry(members, start.name))


def _entry(members: Members, name: str) -> Descriptor:
    """The entry of index.json that a name means."""
    entries = entries_named(members, name)
    if not entries:
        raise NotFoundError(f"{members.label} holds no image named {name}")
    if not entries:
        raise NotFoundError(f"{members.label} holds no image")
    if len({each.digest for each in entries}) > 1:
        raise UsageError(
            f"{members.label} holds several images", hint="say which: append :NAME to the path"
        )
    return entries[0]


class _LayoutSource:
    """An OCI layout, in a directory or an archive."""

    def __init__(self, members: Members, entry: Descriptor) -> None:
        self._members = members
        data = blob_document(members, entry)
        self.top = Document(data, entry.media_type, entry.digest)

    async def document(self, descriptor: Descriptor) -> Document:
        data = blob_document(self._members, descriptor)
        return Document(data, descriptor.media_type, descriptor.digest)

    async def blob(self, descriptor: Descriptor) -> File:
        name = f"{BLOBS}{hex_of(descriptor.digest)}"
        label = f"{name} in {self._members.label}"
        if self._members.size(name) != descriptor.size:
            raise IntegrityError(f"{label} is not what its descriptor says")
        opened = partial(self._members.reader, name)
        return File(label, descriptor.size, opened, descriptor.digest)


async def _registry_source(remote: Remote, name: str, scratch: Path) -> _RegistrySource:
    failure: RootlessError | None = None
    for meaning in remote.meanings(name):
        reference = meaning.with_default_tag()
        for client in remote.readers(reference):
            try:
                top = await client.manifest(reference.digest or reference.tag or "latest")
            except UnknownError as error:
                failure = manifest_unknown(reference, error)
            except DeniedError as error:
                failure = pull_denied(reference, error)
            except (RegistryError, UnreachableError) as error:
                failure = error
            else:
                return _RegistrySource(remote, client, top, scratch)
    assert failure is not None, "a name always has a meaning"
    raise failure


class _RegistrySource:
    """A repository at a registry. Blobs come through files."""

    def __init__(
        self, remote: Remote, client: RepositoryClient, top: Document, scratch: Path
    ) -> None:
        self._remote = remote
        self.client = client
        self.top = top
        self._scratch = scratch

    async def document(self, descriptor: Descriptor) -> Document:
        document = await self.client.manifest(descriptor.digest)
        if len(document.data) != descriptor.size:
            raise IntegrityError(
                f"manifest {descriptor.digest} has {len(document.data)} bytes instead of "
                f"{descriptor.size}"
            )
        return document

    async def blob(self, descriptor: Descriptor) -> File:
        path = self._scratch / f"blob-{hex_of(descriptor.digest)}"
        with _Spool(path) as spool:
            timing = self._remote.options.timing
            await download([self.client], descriptor, spool, timing, _ignore)
        if spool.digest != descriptor.digest:
            raise IntegrityError(
                f"blob {descriptor.digest} is not what its descriptor says: it is {spool.digest}"
            )
        return File(f"blob {descriptor.digest}", descriptor.size, path, descriptor.digest)


class _Spool:
    """What a download writes to."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self._fd)

    def append(self, data: bytes) -> None:
        write_all(self._fd, data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _ignore(_: int) -> None:
    """Progress that nobody looks at."""


# To where


@asynccontextmanager
async def _target(
    scratch: Path, end: Location, source: _Source, around: Surroundings, options: RemoteOptions
) -> AsyncIterator[_Target]:
    if end.kind is Kind.REGISTRY:
        async with Remote(around, options) as remote:
            reference = parse_reference(end.name).with_default_tag()
            name = reference.tag or reference.digest or "latest"
            theirs = source.client if isinstance(source, _RegistrySource) else None
            yield _RegistryTarget(remote.writer(reference), theirs, name, scratch)
    elif end.kind is Kind.DIRECTORY:
        yield _DirectoryTarget(DirectoryWriter(end.path))
    elif end.kind is Kind.OCI:
        yield _LayoutTarget(LayoutWriter(end.path), end.name)
    elif end.kind is Kind.OCI_ARCHIVE:
        if end.path.exists():
            raise ExistsError(f"{end.path} exists already")
        layout = scratch / "archive"
        yield _LayoutTarget(LayoutWriter(layout), end.name)
        new_file(end.path, lambda fd: write_tar(files_of_layout(layout), fd))
    else:
        raise UsageError(
            f"a place of the kind {end.kind.value}: holds no index for several platforms",
            hint="copy the image for one platform: leave out --all, give --platform",
        )


class _RegistryTarget:
    """`theirs` is the repository that it comes from, if it comes from one."""

    def __init__(
        self,
        client: RepositoryClient,
        theirs: RepositoryClient | None,
        name: str,
        scratch: Path,
    ) -> None:
        self._client = client
        self._theirs = theirs
        self._name = name
        self._scratch = scratch

    async def has_blob(self, digest: str) -> bool:
        if await has_blob(self._client, digest):
            return True
        theirs = self._theirs
        return (
            theirs is not None
            and theirs.host == self._client.host
            and await mount_blob(self._client, digest, theirs.repository)
        )

    async def put_blob(self, file: File) -> None:
        path = file.content if isinstance(file.content, Path) else self._spooled(file)
        try:
            # The registry compares the digest of what it gets.
            await put_blob(self._client, Blob(file.digest, file.size, path), (), _ignore)
        finally:
            path.unlink()

    def _spooled(self, file: File) -> Path:
        """A member of an archive as a file of its own: it may have to be sent more than once."""
        path = self._scratch / f"send-{hex_of(file.digest)}"
        with _Spool(path) as spool:
            for piece in pieces(file):
                spool.append(piece)
        return path

    async def put_document(self, document: Document) -> None:
        await put_manifest(self._client, document.digest, document.data, document.media_type)

    async def finish(self, top: Document) -> str:
        return await put_manifest(self._client, self._name, top.data, top.media_type)


class _DirectoryTarget:
    def __init__(self, writer: DirectoryWriter) -> None:
        self._writer = writer

    async def has_blob(self, digest: str) -> bool:
        return self._writer.has_blob(digest)

    async def put_blob(self, file: File) -> None:
        await trio.to_thread.run_sync(self._writer.put_blob, file)
        _drop(file)

    async def put_document(self, document: Document) -> None:
        self._writer.put_instance(document.data)

    async def finish(self, top: Document) -> str:
        self._writer.finish(top.data)
        return top.digest


class _LayoutTarget:
    def __init__(self, writer: LayoutWriter, name: str) -> None:
        self._writer = writer
        self._name = name

    async def has_blob(self, digest: str) -> bool:
        return self._writer.has_blob(digest)

    async def put_blob(self, file: File) -> None:
        await trio.to_thread.run_sync(self._writer.put_blob, file)
        _drop(file)

    async def put_document(self, document: Document) -> None:
        self._writer.put_document(document.data, document.media_type)

    async def finish(self, top: Document) -> str:
        entry = self._writer.put_document(top.data, top.media_type)
        self._writer.finish(entry, self._name)
        return entry.digest


def _drop(file: File) -> None:
    """What was fetched into the scratch directory has arrived."""
    if isinstance(file.content, Path):
        file.content.unlink()
