"""The fast methods of the device session answer as the plain reference does: the same calls of the file
system, the same replies, the same counters, whatever the messages and whatever has to wait."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuse_reference import Reference
from unionfs.model import ROOT_NODE, Attributes
from unionfs.session import splicing, wire
from unionfs.session.counters import Counters
from unionfs.session.dispatch import Dispatcher
from unionfs.session.options import ServeOptions
from unionfs.session.wire import Opcode

NOW = 1_700_000_000_123_456_789
BIG = 1 << 20
DATA = bytes((7 * i + (i >> 8)) % 251 for i in range(180_000))
"""What every file holds: less than a fifth of what a pipe takes."""
PENDING = 7
"""The node that has to be copied before it is changed."""


class Entry(NamedTuple):
    nodeid: int
    attributes: Attributes


class Copy:
    def __init__(self, recorder: Recorder, nodeid: int, fails: bool) -> None:
        self._recorder = recorder
        self._nodeid = nodeid
        self._fails = fails

    def copy(self, budget: int | None = None) -> bool:
        if self._fails:
            raise OSError(errno.ENOSPC, "full")
        return True

    def sync(self) -> None: ...

    def publish(self) -> None:
        self._recorder.ended("publish", self._nodeid)

    def abandon(self) -> None:
        self._recorder.ended("abandon", self._nodeid)


class Recorder:
    """A file system whose answers follow from the question, and which remembers what it was asked.
    It reads a clock that gains a nanosecond with each reading, so that the number of readings and
    their order show.

    The data of nodes 0, 3, 6, ... lie in `file`, those of 1, 4, 7, ... in no file, and those of
    2, 5, 8, ... are reported as longer than the data of `file`.
    """

    defers_errors = False

    def __init__(self, file: int) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._file = file
        self.begin()

    def begin(self, *, pending: bool = False, copy_fails: bool = False, begin_fails: bool = False):
        self.calls.clear()
        self._pending = pending
        self._copy_fails = copy_fails
        self._begin_fails = begin_fails
        self._clock = NOW

    def _attributes(self, number: int) -> Attributes:
        kind = (0o040755, 0o100644, 0o120777, 0o020600, 0o104755, 0o102711)[number % 6]
        return Attributes(
            number + 1, kind, 1, 5, 6, 259, number * 3, 8, -number - 1, self._clock, number
        )

    def _asked(self, *call: object) -> None:
        self._clock += 1
        self.calls.append(call)

    def lookup(self, parent, name):
        self._asked("lookup", parent, name)
        return None if len(name) == 2 else Entry(parent ^ 1, self._attributes(len(name)))

    def forget(self, nodeid, count):
        self._asked("forget", nodeid, count)

    def getattr(self, nodeid):
        self._asked("getattr", nodeid)
        if nodeid % 5 == 0:
            raise OSError(errno.ESTALE, "stale")
        return self._attributes(nodeid % 100)

    def setattr(self, nodeid, changes):
        self._asked("setattr", nodeid, changes, type(changes))
        return self._attributes(nodeid % 100)

    def create(self, parent, name, mode, flags, caller):
        self._asked("create", parent, name, mode, flags, caller, type(caller))
        return Entry(parent ^ 1, self._attributes(1))

    def mkdir(self, parent, name, mode, caller):
        self._asked("mkdir", parent, name, mode, caller, type(caller))
        return Entry(parent ^ 1, self._attributes(0))

    def symlink(self, parent, name, target, caller):
        self._asked("symlink", parent, name, target, caller, type(caller))
        return Entry(parent ^ 1, self._attributes(2))

    def rmdir(self, parent, name):
        self._asked("rmdir", parent, name)

    def rename(self, parent, name, new_parent, new_name, flags):
        self._asked("rename", parent, name, new_parent, new_name, flags)

    def known(self, parent, name):
        self._asked("known", parent, name)
        return parent % 10

    def unlink(self, parent, name):
        self._asked("unlink", parent, name)
        if len(name) % 2:
            raise OSError(errno.ENOSYS, "no")

    def read(self, nodeid, offset, size):
        if nodeid % 11 == 10:
            raise OSError(errno.EIO, "broken")
        return DATA[offset : offset + size]

    def read_into(self, nodeid, offset, buffer):
        data = self.read(nodeid, offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def source(self, nodeid, offset, size):
        if nodeid % 11 == 10:
            raise OSError(errno.EIO, "broken")
        if nodeid % 3 == 1:
            return None
        room = size if nodeid % 3 == 2 else min(size, len(DATA) - offset)
        return (self._file, offset, room) if room > 0 else None

    def write(self, nodeid, offset, data, *, kill_privileges=False):
        self._asked("write", nodeid, offset, bytes(data), kill_privileges)
        if nodeid % 8 == 5:
            return 0
        return len(data) - (nodeid % 4 == 1 and len(data) > 1)

    def getxattr(self, nodeid, name):
        self._asked("getxattr", nodeid, name)
        return name * (nodeid % 4)

    def know_callers(self, ask):
        pass

    def lacks_capabilities(self, nodeid):
        self._asked("lacks_capabilities", nodeid)
        return nodeid % 2 == 0

    def lacks_acl(self, nodeid):
        self._asked("lacks_acl", nodeid)
        return nodeid % 2 == 0

    def readdirplus(self, nodeid, cookie, room, fixed):
        self._asked("readdirplus", nodeid, cookie, room, fixed)
        entries = []
        for number in range(cookie, cookie + nodeid % 7):
            name = b"n" * (number % 20 + 1)
            room -= (fixed + len(name) + 7) // 8 * 8
            if room < 0:
                break
            if number % 11 == 10:
                if not entries:
                    raise OSError(errno.EIO, "broken")
                break
            entries.append((number + 1, name, number + 2, self._attributes(number % 1000)))
        return entries

    def parent(self, nodeid):
        self._asked("parent", nodeid)
        return self._attributes(nodeid % 10)

    def pending_copy(self, nodeid, *, times_only=False):
        self._asked("pending_copy", nodeid, times_only)
        if nodeid == 13:
            raise OSError(errno.ESTALE, "stale")
        return BIG if nodeid == PENDING and self._pending and not times_only else BIG - 1

    def begin_copy(self, nodeid):
        self._asked("begin_copy", nodeid)
        if self._begin_fails:
            raise OSError(errno.ENOSPC, "full")
        return Copy(self, nodeid, self._copy_fails)

    def ended(self, how, nodeid):
        self._asked(how, nodeid)
        self._pending &= how != "publish"

    def after_reply(self):
        self._asked("after_reply")


class Session:
    """The session under test, and what it wrote."""

    def __init__(self, file: int) -> None:
        self.filesystem = Recorder(file)
        self._replies, self._device = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(self._device, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.dispatcher = Dispatcher(self._device, self.filesystem, ServeOptions())
        self.replies: list[bytes] = []

    def handle(self, message: bytes) -> None:
        self.dispatcher.buffer[: len(message)] = message
        self.dispatcher.handle(len(message))
        self._take()

    def _take(self) -> None:
        """One message on the device is one write: the pipe is emptied after each that may come."""
        data = b""
        while select.select([self._replies], [], [], 0)[0]:
            data += os.read(self._replies, 1 << 21)
        while data:
            (size,) = struct.unpack_from("=I", data)
            self.replies.append(data[:size])
            data = data[size:]

    def settle(self) -> None:
        """Wait for the threads, and for what their ends set going."""
        deadline = time.monotonic() + 120
        while any(pool.outstanding for pool in self.dispatcher.pools):
            for pool in self.dispatcher.pools:
                if pool.outstanding:
                    assert select.select([pool.wakeup], [], [], deadline - time.monotonic())[0]
                    pool.run_completions()
                    self._take()

    def close(self) -> None:
        self.dispatcher.finish()
        os.close(self._replies)
        os.close(self._device)


@pytest.fixture
def sides() -> Iterator[tuple[Session, Reference, Recorder]]:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.flush()
        session = Session(file.fileno())
        recorder = Recorder(file.fileno())
        yield session, Reference(recorder), recorder
        session.close()


u16 = st.integers(0, (1 << 16) - 1)
u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1) | st.integers(0, 4096)
names = st.sampled_from(
    [b"a\0", b"ab\0", b"security.capability\0", b"\0", b"a\0b\0", b"no end", b""]
)
names |= st.binary(min_size=1, max_size=300).map(lambda name: name + b"\0")


def packed(layout: struct.Struct, *fields: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return st.tuples(*fields).map(lambda values: layout.pack(*values))


times = st.integers(0, 1 << 33) | u64
SETATTR = packed(
    wire.SETATTR_IN,
    st.sampled_from([0, 1 << 10, 8, 0x30, 0x1B0]) | st.integers(0, 0xFFF), u32, u64, u64, u64, times, times, times,
    *[st.integers(0, 999_999_999)] * 3, u32, u32, u32, u32, u32,
)  # fmt: skip
READ = packed(
    wire.READ_IN,
    u64,
    st.integers(0, 180_010) | st.integers(0, 1 << 40) | st.just(0),
    st.sampled_from([100, splicing.MIN_SPLICE, 100_000, splicing.MAX_SPLICE, BIG])
    | st.integers(0, BIG + 1),
    u32,
    u64,
    u32,
    u32,
)


@st.composite
def writes(draw):
    data = draw(st.binary(max_size=200))
    size = draw(st.just(len(data)) | st.integers(0, 300))
    flags = draw(u32 | st.just(wire.WRITE_CACHE))
    return wire.WRITE_IN.pack(0, draw(st.integers(0, 1 << 40)), size, flags, 0, 0, 0) + data


@st.composite
def forgets(draw):
    pairs = draw(st.lists(st.tuples(u64, u64), max_size=5))
    count = draw(st.just(len(pairs)) | st.integers(0, 6))
    return wire.BATCH_FORGET_IN.pack(count, 0) + b"".join(
        wire.FORGET_ONE.pack(*pair) for pair in pairs
    )


BODIES = {
    Opcode.LOOKUP: names,
    Opcode.UNLINK: names,
    Opcode.RMDIR: names,
    Opcode.MKDIR: st.tuples(packed(wire.MKDIR_IN, u32, u32), names).map(b"".join),
    Opcode.SYMLINK: st.tuples(names, names).map(b"".join),
    Opcode.RENAME: st.tuples(packed(wire.RENAME_IN, u64), names, names).map(b"".join),
    Opcode.IOCTL: st.tuples(
        packed(wire.IOCTL_IN, u64, u32, u32, u64, st.integers(0, 3), u32), st.binary(max_size=3)
    ).map(b"".join),
    Opcode.FORGET: packed(wire.FORGET_IN, u64),
    Opcode.BATCH_FORGET: forgets(),
    Opcode.GETATTR: packed(wire.GETATTR_IN, u32, u32, u64),
    Opcode.SETATTR: SETATTR,
    Opcode.CREATE: st.tuples(packed(wire.CREATE_IN, u32, u32, u32, u32), names).map(b"".join),
    Opcode.GETXATTR: st.tuples(packed(wire.GETXATTR_IN, st.integers(0, 60), u32), names).map(
        b"".join
    ),
    Opcode.READ: READ,
    Opcode.READDIRPLUS: packed(
        wire.READ_IN, u64, st.integers(0, 40), st.integers(0, 2000), u32, u64, u32, u32
    ),
    Opcode.WRITE: writes(),
    Opcode.RELEASE: packed(wire.RELEASE_IN, u64, u32, u32, u64),
    Opcode.RELEASEDIR: packed(wire.RELEASE_IN, u64, u32, u32, u64),
}


nodes = st.integers(2, 40) | u64.filter(lambda node: node != ROOT_NODE) | st.just(PENDING)
"""Not the root: it has attributes that are the session's own."""


