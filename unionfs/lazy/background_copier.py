"""Completes lazy copies in the background: one file after another, at a bounded rate, each when it has not been
written to for a while.

The serving thread hands over a separate open file, so the two threads share nothing but `LazyState`,
under its lock. A file that is not reached stays marked.
"""

from __future__ import annotations

import os

from unionfs.lazy.file import STEP, LazyFile
from unionfs.light_types import deque
from unionfs.model import free_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event, Thread

_QUIET = 2.0
"""Seconds without a write after which a file's turn comes."""

_KEPT_FREE = 20
"""A file is not completed if less than 1/20 of the file system would be left free."""

_MAX_WAITING = 32
"""Files waiting: each keeps two descriptors open."""


class BackgroundCopier:
    """Completes at most `rate` bytes a second. `release` takes the mark off a complete file;
    `account` is called with the bytes copied. All methods are for the serving thread."""

    def __init__(
        self,
        rate: int,
        release: Callable[[LazyFile], None],
        account: Callable[[int], None],
        *,
        quiet: float = _QUIET,
    ) -> None:
        self._pause = STEP / rate
        self._release = release
        self._account = account
        self._quiet = quiet
        self._waiting: deque[LazyFile] = deque()
        self._thread: Thread | None = None
        self._stop: Event | None = None

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= _MAX_WAITING

    def add(self, file: LazyFile) -> None:
        """Complete this file, and close it, some time."""
        from threading import Event, Thread

        self._waiting.append(file)
        if self._thread is None or not self._thread.is_alive():
            stop = Event()
            thread = Thread(target=self._work, args=(stop,), daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                return  # the user may have no further process: the next file tries again
            self._thread, self._stop = thread, stop

    def stop(self) -> None:
        """Leave the rest as it is. Idempotent."""
        if self._thread is not None and self._stop is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
        while self._waiting:
            self._waiting.popleft().close()

    def _work(self, stop: Event) -> None:
        # Ends only on `stop`: a thread that ended by itself could miss the next file.
        while not stop.wait(self._quiet):
            while self._waiting and not stop.is_set():
                file = self._waiting[0]
                if file.state.is_busy:
                    file.state.is_busy = False
                    self._waiting.rotate(-1)
                    break
                try:
                    self._complete(file, stop)
                except OSError:
                    # It stays marked; `complete_copies` meets the same error and reports it.
                    pass
                if not stop.is_set():
                    self._waiting.popleft().close()

    def _complete(self, file: LazyFile, stop: Event) -> None:
        if not _has_room(file):
            return
        at = 0
        while at >= 0 and not file.state.is_gone and not file.state.is_complete:
            before = at
            at = file.fill(at)
            if stop.wait(self._pause if at > before else 0):
                return
        if not file.state.is_gone and not file.state.is_complete:
            os.fdatasync(file.fd)
            self._account(file.filled)
            self._release(file)


def _has_room(file: LazyFile) -> bool:
    """Whether the file system will not be full when the file is complete."""
    missing = file.state.mark.limit - os.fstat(file.fd).st_blocks * 512
    found = os.fstatvfs(file.fd)
    available = found.f_bavail - found.f_blocks // _KEPT_FREE
    return missing <= free_bytes(found.f_blocks, available, found.f_frsize)
