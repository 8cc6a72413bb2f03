"""Getting a blob, however often the way to it breaks.

The blob is appended to a sink that knows how much is there already; each try asks for the rest only.
Sizes are enforced while it comes: a body that goes on beyond what the descriptor says is an error at
its first byte too many. Digests are checked by whoever reads the sink.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import trio

from rootless.errors import IntegrityError
from rootless.oci.manifest import Descriptor
from rootless.registry.client import RepositoryClient
from rootless.registry.failures import RegistryError, UnknownError, UnreachableError
from rootless.registry.ranges import range_header, start_of_body
from rootless.registry.transport import Timing, TransportFailure, body


class Sink(Protocol):
    """Where the blob goes."""

    @property
    def size(self) -> int: ...
    def append(self, data: bytes) -> None: ...


async def download(
    clients: Sequence[RepositoryClient],
    blob: Descriptor,
    sink: Sink,
    timing: Timing,
    received: Callable[[int], None],
) -> None:
    """Fill `sink` up to the blob's size, from the first client that can; `received` is told the size
    so far. Raises IntegrityError, UnknownError, RegistryError, UnreachableError."""
    failure: Exception | None = None
    for client in clients:
        for source in (f"blobs/{blob.digest}", *foreign_urls(blob)):
            try:
                await _from_one(client, source, blob, sink, timing=timing, received=received)
            except (UnknownError, UnreachableError, RegistryError) as error:
                failure = failure or error
            else:
                return
    assert failure is not None
    raise failure


def foreign_urls(blob: Descriptor) -> tuple[str, ...]:
    """Other places where a layer that may not be distributed lies (descriptor.md, urls)."""
    urls = blob.document.get("urls")
    return tuple(
        url
        for url in (urls if isinstance(urls, list) else [])
        if isinstance(url, str) and url.startswith(("https://", "http://"))
    )


async def _from_one(
    client: RepositoryClient,
    source: str,
    blob: Descriptor,
    sink: Sink,
    *,
    timing: Timing,
    received: Callable[[int], None],
) -> None:
    what = f"blob {blob.digest} of {client.host}/{client.repository}"
    attempts = client.new_attempts()
    ranged = True
    while sink.size < blob.size:
        before = sink.size
        # A server that refuses the range (416) is asked for all of it, and what is there is skipped.
        headers = range_header(sink.size) if ranged else {}
        accept = frozenset({200, 206, 416}) if headers else frozenset({200})
        try:
            async with client.request(
                "GET", source, headers=headers, accept=accept, attempts=attempts
            ) as response:
                if response.status_code == 416:
                    ranged = False
                    continue
                length = response.headers.get("Content-Length", "")
                start = start_of_body(
                    response.status_code,
                    response.headers.get("Content-Range"),
                    int(length) if length.isascii() and length.isdigit() else None,
                    offset=sink.size,
                    size=blob.size,
                    what=what,
                )
                await _copy(
                    _lively(body(response), timing, what),
                    sink,
                    position=start,
                    size=blob.size,
                    what=what,
                    received=received,
                )
            if sink.size < blob.size:
                raise TransportFailure(
                    f"{what} ends after {sink.size} of {blob.size} bytes", temporary=True
                )
        except TransportFailure as failure:
            attempts.received(sink.size - before)
            await client.pause(attempts, failure)


async def _copy(
    pieces: AsyncIterator[bytes],
    sink: Sink,
    *,
    position: int,
    size: int,
    what: str,
    received: Callable[[int], None],
) -> None:
    async for piece in pieces:
        skipped = min(len(piece), max(0, sink.size - position))
        position += len(piece)
        if position > size:
            raise IntegrityError(f"{what} goes on after the {size} bytes that it should have")
        if skipped < len(piece):
            sink.append(piece[skipped:] if skipped else piece)
            received(sink.size)


async def _lively(pieces: AsyncIterator[bytes], timing: Timing, what: str) -> AsyncIterator[bytes]:
    """The same pieces. Raises TransportFailure if they trickle: the time limit of a single read is
    met by a peer that sends one byte a minute."""
    started, came = trio.current_time(), 0
    async for piece in pieces:
        came += len(piece)
        now = trio.current_time()
        if now - started >= timing.silence:
            if came < timing.slow_bytes:
                raise TransportFailure(f"{what} comes too slowly", temporary=True)
            started, came = now, 0
        yield piece
