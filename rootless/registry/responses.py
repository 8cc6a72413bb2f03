"""Reading the responses of a registry: bounded bodies, refusals as errors, links to the next page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio

from rootless.errors import InvalidDocumentError
from rootless.registry.failures import DeniedError, RegistryError, UnknownError, problems_of
from rootless.registry.transport import TransportFailure, read_body

_LARGEST_REFUSAL = 64 << 10
"""Bytes."""


@asynccontextmanager
async def closing(response: httpx.Response) -> AsyncIterator[None]:
    """Close the response at the end of the block, also of one that is cancelled."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(1):
            await response.aclose()


async def read_bounded(response: httpx.Response, limit: int, what: str) -> bytes:
    """The body. Raises InvalidDocumentError if it has more than `limit` bytes, TransportFailure."""
    data = bytearray()

    def take(piece: bytes) -> None:
        nonlocal data
        data += piece
        if len(data) > limit:
            raise InvalidDocumentError(f"{what} is too large: more than {limit} bytes")

    await read_body(response, take)
    return bytes(data)


async def read_refusal(response: httpx.Response) -> bytes:
    """The body of a response that is not a success, if it is short. Closes the response."""
    async with closing(response):
        try:
            with trio.move_on_after(5):
                return await read_bounded(response, _LARGEST_REFUSAL, "the refusal")
        except (TransportFailure, InvalidDocumentError):
            pass
    return b""


def refusal_error(response: httpx.Response, data: bytes, host: str, repository: str) -> Exception:
    """The error for a response that is not a success; `data` is what `read_refusal` has read of it."""
    status = response.status_code
    text = ", ".join(str(problem) for problem in problems_of(status, data))
    details = {"status": status, "registry": host, "repository": repository}
    if status in (401, 403):
        return DeniedError(text, details=details)
    if status == 404:
        return UnknownError(text, details=details)
    if status == 429:
        return RegistryError(
            f"toomanyrequests: {text}",
            hint="wait, or log in: rootless login",
            details=details,
        )
    return RegistryError(f"{host}: {text} (status {status})", details=details)


def next_link(header: str | None) -> str | None:
    """The target of rel="next" in a Link header (RFC 8288)."""
    for part in (header or "").split(","):
        target, _, parameters = part.strip().partition(">")
        if target.startswith("<") and 'rel="next"' in parameters.replace("rel=next", 'rel="next"'):
            return target[1:]
    return None
