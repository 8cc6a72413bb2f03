"""The file of a layer's archive, written, hashed and indexed in large pieces.

What comes is gathered in buffers, so that headers and small files cost no system call and no thread
switch each. From the second buffer on, a thread hashes them and another one writes them (both release
the interpreter lock meanwhile); a small archive needs neither. What a large archive has beyond its first
part is written past the page cache (open(2), O_DIRECT): it has to reach the disk anyway before an image
names it, and copying gigabytes into pages that push out others takes several times the processor time
of hashing them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from _queue import SimpleQueue
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from rootless.durable import StrPath

_BUFFER = 1 << 20
"""Bytes: a multiple of every block size that O_DIRECT asks for."""
_BUFFERS = 4
"""One is filled while one is hashed and one is written."""
_CACHED = 128 << 20
"""Bytes at the start of an archive that go through the page cache, where the next step finds them."""


class LayerFile:
    """A new file. `each` is called with every part of the archive, in order, before it is written; it must not keep the part."""

    def __init__(self, path: StrPath, each: Callable[[memoryview], None]) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._each = each
        self._hash = hashlib.sha256()
        self._size = 0
        self._is_direct = False
        self._failure: OSError | None = None
        self._threads: list[Thread] = []
        self._to_hash: SimpleQueue[memoryview | None] = SimpleQueue()
        self._to_write: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._made = 0
        self._buffer = self._new_buffer()
        self._filled = 0

    def write(self, piece: bytes) -> None:
        """Add bytes. Raises the OSError that an earlier write met, and what `each` raises."""
        end = self._filled + len(piece)
        if end <= _BUFFER:
            self._buffer[self._filled : end] = piece
            self._filled = end
            return
        rest = memoryview(piece)
        while rest:
            part = rest[: _BUFFER - self._filled]
            rest = rest[len(part) :]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            if self._filled == _BUFFER:
                self._hand_over()

    def read_from(self, descriptor: int, size: int) -> int:
        """Add the next `size` bytes of a file, or what there is until its end, read straight into a buffer; returns how
        many they are. Raises as `write` does."""
        left = size
        while left:
            if self._filled == _BUFFER:
                self._hand_over()
            count = os.readv(descriptor, [self._buffer[self._filled : self._filled + left]])
            if not count:
                break
            self._filled += count
            left -= count
        return size - left

    def finish(self, *, durable: bool) -> tuple[str, int]:
        """Digest and size, once everything is written, and synced if it is to be `durable`. Raises OSError."""
        last = self._buffer[: self._filled]
        self._each(last)
        if self._threads:
            self._to_hash.put(last)
            self._join()
        else:
            self._hash.update(last)
            self._put(last)
        if self._failure is not None:
            raise self._failure
        if durable:
            os.fsync(self._fd)
        return "sha256:" + self._hash.hexdigest(), self._size

    def close(self) -> None:
        """End the threads and close the descriptor. Idempotent."""
        self._join()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _new_buffer(self) -> memoryview:
        """Aligned to a page, as O_DIRECT asks."""
        self._made += 1
        return memoryview(mmap(-1, _BUFFER, flags=MAP_PRIVATE | MAP_ANONYMOUS))

    def _hand_over(self) -> None:
        """Pass the full buffer to the threads, and take another one."""
        if self._failure is not None:
            raise self._failure
        self._each(self._buffer)
        if not self._threads:
            from threading import Thread

            for work in (self._hash_all, self._write_all):
                thread = Thread(target=work, daemon=True)
                thread.start()
                self._threads.append(thread)
        self._to_hash.put(self._buffer)
        self._buffer = self._new_buffer() if self._made < _BUFFERS else self._free.get()
        self._filled = 0

    def _join(self) -> None:
        if self._threads:
            self._to_hash.put(None)
            for thread in self._threads:
                thread.join()
            self._threads.clear()

    def _hash_all(self) -> None:
        while (part := self._to_hash.get()) is not None:
            self._hash.update(part)
            self._to_write.put(part)
        self._to_write.put(None)

    def _write_all(self) -> None:
        while (part := self._to_write.get()) is not None:
            if self._failure is None:
                try:
                    self._put(part)
                except OSError as error:
                    self._failure = error
            self._free.put(part)

    def _put(self, part: memoryview) -> None:
        wants_direct = self._size >= _CACHED and len(part) == _BUFFER
        if wants_direct != self._is_direct:
            self._set_direct(wants_direct)
        self._size += len(part)
        while part:
            try:
                part = part[os.write(self._fd, part) :]
            except OSError as error:
                # Of a device with larger blocks than memory is aligned to here.
                if error.errno != errno.EINVAL or not self._is_direct:
                    raise
                self._set_direct(False)

    def _set_direct(self, is_direct: bool) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_DIRECT if is_direct else flags)
        except OSError as error:
            # Some file systems have no such writes.
            if error.errno != errno.EINVAL:
                raise
            return
        self._is_direct = is_direct
