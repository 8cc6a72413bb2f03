"""Limits of bytes and of requests per second: a token bucket that READ and WRITE are taken from.

A request for which there are no tokens waits, with its message, until it is due. No other request
waits for it.
"""

from __future__ import annotations

import time
from heapq import heappop, heappush
from struct import Struct

from unionfs.model import NodeId
from unionfs.session import wire
from unionfs.session.copies import Kept, MustWait
from unionfs.session.wire import Opcode
from unionfs.session.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.session.fast_data import Answer

_BURST = 0.1
"""Seconds for which an unused rate adds up."""

_SIZE = Struct("=I")
_SIZE_AT = wire.IN_HEADER.size + 16
"""Of fuse_read_in and fuse_write_in: the number of bytes."""


class TokenBucket:
    """`rate` tokens per second. Tokens may be taken in advance: the debt is what a later request
    waits for, so that one of any size passes."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = rate * _BURST
        self._at = now

    def take(self, tokens: int, now: float) -> float:
        """Take tokens. Returns for how many seconds to wait."""
        had = min(self._rate * _BURST, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens = had - tokens
        return max(0.0, -had / self._rate) if had < 0 else 0.0


class Throttle:
    """Delays READ and WRITE of the messages in `buffer`.

    Args:
        bps, iops: bytes and requests per second; None: no limit.
        clock: one thread, which sleeps until the next request is due.
        resume: handles a kept request again.
    """

    def __init__(
        self,
        bps: int | None,
        iops: int | None,
        buffer: memoryview,
        clock: Workers,
        resume: Callable[[Kept], None],
    ) -> None:
        now = time.monotonic()
        self._bytes = None if bps is None else TokenBucket(bps, now)
        self._requests = None if iops is None else TokenBucket(iops, now)
        self._buffer = buffer
        self._resume = resume
        self._clock = clock
        self._waiting: list[tuple[float, int, Kept]] = []
        self._admitted: set[int] = set()
        """Requests that have their tokens and have not been answered."""

    def wrap(self, table: dict[int, Answer]) -> dict[int, Answer]:
        """The methods of READ and WRITE, delayed."""
        return {opcode: self._delayed(table[opcode]) for opcode in (Opcode.READ, Opcode.WRITE)}

    def _delayed(self, method: Answer) -> Answer:
        def answer(unique: int, nodeid: NodeId, length: int) -> bytes | memoryview:
            if unique in self._admitted:
                self._admitted.discard(unique)
            else:
                self._take(unique)
            try:
                return method(unique, nodeid, length)
            except MustWait:
                # For a copy: it comes again, and has its tokens.
                self._admitted.add(unique)
                raise

        return answer

    def _take(self, unique: int) -> None:
        """Take the tokens for the request in the buffer. Raises MustWait if it has to wait for them."""
        now = time.monotonic()
        wait = 0.0
        if self._requests is not None:
            wait = self._requests.take(1, now)
        if self._bytes is not None:
            (size,) = _SIZE.unpack_from(self._buffer, _SIZE_AT)
            wait = max(wait, self._bytes.take(size, now))
        if wait > 0.0:

            def keep(request: Kept) -> None:
                heappush(self._waiting, (now + wait, unique, request))
                if not self._clock.outstanding:
                    self._sleep()

            raise MustWait(keep)

    def _sleep(self) -> None:
        until = self._waiting[0][0]
        self._clock.start(lambda: time.sleep(max(0.0, until - time.monotonic())), self._woken)

    def _woken(self, _raised: BaseException | None) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, unique, request = heappop(self._waiting)
            self._admitted.add(unique)
            self._resume(request)
        if self._waiting:
            self._sleep()

    def cancel(self, unique: int) -> bool:
        """Drop the request of this number. True if it waited: the caller then answers it."""
        for index, (_, number, _) in enumerate(self._waiting):
            if number == unique:
                self._waiting[index] = self._waiting[-1]
                self._waiting.pop()
                from heapq import heapify

                heapify(self._waiting)
                return True
        return False
