"""Blobs that are on their way: kept where a process that dies leaves them, so that the next goes on.

    partial/<hex>         the first bytes of a blob, unverified
    partial/<hex>.lock    held by whoever brings the blob in: one at a time, all others wait for what
                          comes of it

One task appends what it receives while a thread reads the same file from its beginning, so the
file is the buffer between network and disk: whatever the speeds, memory stays small. Nothing here is
used before the digest of the whole has been checked. Crash consistency: a partial blob may have any
length, and after a crash of the machine even wrong bytes; the digest finds that, and the file is
deleted.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from rootless.durable import LockFile, acquire_lock, write_all
from rootless.oci.digest import hex_of
from rootless.store.layout import Store

FORGOTTEN_AFTER = 7 * 86400
"""Seconds after which an abandoned partial blob is swept."""


class PartialBlob:
    """A blob under way, its lock held. Close it in the end; `discard` what is of no more use."""

    def __init__(self, path: Path, lock: LockFile) -> None:
        self.path = path
        self._lock = lock
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size
        self._position = 0
        self._ended = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()

    @property
    def size(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        """Add what came. Raises OSError."""
        write_all(self._fd, data)
        with self._changed:
            self._size += len(data)
            self._changed.notify()

    def end(self, failure: Exception | None = None) -> None:
        """Nothing more comes: the reader meets the end, or `failure`. Idempotent; the first call
        counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._failure = True, failure
            self._changed.notify()

    def read(self, size: int) -> bytes:
        """For one reading thread: some bytes, waiting for them; none at the end. Raises what `end`
        was given, at once: what has come before is of no use then."""
        with self._changed:
            while self._position >= self._size and not self._ended:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
        data = os.pread(self._fd, size, self._position)
        self._position += len(data)
        return data

    def rewind(self) -> None:
        """Begin anew, with nothing; no thread may be reading."""
        os.ftruncate(self._fd, 0)
        self._size = self._position = 0
        self._ended, self._failure = False, None

    def discard(self) -> None:
        """Delete the file; what was linked from it stays."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give up descriptor and lock. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        os.close(fd)
        if not self.path.exists():
            # Unlinked while it is held: see acquire_lock.
            _lock_path(self.path).unlink(missing_ok=True)
        self._lock.release()


def open_partial(store: Store, digest: str) -> PartialBlob | None:
    """The partial blob, empty if nothing has come yet; None if another process has it in hand."""
    directory = Path(store.root) / "partial"
    directory.mkdir(exist_ok=True)
    path = directory / hex_of(digest)
    lock = acquire_lock(_lock_path(path), wait=False)
    if lock is None:
        return None
    try:
        return PartialBlob(path, lock)
    except BaseException:
        lock.release()
        raise


def sweep_partials(store: Store, now: float | None = None) -> None:
    """Delete what nobody has gone on with for a week."""
    directory = Path(store.root) / "partial"
    oldest = (time.time() if now is None else now) - FORGOTTEN_AFTER
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    for entry in entries:
        path = Path(entry.path)
        try:
            if entry.stat().st_mtime >= oldest:
                continue
            lock_path = path if path.suffix == ".lock" else _lock_path(path)
            lock = acquire_lock(lock_path, wait=False)
        except FileNotFoundError:
            continue
        if lock is not None:
            path.unlink(missing_ok=True)
            lock_path.unlink(missing_ok=True)
            lock.release()


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
