"""The hot paths of the device session say, byte for byte, what the reference says: the same calls of
the file system, the same replies, whatever the message."""

from __future__ import annotations

import errno
import os
import struct
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unionfs.model import Attributes
from unionfs.session import wire
from unionfs.session.device import DeviceSession
from unionfs.session.options import ServeOptions
from unionfs.session.wire import Opcode

NOW = 1_700_000_000_123_456_789


class Entry(NamedTuple):
    nodeid: int
    attributes: Attributes


class Recorder:
    """A file system whose answers follow from the question, and which remembers what it was
    asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def _attributes(self, number: int) -> Attributes:
        kind = (0o040755, 0o100644, 0o120777, 0o020600)[number % 4]
        return Attributes(
            number + 1, kind, 1, 5, 6, 259, number * 3, 8, -number - 1, NOW + number, number
        )

    def _asked(self, *call: object) -> None:
        self.calls.append(call)

    def lookup(self, parent, name):
        self._asked("lookup", parent, name)
        return None if len(name) == 2 else Entry(parent + 1, self._attributes(len(name)))

    def forget(self, nodeid, count):
        self._asked("forget", nodeid, count)

    def getattr(self, nodeid):
        self._asked("getattr", nodeid)
        if nodeid % 5 == 0:
            raise OSError(errno.ESTALE, "stale")
        return self._attributes(nodeid % 100)

    def setattr(self, nodeid, changes):
        self._asked("setattr", nodeid, changes)
        return self._attributes(nodeid % 100)

    def create(self, parent, name, mode, flags, caller):
        self._asked("create", parent, name, mode, flags, caller)
        return Entry(parent + 1, self._attributes(1))

    def mkdir(self, parent, name, mode, caller):
        self._asked("mkdir", parent, name, mode, caller)
        return Entry(parent + 1, self._attributes(0))

    def symlink(self, parent, name, target, caller):
        self._asked("symlink", parent, name, target, caller)
        return Entry(parent + 1, self._attributes(2))

    def rmdir(self, parent, name):
        self._asked("rmdir", parent, name)

    def rename(self, parent, name, new_parent, new_name, flags):
        self._asked("rename", parent, name, new_parent, new_name, flags)

    def known(self, parent, name):
        return parent % 5

    def unlink(self, parent, name):
        self._asked("unlink", parent, name)
        if len(name) % 2:
            raise OSError(errno.ENOSYS, "no")

    def read(self, nodeid, offset, size):
        return bytes((nodeid + offset + i) % 251 for i in range(min(size, 100)))

    def read_into(self, nodeid, offset, buffer):
        data = self.read(nodeid, offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def source(self, nodeid, offset, size):
        return None

    def write(self, nodeid, offset, data, *, kill_privileges=False):
        self._asked("write", nodeid, offset, bytes(data), kill_privileges)
        return len(data)

    def getxattr(self, nodeid, name):
        if self.lacks_capabilities(nodeid) and name == b"security.capability":
            raise OSError(errno.ENODATA, "none")
        return name * (nodeid % 4)

    def know_callers(self, ask):
        pass

    def lacks_capabilities(self, nodeid):
        return nodeid % 2 == 0

    def readdirplus(self, nodeid, cookie, room, fixed):
        self._asked("readdirplus", nodeid, cookie, room, fixed)
        told = []
        for number in range(cookie, cookie + nodeid % 7):
            name = b"n" * (number % 20 + 1)
            room -= (fixed + len(name) + 7) // 8 * 8
            if room < 0:
                break
            if number % 11 == 10:
                if not told:
                    raise OSError(errno.EIO, "broken")
                break
            told.append((number + 1, name, number + 2, self._attributes(number % 1000)))
        return told

    def parent(self, nodeid):
        self._asked("parent", nodeid)
        return self._attributes(nodeid % 10)

    def pending_copy(self, nodeid, *, times_only=False):
        return 0

    def after_reply(self):
        self._asked("tidy")


class Side:
    """A session, and what it wrote."""

    def __init__(self, *, hot: bool) -> None:
        self.filesystem = Recorder()
        self._replies, self._device = os.pipe2(os.O_NONBLOCK)
        self.session = DeviceSession(self._device, self.filesystem, ServeOptions())
        if not hot:
            self.session._hot.clear()

    def ask(self, message: bytes) -> bytes:
        self.session.buffer[: len(message)] = message
        self.session.handle(len(message))
        try:
            return os.read(self._replies, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._replies)
        os.close(self._device)


@pytest.fixture
def sides():
    made = Side(hot=True), Side(hot=False)
    yield made
    for side in made:
        side.close()


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
    wire.SETATTR_IN, st.integers(0, 0xFFF), u32, u64, u64, u64, times, times, times,
    *[st.integers(0, 999_999_999)] * 3, u32, u32, u32, u32, u32,
)  # fmt: skip
READ = packed(
    wire.READ_IN, u64, st.integers(0, 1 << 40), st.integers(0, 1 << 20), u32, u64, u32, u32
)


@st.composite
def writes(draw):
    data = draw(st.binary(max_size=200))
    size = draw(st.just(len(data)) | st.integers(0, 300))
    return wire.WRITE_IN.pack(0, draw(st.integers(0, 1 << 40)), size, draw(u32), 0, 0, 0) + data


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


@st.composite
def messages(draw):
    opcode = draw(st.sampled_from(sorted(BODIES)))
    body = draw(BODIES[opcode] | st.binary(max_size=120))
    extensions = draw(st.sampled_from([0, 0, 0, 1, 60]))
    length = 40 + len(body)
    head = wire.IN_HEADER.pack(
        draw(st.sampled_from([length, length, length, length + 1])),
        opcode, draw(u64), draw(u64), draw(u32), draw(u32), draw(u32), extensions, draw(u16),
    )  # fmt: skip
    return head + body


def test_every_hot_path_is_tried(sides):
    hot, _ = sides
    assert set(hot.session._hot) == set(BODIES)


@settings(
    max_examples=1500,
    deadline=None,
    # The sides answer every message alike whatever came before.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_fast_paths_say_what_the_reference_says(sides, data):
    hot, reference = sides
    for side in sides:
        side.filesystem.calls.clear()
    message = data.draw(messages())
    assert hot.ask(message) == reference.ask(message)
    assert hot.filesystem.calls == reference.filesystem.calls
    assert hot.session.counters.errors == reference.session.counters.errors
