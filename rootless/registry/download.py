"""Downloads a blob, and resumes after failures.

The blob is appended to a sink that knows how much is there already; each try asks for the rest only.
Sizes are enforced while it comes: a body that goes on beyond what the descriptor says is an error at
its first byte too many. Digests are checked by the reader of the sink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from rootless.errors import IntegrityError
from rootless.oci.manifest import Descriptor
from rootless.registry.client import RepositoryClient
from rootless.registry.failures import RegistryError, UnknownError, UnreachableError
from rootless.registry.ranges import range_header, start_of_body
from rootless.registry.transport import Timing, TransportFailure, read_body


class Sink(Protocol):
    """The receiver of a blob's bytes."""

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
    """Fill `sink` up to the blob's size, from the first client that can; `received` is called with the size
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
                receiver = _Receiver(
                    sink, start, blob.size, what=what, timing=timing, received=received
                )
                await read_body(response, receiver)
            if sink.size < blob.size:
                raise TransportFailure(
                    f"{what} ends after {sink.size} of {blob.size} bytes", temporary=True
                )
        except TransportFailure as failure:
            attempts.received(sink.size - before)
            await client.pause(attempts, failure)


class _Receiver:
    """Takes the pieces of one body, which starts at `position`, and watches its length and pace."""

    def __init__(
        self,
        sink: Sink,
        position: int,
        size: int,
        *,
        what: str,
        timing: Timing,
        received: Callable[[int], None],
    ) -> None:
        self._sink = sink
        self._position = position
        self._size = size
        self._what = what
        self._timing = timing
        self._received = received
        self._since = trio.current_time()
        self._came = 0

    def __call__(self, piece: bytes) -> None:
        """Raises IntegrityError for a byte too many, TransportFailure if they trickle: the time limit
        of a single read is met by a peer that sends one byte a minute."""
        skipped = min(len(piece), max(0, self._sink.size - self._position))
        self._position += len(piece)
        if self._position > self._size:
            raise IntegrityError(
                f"{self._what} is longer than the {self._size} bytes of its descriptor"
            )
        if skipped < len(piece):
            self._sink.append(piece[skipped:] if skipped else piece)
            self._received(self._sink.size)
        self._came += len(piece)
        now = trio.current_time()
        if now - self._since >= self._timing.silence:
            if self._came < self._timing.slow_bytes:
                raise TransportFailure(f"{self._what} comes too slowly", temporary=True)
            self._since, self._came = now, 0
