"""Partial downloads of blobs: they survive the process, and the next one resumes them.

    partial/<hex>         the first bytes of a blob, unverified
    partial/<hex>.lock    held by the process that fetches the blob: one at a time, others wait for its
                          result

Where locks hold on one machine only, each machine has a file of its own, whose name is a hash of its name and <hex>.

One task appends what it receives while a thread reads the same file from its beginning, so the
file is the buffer between network and disk: whatever the speeds, memory stays small. Nothing here is
used before the digest of the whole has been checked. Crash consistency: a partial blob may have any
length, and after a crash of the machine even wrong bytes; the digest finds that, and the file is
deleted.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rootless.durable import LockFile, acquire_lock, write_all
from rootless.machine_locks import is_of_this_machine_only, machine
from rootless.oci.digest import hex_of, is_hex
from rootless.store.layout import Store

FORGOTTEN_AFTER = 7 * 86400.0
"""Seconds after which a partial blob that no pull has resumed is swept."""

_DIGITS = 64


class PartialBlob:
    """A partial blob, with its lock held. Close it in the end; `discard` deletes it."""

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
        """Append bytes. Raises OSError."""
        write_all(self._fd, data)
        with self._changed:
            self._size += len(data)
            self._changed.notify()

    def end(self, failure: Exception | None = None) -> None:
        """End the blob: the reader gets the end of the file, or `failure`. Idempotent; the first call
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
        """Truncate the blob to nothing; no thread may be reading."""
        os.ftruncate(self._fd, 0)
        self._size = self._position = 0
        self._ended, self._failure = False, None

    def discard(self) -> None:
        """Delete the file; links to it stay."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the descriptor and release the lock. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        os.close(fd)
        if not self.path.exists():
            # Unlinked while it is held: see acquire_lock.
            _lock_path(self.path).unlink(missing_ok=True)
        self._lock.release()


def open_partial(store: Store, digest: str) -> PartialBlob | None:
    """The partial blob, empty if it is new; None if another process holds its lock."""
    directory = Path(store.root) / "partial"
    directory.mkdir(exist_ok=True)
    path = directory / hex_of(digest)
    lock = acquire_lock(_lock_path(path), wait=False)
    if lock is not None and is_of_this_machine_only(lock):
        # Another machine may be fetching the blob into the file of that name.
        _lock_path(path).unlink(missing_ok=True)
        lock.release()
        path = directory / hashlib.sha256(f"{machine()} {path.name}".encode()).hexdigest()
        lock = acquire_lock(_lock_path(path), wait=False)
    if lock is None:
        return None
    try:
        return PartialBlob(path, lock)
    except BaseException:
        lock.release()
        raise


@contextmanager
def only_fetch_of(store: Store, name: str, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the fetch of an image by name, in the form of a lock without a partial blob; `waits` is called if
    another process has it. After a wait the image may be in the store."""
    directory = Path(store.root) / "partial"
    directory.mkdir(exist_ok=True)
    path = _lock_path(directory / hashlib.sha256(name.encode()).hexdigest())
    lock = acquire_lock(path, wait=False)
    if lock is None:
        waits()
        lock = acquire_lock(path)
    assert lock is not None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


class Abandoned(NamedTuple):
    """Something below the store that no live process works on: its path there, and bytes on disk."""

    name: str
    size: int


def abandoned_partials(
    store: Store, *, idle: float = FORGOTTEN_AFTER, remove: bool = False, now: float | None = None
) -> list[Abandoned]:
    """Partial blobs that no process fetches: those that have got nothing for `idle` seconds, or are of
    no more use because the store has the blob. With `remove` they are deleted.

    Each is looked at with its lock held: one that is being brought in is left alone.
    """
    directory = Path(store.root) / "partial"
    try:
        names = {name.removesuffix(".lock") for name in os.listdir(directory)}
    except FileNotFoundError:
        return []
    newest = (time.time() if now is None else now) - idle
    found = []
    for digits in sorted(name for name in names if len(name) == _DIGITS and is_hex(name)):
        path = directory / digits
        lock = acquire_lock(_lock_path(path), wait=False)
        if lock is None:
            continue
        try:
            status = _status(path)
            if status is None:
                # Killed between the lock and the blob. Nothing is lost, so nothing is reported.
                _lock_path(path).unlink(missing_ok=True)
            elif status.st_mtime <= newest or store.has_blob(f"sha256:{digits}"):
                found.append(Abandoned(f"partial/{digits}", status.st_blocks * 512))
                if remove:
                    path.unlink(missing_ok=True)
                    _lock_path(path).unlink(missing_ok=True)
        finally:
            lock.release()
    return found


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
