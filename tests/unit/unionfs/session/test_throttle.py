"""The token bucket, and requests that wait for their tokens."""

from __future__ import annotations

import errno
import os
import struct
import time

import pytest

from tests.support.waiting import wait_until
from unionfs.session.dispatch import Dispatcher
from unionfs.session.options import ServeOptions
from unionfs.session.throttle import TokenBucket
from unionfs.session.wire import NotifyCode, Opcode


def test_bucket_lets_a_burst_pass_and_then_keeps_the_rate():
    bucket = TokenBucket(100, now=0.0)
    assert bucket.take(10, 0.0) == 0.0
    assert bucket.take(100, 0.0) == 0.0, "a request of any size passes when nothing is owed"
    assert bucket.take(5, 0.5) == pytest.approx(0.5)
    assert bucket.take(5, 0.5) == pytest.approx(0.55)
    assert bucket.take(1, 50.0) == 0.0
    assert bucket.take(9, 50.0) == 0.0
    assert bucket.take(1, 50.0) == 0.0
    assert bucket.take(1, 50.0) == pytest.approx(0.01), "an unused rate adds up for 0.1 s only"


class Files:
    """A file system that counts writes, and has no lower."""

    written = 0

    def know_callers(self, ask):
        pass

    def pending_copy(self, nodeid, *, times_only=False):
        return 0

    def write(self, nodeid, offset, data, *, kill_privileges=False):
        self.written += 1
        return len(data)

    def lookup(self, parent, name):
        return None

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class Kernel:
    """The other end: gives a session messages and takes its answers."""

    def __init__(self, **limits):
        self._replies, device = os.pipe2(os.O_NONBLOCK)
        self.files = Files()
        self.session = Dispatcher(device, self.files, ServeOptions(**limits))

    def send(self, opcode, body, unique):
        head = struct.pack("=IIQQIIIHH", 40 + len(body), opcode, unique, 1, 0, 0, 0, 0, 0)
        self.session.buffer[: 40 + len(body)] = head + body
        self.session.handle(40 + len(body))

    def write(self, size, unique):
        body = struct.pack("=QQIIQII", 0, 0, size, 0, 0, 0, 0) + bytes(size)
        self.send(Opcode.WRITE, body, unique)

    def replies(self):
        """(unique, errno) of what has been answered so far."""
        for pool in self.session.pools:
            if pool.outstanding:
                pool.run_completions()
        try:
            data = os.read(self._replies, 1 << 16)
        except BlockingIOError:
            return []
        found = []
        while data:
            size, error, unique = struct.unpack_from("=IiQ", data)
            found.append((unique, -error))
            data = data[size:]
        return found


@pytest.mark.parametrize("limits", [{"bps": 10_000}, {"iops": 10}])
def test_writes_wait_and_other_requests_do_not(limits):
    kernel = Kernel(**limits)
    began = time.monotonic()
    for unique in (2, 4, 6):
        kernel.write(1000, unique)
    kernel.send(Opcode.LOOKUP, b"name\0", 8)
    answered = kernel.replies()
    assert (8, 0) in answered, "a lookup does not wait"
    wait_until(lambda: answered.extend(kernel.replies()) or len(answered) == 4)
    assert time.monotonic() - began >= 0.1
    assert kernel.files.written == 3
    assert [unique for unique, _ in answered if unique < 8] == [2, 4, 6]
    assert answered.index((8, 0)) < answered.index((6, 0))
    assert not kernel.session.busy.count


def test_interrupted_request_does_not_wait_any_longer():
    kernel = Kernel(bps=10)
    for unique in (2, 4, 6):
        kernel.write(1000, unique)
    assert kernel.replies() == [(2, 0)]
    kernel.send(Opcode.INTERRUPT, struct.pack("=Q", 4), 5)
    assert kernel.replies() == [(4, errno.EINTR)]
    assert kernel.files.written == 1


def test_without_limits_there_is_no_throttle():
    assert Kernel().session._throttle is None


def test_pages_of_the_cache_are_written_whole_or_refused():
    """The kernel takes a short count for success when it writes its pages back (fuse_writepage_end)."""
    kernel = Kernel()
    left = [700, OSError(errno.ENOSPC, "full")]

    def write(_node, _offset, data, *, kill_privileges=False):
        found = left.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    kernel.session._table[Opcode.WRITE].__self__._fs_write = write
    cached = struct.pack("=QQIIQII", 0, 0, 1000, 1, 0, 0, 0) + bytes(1000)
    kernel.send(Opcode.WRITE, cached, 2)
    # First the message by which the kernel asks for the attributes before the next write(2).
    assert kernel.replies() == [(0, -NotifyCode.INVAL_INODE), (2, errno.ENOSPC)]
