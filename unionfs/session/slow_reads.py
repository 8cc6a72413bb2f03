"""Reads from a slow disk or network in threads, so that other requests are served meanwhile.

Nearly all reads find their bytes in memory, where a thread would cost more than the read. So reads
are made by the serving thread until one has taken long; from then on each that does not find its bytes in
memory (RWF_NOWAIT of preadv2(2)) is made by a thread, until enough in a row have been quick again. A file
system that cannot tell, such as NFS, has all made by threads.

A request may also have taken long because another process had the processor, above all after the reply, which
wakes the client. So only one of `_CERTAIN` is taken for slow at once. After a shorter one the next reads
are timed without their replies.
"""

from __future__ import annotations

import os
from errno import EIO
from time import perf_counter_ns

from unionfs.filesystem import Files
from unionfs.model import NodeId
from unionfs.session import replies
from unionfs.session.counters import Counters
from unionfs.session.wire import Opcode
from unionfs.session.workers import Workers
from unionfs.syscalls.files import pread_cached, pread_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = 2_000_000
"""Nanoseconds of a read after which the following ones are made by threads."""

_CERTAIN = 50_000_000
"""Nanoseconds of a request that no scheduler makes of a quick read."""

_TIMED = 4
"""Reads that are timed after a request of `SLOW`."""

_QUICK_AGAIN = 32
"""Quick reads in a row after which reads are made by the serving thread again."""

_READ = int(Opcode.READ)


class SlowReads:
    """`write` sends a whole reply, `fault` reports an unexpected exception."""

    def __init__(
        self,
        filesystem: Files,
        workers: Workers,
        write: Callable[[bytes], None],
        fault: Callable[[str, BaseException], None],
        *,
        counters: Counters,
    ) -> None:
        self._fs = filesystem
        self._workers = workers
        self._write = write
        self._fault = fault
        self._counters = counters
        self._quick = 0
        self._timed = 0
        self.are_expected = False

    def note_request(self, nanoseconds: int) -> None:
        """A READ has taken `SLOW` or longer, its reply included."""
        if nanoseconds >= _CERTAIN:
            self.expect()
        elif not self.are_expected:
            self.are_expected = True
            self._timed = _TIMED

    def expect(self) -> None:
        """A read has taken `SLOW` or longer."""
        self.are_expected = True
        self._quick = self._timed = 0

    def take(self, unique: int, nodeid: NodeId, offset: int, size: int) -> bool:
        """Read, if need be in a thread, and reply then. False if the bytes do not lie in one file: the caller
        then reads them. Raises OSError as `Files.source` does."""
        found = self._fs.source(nodeid, offset, size)
        if found is None:
            return False
        file, position, length = found
        if self._timed:
            self._read_timed(unique, file, position, length)
            return True
        cached = pread_cached(file, length, position)
        if cached is not None:
            self._note(0)
            self._counters.bytes[_READ] += len(cached)
            self._write(replies.reply(unique, cached))
            return True
        # The file system may close its own while the thread reads.
        descriptor = os.dup(file)
        data = b""
        started = perf_counter_ns()

        def read() -> None:
            nonlocal data
            data = pread_whole(descriptor, length, position)

        def done(raised: BaseException | None) -> None:
            os.close(descriptor)
            taken = perf_counter_ns() - started
            self._note(taken)
            self._counters.lengthen(_READ, taken)
            if raised is None:
                self._counters.bytes[_READ] += len(data)
                self._write(replies.reply(unique, data))
                return
            self._counters.errors += 1
            if not isinstance(raised, OSError):
                self._fault("read", raised)
            number = raised.errno if isinstance(raised, OSError) else None
            self._write(replies.error(unique, number or EIO))

        self._workers.start(read, done)
        return True

    def _read_timed(self, unique: int, file: int, position: int, length: int) -> None:
        started = perf_counter_ns()
        data = pread_whole(file, length, position)
        if perf_counter_ns() - started >= SLOW:
            self.expect()
        else:
            self._timed -= 1
            self.are_expected = self._timed > 0
        self._counters.bytes[_READ] += len(data)
        self._write(replies.reply(unique, data))

    def _note(self, nanoseconds: int) -> None:
        if nanoseconds >= SLOW:
            self._quick = 0
            return
        self._quick += 1
        if self._quick >= _QUICK_AGAIN:
            self.are_expected = False
