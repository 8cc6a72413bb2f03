"""Manifests and indexes with all that they name, copied from one location to another.

Nothing is unpacked: documents and blobs keep their bytes, and so their digests, each of which is
verified on the way.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import trio

from rootless.durable import write_all
from rootless.errors import IntegrityError, InvalidDocumentError
from rootless.images.formats.outgoing import File, pieces
from rootless.images.transfer.progress import Progress, Silence, Stage
from rootless.oci import media_types
from rootless.oci.digest import hex_of
from rootless.oci.manifest import Descriptor, media_type_of, read_index, read_manifest
from rootless.registry.client import Document, RepositoryClient
from rootless.registry.download import download, foreign_urls
from rootless.registry.transport import Timing
from rootless.registry.upload import Blob, has_blob, mount_blob, put_blob, put_manifest

_AT_ONCE = 3
_MAX_DEPTH = 4
_MAX_MANIFESTS = 1000
_MAX_BYTES = 64 << 20
"""Of all manifests of one index: they are kept in memory until their blobs are there."""


class Source(Protocol):
    """A location to copy from."""

    async def document(self, descriptor: Descriptor) -> Document:
        """A manifest, or an index in the index, verified."""

    async def blob(self, descriptor: Descriptor, received: Callable[[int], None]) -> File:
        """A blob, which is verified when its pieces are read; `received` is called with the bytes
        received so far."""


class Target(Protocol):
    """A location to copy to. Several blobs may be written at once."""

    async def has_blob(self, digest: str) -> bool: ...
    async def put_blob(self, file: File) -> None: ...
    async def put_document(self, document: Document) -> None: ...


async def copy_graph(
    source: Source,
    target: Target,
    manifests: Sequence[Descriptor],
    progress: Progress | None = None,
) -> None:
    """Bring manifests, and all that they name, to a target: blobs first, then each document after
    those that it names. Raises InvalidDocumentError, IntegrityError and what the ends raise."""
    found = _Found([], {})
    for each in manifests:
        await _find(source, each, found, 1)
    limiter = trio.CapacityLimiter(_AT_ONCE)
    shown = progress or Silence()

    async def bring(blob: Descriptor) -> None:
        name = hex_of(blob.digest)[:12]

        def received(done: int) -> None:
            shown.layer(name, Stage.DOWNLOADING, done, blob.size)

        shown.layer(name, Stage.PREPARING)
        async with limiter:
            if await target.has_blob(blob.digest):
                shown.layer(name, Stage.EXISTS_REMOTELY)
                return
            file = await source.blob(blob, received)
            shown.layer(name, Stage.PUSHING)
            await target.put_blob(file)
            shown.layer(name, Stage.PUSHED)

    async with trio.open_nursery() as nursery:
        for blob in found.blobs.values():
            nursery.start_soon(bring, blob)
    for document in found.documents:
        await target.put_document(document)


class _Found(NamedTuple):
    """The things to copy: documents, each after those that it names, and blobs by digest."""

    documents: list[Document]
    blobs: dict[str, Descriptor]


async def _find(source: Source, descriptor: Descriptor, found: _Found, depth: int) -> None:
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
    size = sum(len(each.data) for each in found.documents)
    if len(found.documents) > _MAX_MANIFESTS or size > _MAX_BYTES:
        raise InvalidDocumentError(
            f"an index names more than {_MAX_MANIFESTS} manifests, or more than {_MAX_BYTES} bytes "
            "of them"
        )


class RepositorySource:
    """A repository at a registry. Blobs come through files in `scratch`."""

    def __init__(self, client: RepositoryClient, timing: Timing, scratch: Path) -> None:
        self.client = client
        self._timing = timing
        self._scratch = scratch

    async def document(self, descriptor: Descriptor) -> Document:
        document = await self.client.manifest(descriptor.digest)
        if len(document.data) != descriptor.size:
            raise IntegrityError(
                f"manifest {descriptor.digest} has {len(document.data)} bytes instead of "
                f"{descriptor.size}"
            )
        return document

    async def blob(self, descriptor: Descriptor, received: Callable[[int], None]) -> File:
        path = self._scratch / f"blob-{hex_of(descriptor.digest)}"
        with _Spool(path) as spool:
            await download([self.client], descriptor, spool, self._timing, received)
        if spool.digest != descriptor.digest:
            raise IntegrityError(
                f"blob {descriptor.digest} does not match its descriptor: it is {spool.digest}"
            )
        return File(f"blob {descriptor.digest}", descriptor.size, path, descriptor.digest)


class _Spool:
    """A temporary file as the target of a download."""

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
    """Progress that is not shown."""


class RepositoryTarget:
    """A repository at a registry. What it has is not sent; what `theirs`, where it all comes from, has
    at the same registry is mounted."""

    def __init__(
        self, client: RepositoryClient, theirs: RepositoryClient | None, scratch: Path
    ) -> None:
        self._client = client
        self._theirs = theirs
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

    async def put_named(self, name: str, document: Document) -> str:
        """Put a document under a tag or digest; returns its digest."""
        return await put_manifest(self._client, name, document.data, document.media_type)
