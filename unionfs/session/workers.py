"""Threads for requests that would keep all others waiting.

`threading` is imported with the first such request: most mounts never see one. A request waits for
a thread only when LIMIT of them are busy; until a thread takes it up it can still be interrupted.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from unionfs.session.handlers import Handler
from unionfs.session.requests import Header, Request

if TYPE_CHECKING:
    from threading import Lock, Thread

LIMIT = 4
_SWITCH_INTERVAL = 0.0005
"""Seconds a thread may compute before another gets its turn; the default of 5 ms would be felt in
every request."""

Answer = Callable[[Header, Handler, Request, int], None]


class Workers:
    """`answer` runs a handler and replies; it never raises."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._queue: deque[tuple[Header, Handler, Request, int]] = deque()
        self._threads: list[Thread] = []
        self._lock: Lock | None = None

    def start(self, header: Header, handler: Handler, request: Request) -> None:
        """Have the request answered by a thread."""
        from threading import Lock, Thread, current_thread

        if self._lock is None:
            self._lock = Lock()
            sys.setswitchinterval(_SWITCH_INTERVAL)
        lock = self._lock

        def work() -> None:
            while True:
                with lock:
                    if not self._queue:
                        self._threads.remove(current_thread())
                        return
                    task = self._queue.popleft()
                self._answer(*task)

        with lock:
            self._queue.append((header, handler, request, perf_counter_ns()))
            if len(self._threads) >= LIMIT:
                return
            thread = Thread(target=work, daemon=True)
            self._threads.append(thread)
        thread.start()

    def cancel(self, unique: int) -> bool:
        """Take back a request that no thread has begun. True if there was one: it is then the
        caller's to answer."""
        if self._lock is None:
            return False
        with self._lock:
            for waiting in self._queue:
                if waiting[0].unique == unique:
                    self._queue.remove(waiting)
                    return True
        return False

    def finish(self) -> None:
        """Return when every request has been answered."""
        for thread in tuple(self._threads):
            thread.join()
