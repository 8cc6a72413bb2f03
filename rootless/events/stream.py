"""Reads the log of events, and waits for further ones."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Self

from rootless.events.event import decode
from rootless.events.filters import EventFilters
from rootless.private_directory import make_private_directory
from rootless.syscalls import inotify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.events.event import Event
    from rootless.events.log import EventLog

_CHUNK = 1 << 16
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WATCHED = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO
EVERYTHING = EventFilters()


class _File:
    """A file of the log, and how far it has been read."""

    def __init__(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.inode = status.st_ino
        self.size = status.st_size
        self.descriptor = descriptor
        self._rest = b""

    @classmethod
    def open(cls, path: str) -> _File | None:
        try:
            return cls(os.open(path, _FLAGS))
        except FileNotFoundError:
            return None

    def skip(self) -> None:
        """Leave out what it holds now."""
        os.lseek(self.descriptor, self.size, os.SEEK_SET)

    def events(self) -> Iterator[Event]:
        """The events since the last call; lines that are damaged are left out."""
        while data := os.read(self.descriptor, _CHUNK):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                event = decode(line)
                if event is not None:
                    yield event

    def close(self) -> None:
        os.close(self.descriptor)


class EventStream:
    """The events of a log that pass the filters, in the order in which they were written.

    Args:
        since: Nanoseconds since the epoch: events that happened then or later. None: none of the past,
            but all of the past if `until` is given (docker).
        until: Nanoseconds since the epoch: events before that.

    `fileno()` can be read when `read` may have more. Raises HostSupportError if the directory of the log
    is another user's. Close it, or use it in `with`.
    """

    def __init__(
        self,
        log: EventLog,
        filters: EventFilters = EVERYTHING,
        since: int | None = None,
        until: int | None = None,
    ) -> None:
        make_private_directory(log.runtime, "ROOTLESS_RUNROOT")
        self._log = log
        self._filters = filters
        self._since = since or 0
        self._until = until
        self._watch = inotify.Watch(log.runtime, _WATCHED)
        self._files: list[_File] = []
        try:
            self._open_new_files()
            if since is None and until is None:
                for each in self._files:
                    each.skip()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._watch.fileno()

    def remaining(self) -> float | None:
        """Seconds until `until`, 0 after it; None if there is no end."""
        if self._until is None:
            return None
        return max(0.0, (self._until - time.time_ns()) / 1e9)

    def read(self) -> list[Event]:
        """The events since the last call, without waiting."""
        return [event for event in self._read_all() if self._is_wanted(event)]

    def _read_all(self) -> list[Event]:
        """The events since the last call, whatever the filters say."""
        self._watch.clear()
        self._open_new_files()
        # The newest file first: what a process has written to it comes after all that it wrote to an older one.
        newest_first = [list(file.events()) for file in reversed(self._files)]
        found = [event for events in reversed(newest_first) for event in events]
        # A process that had opened a file before it was renamed may still write to it.
        while len(self._files) > 2:
            self._files.pop(0).close()
        return found

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until there may be more events, until the end, or for so long. Returns whether there may be more."""
        limits = [each for each in (seconds, self.remaining()) if each is not None]
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(min(limits) * 1000 if limits else None))

    def __iter__(self) -> Iterator[Event]:
        """Every event up to the end; without one, for ever."""
        while True:
            is_last = self.remaining() == 0
            yield from self.read()
            if is_last:
                return
            self.wait()

    def close(self) -> None:
        self._watch.close()
        for file in self._files:
            file.close()
        self._files.clear()

    def _open_new_files(self) -> None:
        """Open the files of the log that are not open yet: two, if the log has rotated since there was none."""
        known = {file.inode for file in self._files}
        # In this order: a file that is renamed in between is then seen twice, and not missed.
        current = _File.open(self._log.path)
        older = _File.open(self._log.older)
        for file in (older, current):
            if file is None:
                continue
            if file.inode in known:
                file.close()
                continue
            known.add(file.inode)
            self._files.append(file)

    def _is_wanted(self, event: Event) -> bool:
        return (
            event.time >= self._since
            and (self._until is None or event.time < self._until)
            and self._filters.match(event)
        )
