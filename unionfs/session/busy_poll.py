"""Busy polling: decides when to poll for the next request, and when to sleep until it comes.

Going to sleep and being woken takes longer than most requests, and a client that sends one request after
another sends the next within microseconds. So the server polls the device for a while, as long as that
finds requests; it yields the processor between two looks. Where polling found nothing the server sleeps
for a number of requests before it polls again, twice as many each time. On one processor the client
cannot send while the server polls: there it always sleeps (docs/decisions/1562).
"""

from __future__ import annotations

import os

SPIN_NS = 25_000
"""Nanoseconds for which the server polls."""

_MIN_REST, _MAX_REST = 8, 1024
"""Requests to sleep for."""


class BusyPoll:
    """`wanted`: whether to poll at all. `rest` is how many more requests are to be slept for; 0: poll;
    negative: always sleep."""

    __slots__ = ("_next", "rest")

    def __init__(self, *, wanted: bool) -> None:
        self.rest = 0 if wanted and len(os.sched_getaffinity(0)) > 1 else -1
        self._next = _MIN_REST

    def found(self) -> None:
        """Polling has found a request."""
        self._next = _MIN_REST

    def missed(self) -> None:
        """Polling has found none."""
        if self.rest < 0:
            return  # something else had the device not block
        self.rest = self._next
        self._next = min(2 * self._next, _MAX_REST)
