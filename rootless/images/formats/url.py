"""One file over HTTP, as a stream: what `import` does with a URL. Registries have a client of their
own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rootless.errors import InvalidDocumentError, NotFoundError, UsageError
from rootless.store.decompression import Read

_TIMEOUT = 60.0
"""Seconds without a byte."""


def is_url(text: str) -> bool:
    """Whether `import` takes this for a URL."""
    return text.startswith(("http://", "https://"))


@contextmanager
def open_url(url: str) -> Iterator[Read]:
    """The body of a URL. Raises UsageError for another scheme, NotFoundError if there is no such
    thing or no server, InvalidDocumentError, while reading, for a body that ends early."""
    import http.client
    import urllib.error
    import urllib.request

    if not is_url(url):
        raise UsageError(f"not an http or https URL: {url}")
    try:
        response = urllib.request.urlopen(url, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise NotFoundError(f"cannot fetch {url}: {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotFoundError(f"cannot fetch {url}: {_reason(error)}") from error
    left = response.length

    def read(size: int) -> bytes:
        nonlocal left
        try:
            piece: bytes = response.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise InvalidDocumentError(f"transfer of {url} was cut short: {error}") from error
        if left is not None:
            left -= len(piece)
            # http.client does not complain of a body that is shorter than Content-Length says.
            if not piece and left > 0:
                raise InvalidDocumentError(
                    f"transfer of {url} was cut short: {left} bytes are missing"
                )
        return piece

    with response:
        yield read


def _reason(error: Exception) -> str:
    """Why a request failed, without the name and number of the exception."""
    cause = getattr(error, "reason", error)  # of URLError: what the transport raised
    return (cause.strerror or str(cause)).lower() if isinstance(cause, OSError) else str(cause)
