"""Threads for work that would keep every request waiting.

`threading` is imported with the first piece of work: most mounts never see one. What is finished is
handed back to the thread that serves, which is woken by an eventfd: tables are changed by that
thread alone.
"""

from __future__ import annotations

import os
import sys

from unionfs.light_types import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock, Thread
    from typing import TypeAlias

Work: TypeAlias = "Callable[[], object]"


Done: TypeAlias = "Callable[[BaseException | None], None]"

_SWITCH_INTERVAL = 0.0005
"""Seconds a thread may compute before another gets its turn; the default of 5 ms would be felt in
every request."""


class Workers:
    """At most `limit` threads. All methods are for the serving thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.outstanding = 0
        """Pieces of work whose `done` has not been called."""
        self._queue: deque[tuple[Work, Done]] = deque()
        self._finished: deque[tuple[Done, BaseException | None]] = deque()
        self._threads: list[Thread] = []
        self._lock: Lock | None = None
        self._wakeup = -1

    @property
    def wakeup(self) -> int:
        """A descriptor that is readable when `settle` has something to do; -1 before any work."""
        return self._wakeup

    def start(self, work: Work, done: Done) -> None:
        """Have `work` run by a thread, then `done` called by `settle` with what it raised, or
        None."""
        from threading import Lock, Thread, current_thread

        if self._lock is None:
            self._lock = Lock()
            self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            sys.setswitchinterval(_SWITCH_INTERVAL)
        lock = self._lock

        def run() -> None:
            while True:
                with lock:
                    if not self._queue:
                        self._threads.remove(current_thread())
                        return
                    work, done = self._queue.popleft()
                raised: BaseException | None = None
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - handed on to `done`
                    raised = error
                self._finished.append((done, raised))
                os.eventfd_write(self._wakeup, 1)

        self.outstanding += 1
        with lock:
            self._queue.append((work, done))
            if len(self._threads) >= self._limit:
                return
            thread = Thread(target=run, daemon=True)
            self._threads.append(thread)
        thread.start()

    def settle(self) -> None:
        """Call `done` for what has been finished."""
        try:
            os.eventfd_read(self._wakeup)
        except BlockingIOError:
            pass
        while self._finished:
            done, raised = self._finished.popleft()
            self.outstanding -= 1
            done(raised)

    def finish(self) -> None:
        """Return when all work is done and settled."""
        while self.outstanding:
            for thread in tuple(self._threads):
                thread.join()
            self.settle()
        if self._wakeup >= 0:
            os.close(self._wakeup)
            self._wakeup = -1
