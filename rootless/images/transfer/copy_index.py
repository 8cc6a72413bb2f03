"""copy --all: an index with every image that it names, from one location to another.

As rootless.images.transfer.copy_graph has it; only what is Docker's becomes OCI's in an OCI layout. The index
comes last: whatever the moment of a failure, what can be found by name is complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from rootless.errors import ExistsError, IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.images.formats.directory_format import (
    DirectoryAsLayout,
    DirectoryWriter,
    is_directory_format,
)
from rootless.images.formats.members import Members
from rootless.images.formats.oci_layout import (
    BLOBS,
    LayoutWriter,
    blob_document,
    entries_named,
    files_of_layout,
)
from rootless.images.formats.outgoing import File, new_file, write_tar
from rootless.images.formats.source import open_source
from rootless.images.transfer.copy_graph import (
    RepositorySource,
    RepositoryTarget,
    Source,
    Target,
    copy_graph,
)
from rootless.images.transfer.locations import Kind, Location
from rootless.images.transfer.progress import Progress
from rootless.images.transfer.refusals import manifest_refused
from rootless.oci import media_types
from rootless.oci.digest import hex_of
from rootless.oci.manifest import Descriptor, media_type_of, read_index
from rootless.oci.reference import parse_reference
from rootless.registry.client import Document, RepositoryClient
from rootless.registry.configuration import ClientEnv
from rootless.registry.failures import RegistryError, UnknownError
from rootless.registry.remote import Remote, RemoteOptions, run_remote
from rootless.store.decompression import Limits
from rootless.store.image import resolve
from rootless.store.layout import Store


class _Named(Target, Protocol):
    """A target where an index can have a name."""

    async def finish(self, top: Document) -> str:
        """Returns the digest of the index as it is there."""


def copy_index(
    store: Store,
    scratch: Path,
    start: Location,
    end: Location,
    *,
    env: ClientEnv,
    source_options: RemoteOptions,
    target_options: RemoteOptions,
    images: bool,
    progress: Progress | None,
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
            source, top = await stack.enter_async_context(
                _source(store, scratch, start, env, source_options)
            )
            what = f"index {top.digest}"
            kind = media_type_of(top.data, what, top.media_type)
            if kind not in media_types.INDEXES:
                return None
            top = top._replace(media_type=kind)
            target = await stack.enter_async_context(
                _target(scratch, end, source, env, target_options)
            )
            named = read_index(top.data, what, kind).manifests
            await copy_graph(source, target, named if images else (), progress)
            return await target.finish(top)

    return run_remote(work)


# From where


@asynccontextmanager
async def _source(
    store: Store, scratch: Path, start: Location, env: ClientEnv, options: RemoteOptions
) -> AsyncIterator[tuple[Source, Document]]:
    if start.kind is Kind.REGISTRY:
        async with Remote(env, options) as remote:
            yield await _registry_source(remote, start.name, scratch)
        return
    path = Path(store.root) if start.kind is Kind.LOCAL else start.path
    with open_source(path, scratch, Limits()) as members:
        if start.kind is Kind.LOCAL:
            yield _layout_source(members, resolve(store, start.name).entry)
        elif not members.has("index.json") and is_directory_format(members):
            layout = DirectoryAsLayout(members)
            yield _layout_source(layout, _entry(layout, ""))
        else:
            yield _layout_source(members, _entry(members, start.name))


def _entry(members: Members, name: str) -> Descriptor:
    """The entry of index.json that a name means."""
    entries = entries_named(members, name)
    if not entries:
        raise NotFoundError(f"{members.label} holds no image")
    if len({each.digest for each in entries}) > 1:
        raise UsageError(
            f"{members.label} holds several images", hint="append :NAME to the path to choose one"
        )
    return entries[0]


def _layout_source(members: Members, entry: Descriptor) -> tuple[Source, Document]:
    top = Document(blob_document(members, entry), entry.media_type, entry.digest)
    return _LayoutSource(members), top


class _LayoutSource:
    """An OCI layout, in a directory or an archive."""

    def __init__(self, members: Members) -> None:
        self._members = members

    async def document(self, descriptor: Descriptor) -> Document:
        data = blob_document(self._members, descriptor)
        return Document(data, descriptor.media_type, descriptor.digest)

    async def blob(self, descriptor: Descriptor, received: Callable[[int], None]) -> File:
        name = f"{BLOBS}{hex_of(descriptor.digest)}"
        label = f"{name} in {self._members.label}"
        if self._members.size(name) != descriptor.size:
            raise IntegrityError(f"{label} does not match its descriptor")
        received(descriptor.size)
        opened = partial(self._members.reader, name)
        return File(label, descriptor.size, opened, descriptor.digest)


async def _registry_source(
    remote: Remote, name: str, scratch: Path
) -> tuple[RepositorySource, Document]:
    failure: RootlessError | None = None
    for candidate in remote.candidates(name):
        reference = candidate.with_default_tag()
        for client in remote.readers(reference):
            try:
                top = await client.manifest(reference.digest or reference.tag or "latest")
            except (UnknownError, RegistryError) as error:
                failure = manifest_refused(reference, error)
            else:
                return RepositorySource(client, remote.options.timing, scratch), top
    assert failure is not None, "a name has at least one candidate"
    raise failure


# To where


@asynccontextmanager
async def _target(
    scratch: Path, end: Location, source: Source, env: ClientEnv, options: RemoteOptions
) -> AsyncIterator[_Named]:
    if end.kind is Kind.REGISTRY:
        async with Remote(env, options) as remote:
            reference = parse_reference(end.name).with_default_tag()
            theirs = source.client if isinstance(source, RepositorySource) else None
            name = reference.tag or reference.digest or "latest"
            yield _RegistryTarget(remote.writer(reference), theirs, scratch, name)
    elif end.kind is Kind.DIRECTORY:
        yield _DirectoryTarget(DirectoryWriter(end.path))
    elif end.kind is Kind.OCI:
        yield _LayoutTarget(LayoutWriter(end.path), end.name)
    elif end.kind is Kind.OCI_ARCHIVE:
        if end.path.exists():
            raise ExistsError(f"{end.path} exists already")
        layout = scratch / "archive"
        yield _LayoutTarget(LayoutWriter(layout), end.name)
        new_file(end.path, lambda fd: write_tar(files_of_layout(layout), fd), 0o644)
    else:
        raise UsageError(
            f"{end.kind.value}: cannot hold an index of several platforms",
            hint="copy the image for one platform: leave out --all, give --platform",
        )


class _RegistryTarget(RepositoryTarget):
    def __init__(
        self,
        client: RepositoryClient,
        origin: RepositoryClient | None,
        scratch: Path,
        name: str,
    ) -> None:
        super().__init__(client, origin, scratch)
        self._name = name

    async def finish(self, top: Document) -> str:
        return await self.put_named(self._name, top)


class _Blobs:
    """The blobs of a local directory."""

    def __init__(self, writer: DirectoryWriter | LayoutWriter) -> None:
        self._blobs = writer

    async def has_blob(self, digest: str) -> bool:
        return self._blobs.has_blob(digest)

    async def put_blob(self, file: File) -> None:
        await trio.to_thread.run_sync(self._blobs.put_blob, file)
        # What was fetched into the scratch directory has arrived.
        if isinstance(file.content, Path):
            file.content.unlink()


class _DirectoryTarget(_Blobs):
    def __init__(self, writer: DirectoryWriter) -> None:
        super().__init__(writer)
        self._writer = writer

    async def put_document(self, document: Document) -> None:
        self._writer.put_instance(document.data)

    async def finish(self, top: Document) -> str:
        self._writer.finish(top.data)
        return top.digest


class _LayoutTarget(_Blobs):
    def __init__(self, writer: LayoutWriter, name: str) -> None:
        super().__init__(writer)
        self._writer = writer
        self._name = name

    async def put_document(self, document: Document) -> None:
        self._writer.put_document(document.data, document.media_type)

    async def finish(self, top: Document) -> str:
        entry = self._writer.put_document(top.data, top.media_type)
        self._writer.finish(entry, self._name)
        return entry.digest
