"""Uploads blobs and manifests to a repository (distribution-spec, Push).

A blob that is there is not sent; one that another repository of the same registry has is mounted.
Else it goes as one body (POST, then PUT). If that breaks off, the next tries send it in chunks
(PATCH), each of which is confirmed, so that a bad line costs a chunk and not the blob.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import httpx
from typing_extensions import override

from rootless.errors import IntegrityError
from rootless.oci.digest import sha256_digest
from rootless.registry.authorization import pull_scope, push_scope
from rootless.registry.client import RepositoryClient
from rootless.registry.failures import DeniedError, RegistryError, UnknownError, UnreachableError
from rootless.registry.redirects import origin_of
from rootless.registry.retrying import Attempts, Policy

CHUNK = 16 << 20
_PIECE = 256 << 10
_MOST_MOUNTS = 3
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")
_ONCE = Policy(attempts=1)


class Sent(Enum):
    """The result of an upload: how the registry got the blob."""

    EXISTS = "exists"
    MOUNTED = "mounted"
    PUSHED = "pushed"


class Blob(NamedTuple):
    """A whole file to upload."""

    digest: str
    size: int
    path: Path


async def has_blob(client: RepositoryClient, digest: str) -> bool:
    """Whether the repository has a blob."""
    try:
        async with client.request("HEAD", f"blobs/{digest}", scopes=_scopes(client)):
            return True
    except UnknownError:
        return False


async def put_blob(
    client: RepositoryClient,
    blob: Blob,
    mount_from: Sequence[str],
    sent: Callable[[int], None],
) -> tuple[Sent, str]:
    """Bring a blob into the repository; the second result is the repository that it was mounted
    from. Raises DeniedError, RegistryError, UnreachableError, OSError."""
    if await has_blob(client, blob.digest):
        return Sent.EXISTS, ""
    for source in mount_from[:_MOST_MOUNTS]:
        if await mount_blob(client, blob.digest, source):
            return Sent.MOUNTED, source
    if not await _put_whole(client, blob, sent):
        await _put_chunks(client, blob, sent)
    return Sent.PUSHED, ""


async def put_manifest(
    client: RepositoryClient, reference: str, data: bytes, media_type: str
) -> str:
    """Put a manifest or index under a tag or digest; returns its digest. Raises IntegrityError if the
    registry says another."""
    digest = sha256_digest(data)
    async with client.request(
        "PUT",
        f"manifests/{reference}",
        headers={"Content-Type": media_type, "Content-Length": str(len(data))},
        content=lambda: data,
        accept=frozenset({200, 201, 202}),
        scopes=_scopes(client),
    ) as response:
        said = response.headers.get("Docker-Content-Digest")
    if said and said.startswith("sha256:") and said != digest:
        raise IntegrityError(f"the registry stored the manifest {digest} as {said}")
    return digest


def _scopes(client: RepositoryClient) -> frozenset[str]:
    return frozenset({push_scope(client.repository)})


async def mount_blob(client: RepositoryClient, digest: str, source: str) -> bool:
    """Have the registry take a blob over from another of its repositories; whether it did. An upload
    that it opens instead is given up."""
    query = urlencode({"mount": digest, "from": source})
    scopes = _scopes(client) | {pull_scope(source)}
    try:
        async with client.request(
            "POST",
            f"blobs/uploads/?{query}",
            headers={"Content-Length": "0"},
            accept=frozenset({201, 202}),
            scopes=scopes,
        ) as response:
            if response.status_code == 201:
                return True
            location = _location(response)
        await _cancel(client, location)
    except (DeniedError, RegistryError, UnknownError):
        # No right to read there, or no such thing as mounting here: then it is sent.
        return False
    return False


async def _cancel(client: RepositoryClient, location: str) -> None:
    try:
        async with client.request(
            "DELETE",
            location,
            accept=frozenset({200, 202, 204, 404, 405}),
            scopes=_scopes(client),
            attempts=client.new_attempts(_ONCE),
        ):
            return
    except (RegistryError, UnknownError, UnreachableError):
        return


async def _start(client: RepositoryClient) -> tuple[str, int]:
    """Open an upload; its location, and the size below which the registry takes no chunk."""
    async with client.request(
        "POST",
        "blobs/uploads/",
        headers={"Content-Length": "0"},
        accept=frozenset({202}),
        scopes=_scopes(client),
    ) as response:
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        return _location(response), int(least) if least.isascii() and least.isdigit() else 0


async def _put_whole(client: RepositoryClient, blob: Blob, sent: Callable[[int], None]) -> bool:
    """One body; False if it broke off on the way."""
    location, _ = await _start(client)
    try:
        async with client.request(
            "PUT",
            _with_digest(location, blob.digest),
            headers=_octets(blob.size),
            content=lambda: _Part(blob.path, 0, blob.size, sent),
            accept=frozenset({201, 204}),
            scopes=_scopes(client),
            attempts=client.new_attempts(_ONCE),
        ):
            return True
    except UnreachableError:
        return False
    except RegistryError as error:
        status = error.details.get("status")
        if isinstance(status, int) and status >= 500:
            return False
        raise


async def _put_chunks(client: RepositoryClient, blob: Blob, sent: Callable[[int], None]) -> None:
    location, least = await _start(client)
    chunk = max(CHUNK, least)
    attempts = client.new_attempts()
    offset = 0
    while offset < blob.size:
        end = min(offset + chunk, blob.size)
        try:
            location = await _put_chunk(client, blob, location, start=offset, end=end, sent=sent)
        except (UnreachableError, RegistryError) as error:
            location, offset = await _where(client, location, blob, attempts, error)
        else:
            attempts.received(end - offset)
            offset = end
    async with client.request(
        "PUT",
        _with_digest(location, blob.digest),
        headers={"Content-Length": "0"},
        accept=frozenset({201, 204}),
        scopes=_scopes(client),
    ):
        return


async def _put_chunk(
    client: RepositoryClient,
    blob: Blob,
    location: str,
    *,
    start: int,
    end: int,
    sent: Callable[[int], None],
) -> str:
    """Send one chunk; returns where the next goes."""
    headers = {**_octets(end - start), "Content-Range": f"{start}-{end - 1}"}
    async with client.request(
        "PATCH",
        location,
        headers=headers,
        content=lambda: _Part(blob.path, start, end, sent),
        accept=frozenset({202, 204}),
        scopes=_scopes(client),
        attempts=client.new_attempts(_ONCE),
    ) as response:
        return _location(response)


async def _where(
    client: RepositoryClient, location: str, blob: Blob, attempts: Attempts, cause: Exception
) -> tuple[str, int]:
    """How far an upload that broke off has come, asked of the registry. Raises `cause` if it does not
    know, or too much has failed."""
    import trio

    delay = attempts.delay()
    if delay is None:
        raise cause
    await trio.sleep(delay)
    try:
        async with client.request(
            "GET", location, accept=frozenset({204, 202, 200}), scopes=_scopes(client)
        ) as response:
            match = _RANGE.fullmatch(response.headers.get("Range", "").strip())
            # `0-0` is also what registries say of an upload that has nothing.
            offset = int(match[1]) + 1 if match and match[1] != "0" else 0
            found = _location(response) if "Location" in response.headers else location
    except (UnknownError, RegistryError):
        raise cause from None
    return found, min(offset, blob.size)


def _location(response: httpx.Response) -> str:
    """Where an upload goes on. A registry behind a proxy that ends TLS may not know that it is one."""
    asked = str(response.request.url)
    location: str | None = response.headers.get("Location")
    if not location:
        raise RegistryError(
            f"{asked.partition('?')[0]}: the registry did not send a Location to upload to"
        )
    target = urljoin(asked, location)
    if origin_of(target)[:2] == ("http", origin_of(asked)[1]) and asked.startswith("https:"):
        target = urlunsplit(urlsplit(target)._replace(scheme="https"))
    return target


def _with_digest(location: str, digest: str) -> str:
    parts = urlsplit(location)
    query = "&".join(each for each in (parts.query, urlencode({"digest": digest})) if each)
    return urlunsplit(parts._replace(query=query))


def _octets(size: int) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Content-Length": str(size)}


class _Part(httpx.AsyncByteStream):
    """A part of a file as the body of one request. It holds nothing open, because httpx does not close a
    body that a failure leaves in the middle; for the same reason it is no generator."""

    def __init__(self, path: Path, start: int, end: int, sent: Callable[[int], None]) -> None:
        self._path = path
        self._position = start
        self._end = end
        self._sent = sent

    @override
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        # What was handed out last has been taken by the connection.
        self._sent(self._position)
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(self._position)
            piece = stream.read(min(_PIECE, self._end - self._position))
        if not piece:
            raise StopAsyncIteration
        self._position += len(piece)
        return piece
