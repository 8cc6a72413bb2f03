"""A log file of entries, each a line, and its rotation as Docker's (daemon/logger/loggerutils, LogFile).

The file is rotated before an entry is written to a file that has reached the limit, so a file is larger
than it by at most one entry. FILE.1 is the newest of the old ones. Where only one file is kept, it is
emptied.
"""

from __future__ import annotations

import os

from rootless.durable import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class LogFile:
    """Open for appending. `limit` is in bytes, 0 for none; `files` counts the current one.

    Raises OSError, as its methods do.
    """

    def __init__(self, path: str, *, limit: int, files: int, compress: bool) -> None:
        self._path = path
        self._limit = limit
        self._files = files
        self._compress = compress
        self._compressor = 0
        self._descriptor = self._opened()
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            # An entry that is written in part: the disk was full, or the monitor was killed.
            write_all(self._descriptor, b"\n")

    def write(self, entries: bytes) -> None:
        """Append whole entries."""
        if not self._limit:
            write_all(self._descriptor, entries)
            return
        while entries:
            if self._size >= self._limit:
                self._rotate()
            room = self._limit - self._size
            end = entries.find(b"\n", room - 1) + 1 or len(entries)
            write_all(self._descriptor, entries[:end])
            self._size += end
            entries = entries[end:]

    def close(self) -> None:
        """Idempotent, and the file is closed also where this raises: on NFS a full disk may be reported here alone."""
        try:
            self._close_descriptor()
        finally:
            self._wait()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o640)

    def _rotate(self) -> None:
        if self._files < 2:
            os.ftruncate(self._descriptor, 0)
            self._size = 0
            return
        self._wait()
        self._close_descriptor()
        for number in range(self._files - 1, 1, -1):
            for suffix in (".gz", ""):
                _rename(f"{self._path}.{number - 1}{suffix}", f"{self._path}.{number}{suffix}")
        os.rename(self._path, f"{self._path}.1")
        self._descriptor, self._size = self._opened(), 0
        if self._compress:
            self._compressor = os.fork()
            if not self._compressor:
                _compress(f"{self._path}.1")

    def _wait(self) -> None:
        """For the process that compresses the file before: the next rotation renames it."""
        if self._compressor:
            os.waitpid(self._compressor, 0)
            self._compressor = 0


def _rename(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except FileNotFoundError:
        pass


def _compress(path: str) -> NoReturn:
    """Replace a file by FILE.gz, in a process of its own, so that the monitor serves meanwhile."""
    status = 1
    try:
        import gzip
        import shutil

        temporary = f"{path}.gz.tmp"
        with open(path, "rb") as source, gzip.open(temporary, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 16)
        os.rename(temporary, f"{path}.gz")
        os.unlink(path)
        status = 0
    finally:
        os._exit(status)
