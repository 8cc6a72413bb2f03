"""The times in records."""

from __future__ import annotations

import time

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def now() -> str:
    return timestamp(time.time_ns())


def timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes it. `time_ns`: since 1970."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def source_date_epoch(environ: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH (reproducible-builds.org) in seconds: the time to record as that of creation.
    None if it is not set. Raises UsageError."""
    text = environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 10:
        raise UsageError(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds")
    return int(text)


def time_of_making(environ: Mapping[str, str]) -> str:
    """RFC 3339: SOURCE_DATE_EPOCH where it is set, else now."""
    seconds = source_date_epoch(environ)
    return now() if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
