"""When to look for the next request, and when to sleep until it comes.

Going to sleep and being woken takes longer than most requests, and a client that asks one thing after
another asks again within microseconds. So the server goes on looking for a while, as long as that
finds something; it gives the processor to whoever wants it between two looks. Where nothing was found
it sleeps for a number of requests before it looks again, twice as many each time. On one processor the
client cannot ask while the server looks: there it always sleeps (docs/decisions/1562).
"""

from __future__ import annotations

import os

LOOK = 25_000
"""Nanoseconds for which it looks."""

_LEAST, _MOST = 8, 1024
"""Requests to sleep for."""


class Patience:
    """`wanted`: whether to look at all. `rest` is how many more requests are to be slept for; 0: look;
    negative: always sleep."""

    __slots__ = ("_next", "rest")

    def __init__(self, *, wanted: bool) -> None:
        self.rest = 0 if wanted and len(os.sched_getaffinity(0)) > 1 else -1
        self._next = _LEAST

    def found(self) -> None:
        self._next = _LEAST

    def missed(self) -> None:
        self.rest = self._next
        self._next = min(2 * self._next, _MOST)