@st.composite
def messages(draw, number):
    """`number` is unique among those of one example."""
    opcode = draw(st.sampled_from(sorted(BODIES)))
    body = draw(BODIES[opcode] | st.binary(max_size=120))
    extensions = draw(st.sampled_from([0] * 8 + [1, 60]))
    length = 40 + len(body)
    head = wire.IN_HEADER.pack(
        draw(st.sampled_from([length] * 8 + [length + 1])),
        opcode, 2 * number, draw(nodes), draw(st.sampled_from([0, 5]) | st.integers(0, 9)),
        draw(u32), draw(u32), extensions, draw(u16),
    )  # fmt: skip
    return head + body


def test_every_fast_method_is_tried(sides):
    session, reference, _ = sides
    table = session.dispatcher._table
    decoded = session.dispatcher._decoded
    own = {Opcode.INIT, Opcode.INTERRUPT, Opcode.LSEEK}
    fast = {opcode for opcode, method in table.items() if method != decoded} - own
    assert fast == set(BODIES) == set(reference.table)


@settings(
    max_examples=1500,
    deadline=None,
    # Both sides answer alike whatever came before.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_fast_methods_answer_as_the_reference(sides, data):
    session, reference, recorder = sides
    reads_are_slow = data.draw(st.booleans(), "reads are slow")
    setting = {
        "pending": data.draw(st.booleans(), "pending"),
        "copy_fails": data.draw(st.booleans(), "the copy fails"),
        "begin_fails": data.draw(st.sampled_from([False, False, True]), "the copy cannot begin"),
    }
    # All are drawn before the first is handled: an example that is given up leaves nothing behind.
    count = data.draw(st.integers(1, 5), "messages")
    asked = [data.draw(messages(number), "message") for number in range(1, 1 + count)]
    for filesystem in (session.filesystem, recorder):
        filesystem.begin(**setting)
    for side in (session.dispatcher, reference):
        reset(side.counters)
    session.replies.clear()
    reference.replies.clear()
    if reads_are_slow:
        session.dispatcher._slow_reads.expect()
    else:
        session.dispatcher._slow_reads.are_expected = False
    for message in asked:
        session.handle(message)
        reference.handle(message)
    session.settle()
    reference.settle()
    replies = [sorted(each.replies, key=_unique) for each in (session, reference)]
    shown = [[struct.unpack_from("=IiQ", reply) for reply in each] for each in replies]
    assert shown[0] == shown[1]
    assert replies[0] == replies[1]
    assert session.filesystem.calls == recorder.calls
    ours, theirs = session.dispatcher.counters, reference.counters
    for counter in ("requests", "bytes", "errors", "faults"):
        assert getattr(ours, counter) == getattr(theirs, counter), counter


def reset(counters: Counters) -> None:
    for each in (counters.buckets, counters.bytes):
        each[:] = [0] * len(each)
    counters.errors = counters.faults = 0


def _unique(reply: bytes) -> int:
    return struct.unpack_from("=IiQ", reply)[2]


@pytest.mark.parametrize(
    "size",
    [
        4096,
        splicing.MIN_SPLICE,
        splicing.MIN_SPLICE + 1,
        splicing.MAX_SPLICE,
        splicing.MAX_SPLICE + 1,
        BIG,
    ],
)
@pytest.mark.parametrize("nodeid", [3, 4, 5])
@pytest.mark.parametrize("offset", [0, 1, 4095, 150_000, len(DATA), len(DATA) + 9])
@pytest.mark.parametrize("slow", [False, True])
def test_reads_by_every_way_give_the_same_bytes(sides, size, nodeid, offset, slow):
    session, reference, _ = sides
    if slow:
        session.dispatcher._slow_reads.expect()
    body = wire.READ_IN.pack(0, offset, size, 0, 0, 0, 0)
    message = wire.IN_HEADER.pack(40 + len(body), Opcode.READ, 9, nodeid, 0, 0, 0, 0, 0) + body
    session.handle(message)
    session.settle()
    reference.handle(message)
    assert session.replies == reference.replies
    assert session.dispatcher.counters.bytes == reference.counters.bytes
