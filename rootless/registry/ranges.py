"""Range requests: resumes the download of a blob. Pure. RFC 9110, 14.

A server may answer a request for the rest with the rest (206), with everything (200), or with a
refusal (416). What comes is checked against the size that the descriptor promised; the bytes
themselves are checked by the digest of the whole.
"""

from __future__ import annotations

import re

from rootless.errors import IntegrityError
from rootless.registry.failures import RegistryError

_CONTENT_RANGE = re.compile(r"bytes[ \t]+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


def range_header(offset: int) -> dict[str, str]:
    """The Range header; empty for a blob of which nothing is there."""
    return {"Range": f"bytes={offset}-"} if offset else {}


def start_of_body(
    status: int, content_range: str | None, length: int | None, *, offset: int, size: int, what: str
) -> int:
    """At which byte of the blob the body of an answer starts: 0 or `offset`.

    Raises IntegrityError if the answer is of another size, RegistryError if it is of another range.
    """
    if status == 200:
        if length is not None and length != size:
            raise IntegrityError(f"{what} has {length} bytes at the registry instead of {size}")
        return 0
    match = _CONTENT_RANGE.fullmatch((content_range or "").strip())
    if match is None or int(match[1]) != offset or int(match[2]) >= size:
        raise RegistryError(
            f"{what}: for a range from byte {offset} the registry sent Content-Range {content_range!r}"
        )
    if match[3] != "*" and int(match[3]) != size:
        raise IntegrityError(f"{what} has {match[3]} bytes at the registry instead of {size}")
    return offset
