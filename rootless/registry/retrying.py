"""Decides whether and when to retry. Pure: the caller passes the random numbers.

Exponential backoff with full jitter: many clients that lost one server must not come back together.
A server's Retry-After (RFC 9110 10.2.3) takes precedence, up to a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Policy(NamedTuple):
    """Seconds, tries and bytes."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0
    longest_asked: float = 300.0
    """A server that wants more than this is not waited for."""
    progress: int = 256 << 10
    """After this number of bytes the count of failures begins anew, because the connection works."""


class Attempts:
    """The failures of one operation."""

    def __init__(self, policy: Policy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._failures = 0

    def delay(self, asked: float | None = None) -> float | None:
        """Seconds to wait after a failure before trying again; None if it was the last try."""
        policy = self._policy
        self._failures += 1
        if self._failures >= policy.attempts:
            return None
        if asked is not None:
            return asked if asked <= policy.longest_asked else None
        ceiling: float = min(policy.longest, policy.first * 2 ** (self._failures - 1))
        return ceiling * (0.5 + self._random() / 2)

    def received(self, count: int) -> None:
        """`count` bytes came since the last failure."""
        if count >= self._policy.progress:
            self._failures = 0


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds, from a header that has seconds or a date; None if there is none or it is malformed.
    `now` is in seconds since the epoch."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, IndexError):
        return None
