"""`logs -f` of the command line: its process stands by while nothing is written to the log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rootless.logs.reader import follow_log, read_log
from rootless.supervisor.standby.patient import Patient
from rootless.syscalls import inotify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn, TypeAlias

    from rootless.logs.reader import LogRequest
    from rootless.spec.options import LogDriver

    Pieces: TypeAlias = Iterator[tuple[int, bytes]]
    ResumedLog: TypeAlias = Callable[[Callable[[], Pieces]], NoReturn]
    """What a process does that has stood by. It is given what gives the next pieces; both can be pickled."""

_WATCHED = inotify.IN_MODIFY | inotify.IN_MOVE_SELF


class PatientLog(Patient):
    """A log in files that is followed. `monitor` is a pidfd, the other arguments are those of `read_log`."""

    def __init__(
        self, path: str, driver: LogDriver, request: LogRequest, monitor: int, resumed: ResumedLog
    ) -> None:
        super().__init__()
        self._path = path
        self._driver = driver
        self._request = request
        self._monitor = monitor
        self._resumed = resumed
        self._file: int | None = None
        self._watch: inotify.Watch | None = None

    def pieces(self) -> Pieces:
        """The output from the beginning."""
        return read_log(self._path, self._driver, self._request, self._monitor, self)

    def resume(self) -> NoReturn:
        assert self._watch is not None  # for whose descriptor it waited
        self._watch.close()
        self._resumed(self._further)

    def _further(self) -> Pieces:
        self._take_signals()
        return follow_log(
            self._path, self._driver, self._request, self._monitor, idle=self, file=self._file
        )

    @property
    def seconds(self) -> float:
        """As `rootless.logs.reader.Idle` has it."""
        return self._quiet

    def __call__(self, file: int | None, offset: int) -> None:
        """Stand by until the log is written to, or the monitor ends. Returns if the process cannot."""
        try:
            if file is None:
                self._watch = inotify.Watch(os.path.dirname(self._path), inotify.IN_CREATE)
            else:
                self._watch = inotify.Watch(f"/proc/self/fd/{file}", _WATCHED)
        except OSError:
            return  # at the limits of the user
        try:
            if self._is_read(file, offset):
                self._file = file
                self._stand_by(self._watch.fileno(), self._monitor)
        finally:
            self._watch.close()
            self._watch = None

    def _is_read(self, file: int | None, offset: int) -> bool:
        """Whether there is nothing more yet."""
        try:
            current = os.stat(self._path)
        except FileNotFoundError:
            return file is None  # else it is being rotated
        if file is None:
            return False
        found = os.fstat(file)
        return os.path.samestat(current, found) and found.st_size == offset
