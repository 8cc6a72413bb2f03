"""The threads for work that would delay other requests.

`threading` is imported with the first piece of work: most mounts never have one. A thread hands its
result back to the serving thread, which an eventfd wakes: that thread alone changes tables.

A program that serves should call `sys.setswitchinterval(SWITCH_INTERVAL)`: the interpreter's default
of 5 ms, for which a computing thread keeps the others waiting, would be felt in every request.
"""

from __future__ import annotations

import os

from unionfs.light_types import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock, Thread
    from typing import TypeAlias

Work: TypeAlias = "Callable[[], object]"
Done: TypeAlias = "Callable[[BaseException | None], None]"

SWITCH_INTERVAL = 0.0005
"""Seconds a thread may compute before another gets its turn."""


class Busy:
    """How many pieces of work several `Workers` have together: one look for the serving thread."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Workers:
    """At most `limit` threads. All methods are for the serving thread."""

    def __init__(self, limit: int, busy: Busy) -> None:
        self._limit = limit
        self._busy = busy
        self.outstanding = 0
        """Pieces of work whose `done` has not been called."""
        self._queue: deque[tuple[Work, Done]] = deque()
        self._finished: deque[tuple[Done, BaseException | None]] = deque()
        self._threads: list[Thread] = []
        self._lock: Lock | None = None
        self._wakeup = -1

    @property
    def wakeup(self) -> int:
        """A descriptor that is readable when `run_completions` has something to do; -1 before any
        work."""
        return self._wakeup

    def start(self, work: Work, done: Done) -> None:
        """Have a thread run `work`; `run_completions` then calls `done` with the exception that it
        raised, or None."""
        from threading import Lock, Thread, current_thread

        if self._lock is None:
            self._lock = Lock()
            self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
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
        self._busy.count += 1
        with lock:
            self._queue.append((work, done))
            if len(self._threads) >= self._limit:
                return
            thread = Thread(target=run, daemon=True)
            self._threads.append(thread)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            # The user may have no further process (RLIMIT_NPROC): everyone waits, but the work is done.
            with lock:
                self._threads[self._threads.index(thread)] = current_thread()
            run()

    def run_completions(self) -> None:
        """Call `done` of each piece of work that has ended."""
        try:
            os.eventfd_read(self._wakeup)
        except BlockingIOError:
            pass
        while self._finished:
            done, raised = self._finished.popleft()
            self.outstanding -= 1
            self._busy.count -= 1
            done(raised)

    def finish(self) -> None:
        """Return when all work has ended and `done` of each has been called."""
        while self.outstanding:
            for thread in tuple(self._threads):
                thread.join()
            self.run_completions()
        if self._wakeup >= 0:
            os.close(self._wakeup)
            self._wakeup = -1
