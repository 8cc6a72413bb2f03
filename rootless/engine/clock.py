"""The time as records have it."""

from __future__ import annotations

import time


def now() -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes it."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"
