"""What a tracer notes of requests, over methods that answer them without a kernel."""

from __future__ import annotations

import struct

import pytest

from unionfs.model import NodeId
from unionfs.session import tracer as module
from unionfs.session.tracer import AccessKind, ProcessIdentity, Tracer
from unionfs.session.wire import Opcode

READ_IN = struct.Struct("=QQIIQII")
DIRECTORY, FILE, LINK, PROGRAM = map(NodeId, (1, 5, 6, 7))


class Plain:
    size = 1000
    mode = 0o100644


class Program(Plain):
    mode = 0o100755


class Kernel:
    """Sends messages to the methods that a tracer has wrapped. `paths` is by node, `found` are the names that exist."""

    def __init__(self, monkeypatch):
        self.now = 1_000_000_000
        monkeypatch.setattr(module, "time_ns", lambda: self.now)
        self.paths = {DIRECTORY: b"/", FILE: b"/file", LINK: b"/link", PROGRAM: b"/cat"}
        self.found = {b"file"}
        self.identities = {}
        self.asked = []
        self.buffer = memoryview(bytearray(4096))
        self.tracer = Tracer(self.paths.get, self.place, self.identify)
        answers = dict.fromkeys(Opcode, lambda *_: bytes(16) + b"reply")
        answers[Opcode.LOOKUP] = self.lookup
        self.sent = []
        self.table = self.tracer.wrap(answers, self, self.buffer, self.sent.append)

    def place(self, nodeid):
        path = self.paths.get(nodeid)
        return None if path is None else (DIRECTORY, path.rpartition(b"/")[2])

    def identify(self, thread):
        self.asked.append(thread)
        return self.identities.get(thread)

    def getattr(self, nodeid):
        return Program if nodeid == PROGRAM else Plain

    def lookup(self, _unique, _nodeid, length):
        name = bytes(self.buffer[40 : length - 1])
        return bytes(16) + struct.pack("=Q", 9 if name in self.found else 0) + bytes(120)

    def send(self, opcode, nodeid, body=b"", pid=3):
        self.now += 1000
        self.buffer[: 40 + len(body)] = bytes(32) + struct.pack("=IHH", pid, 0, 0) + body
        return self.table[opcode](2, nodeid, 40 + len(body))

    def read(self, nodeid, offset, size, pid=3):
        self.send(Opcode.READ, nodeid, READ_IN.pack(0, offset, size, 0, 0, 0, 0), pid)

    def records(self):
        return {(kind, path): access for path, kind, access in self.tracer.records()}


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


def test_bytes_end_with_the_file(kernel):
    for offset in (0, 900, 2000):
        kernel.read(FILE, offset, 600)
    (record,) = kernel.records().values()
    assert (record.count, record.bytes) == (3, 700)
    assert record.last - record.first == 2000


def test_names_are_missing_or_found_and_may_become_so(kernel):
    for name in (b"file", b"other", b"other"):
        kernel.send(Opcode.LOOKUP, DIRECTORY, name + b"\0")
    kernel.found.add(b"other")
    kernel.send(Opcode.LOOKUP, DIRECTORY, b"other\0")
    counts = {key: access.count for key, access in kernel.records().items()}
    assert counts == {
        (AccessKind.FOUND, b"/file"): 1,
        (AccessKind.MISSING, b"/other"): 2,
        (AccessKind.FOUND, b"/other"): 1,
    }


@pytest.mark.parametrize(
    "opcode", [Opcode.RENAME, Opcode.RENAME2, Opcode.FORGET, Opcode.BATCH_FORGET]
)
def test_number_that_may_be_of_another_object_is_looked_up_again(kernel, opcode):
    kernel.read(FILE, 0, 1)
    kernel.send(Opcode.LOOKUP, DIRECTORY, b"file\0")
    kernel.paths |= {FILE: b"/new", DIRECTORY: b"/moved"}
    kernel.read(FILE, 0, 1)
    kernel.send(opcode, DIRECTORY, bytes(8))
    kernel.read(FILE, 0, 1)
    kernel.send(Opcode.LOOKUP, DIRECTORY, b"file\0")
    counts = {key: access.count for key, access in kernel.records().items()}
    assert counts == {
        (AccessKind.READ, b"/file"): 2,
        (AccessKind.READ, b"/moved/new"): 1,
        (AccessKind.FOUND, b"/file"): 1,
        (AccessKind.FOUND, b"/moved/file"): 1,
    }


def test_object_without_a_name_has_no_record(kernel):
    del kernel.paths[FILE]
    kernel.read(FILE, 0, 1)
    kernel.send(Opcode.LOOKUP, FILE, b"file\0")
    kernel.send(Opcode.READDIR, DIRECTORY)
    assert list(kernel.records()) == [(AccessKind.LISTED, b"/")]


def test_process_is_identified_before_its_reply_is_sent(kernel):
    asked = []
    kernel.table = kernel.tracer.wrap(
        dict.fromkeys(Opcode, lambda *_: b"reply"), kernel, kernel.buffer, asked.append
    )
    kernel.tracer._identify = lambda _: asked.append("identified")
    for opcode in (Opcode.READ, Opcode.LOOKUP, Opcode.READDIRPLUS):
        assert (
            kernel.send(opcode, FILE, b"name of 40 bytes or more, which any body has\0", pid=opcode)
            == b""
        )
    assert asked == ["identified", b"reply"] * 3


def test_reply_that_was_sent_by_other_means_is_not_sent_again(kernel):
    table = kernel.tracer.wrap(
        dict.fromkeys(Opcode, lambda *_: b""), kernel, kernel.buffer, kernel.sent.append
    )
    assert table[Opcode.READ](2, FILE, 80) == b""
    assert kernel.sent == []
    assert list(kernel.records()) == [(AccessKind.READ, b"/file")]


def test_link_that_is_followed_counts_its_target(kernel):
    kernel.send(Opcode.READLINK, LINK)
    assert kernel.records()[AccessKind.READ, b"/link"].bytes == len(b"reply")


def test_request_that_fails_leaves_no_record(monkeypatch, kernel):
    def fails(*_):
        raise OSError(5, "failed")

    table = kernel.tracer.wrap(
        dict.fromkeys(Opcode, fails), kernel, kernel.buffer, kernel.sent.append
    )
    with pytest.raises(OSError, match="failed"):
        table[Opcode.READ](2, FILE, 80)
    assert kernel.records() == {}


def test_program_that_a_process_executes_becomes_its_name(kernel):
    kernel.identities[3] = ProcessIdentity(3, 103, "sh")
    kernel.read(FILE, 0, 1)
    kernel.identities[3] = ProcessIdentity(3, 103, "cat")
    kernel.now += 60_000
    kernel.read(FILE, 0, 1)
    (record,) = kernel.records().values()
    assert [(each.pid, each.name) for each in record.processes] == [(3, "cat")]


def test_name_is_asked_for_after_a_program_was_read(kernel):
    kernel.identities[3] = ProcessIdentity(3, 103, "sh")
    kernel.read(FILE, 0, 1)
    kernel.now += 50_000_000
    kernel.read(PROGRAM, 0, 1)
    kernel.identities[3] = ProcessIdentity(3, 103, "cat")
    kernel.read(FILE, 0, 1)
    record = kernel.records()[AccessKind.READ, b"/file"]
    assert [each.name for each in record.processes] == ["cat"]


def test_name_is_not_asked_for_at_every_request(kernel):
    kernel.identities[3] = ProcessIdentity(3, 103, "sh")
    for _ in range(10_000):
        kernel.read(FILE, 0, 1)
    assert len(kernel.asked) < 15


def test_name_of_a_process_that_starts_is_asked_for_until_it_has_its_program(kernel):
    kernel.identities[3] = ProcessIdentity(3, 103, "engine", is_starting=True)
    kernel.read(FILE, 0, 1)
    kernel.now += 50_000_000
    kernel.read(FILE, 0, 1)
    kernel.identities[3] = ProcessIdentity(3, 103, "cat")
    kernel.read(FILE, 0, 1)
    (record,) = kernel.records().values()
    assert [each.name for each in record.processes] == ["cat"]


def test_number_used_again_is_another_process_and_threads_are_one(kernel):
    for thread, identity in (
        (3, ProcessIdentity(3, 103, "sh")),
        (4, ProcessIdentity(3, 103, "sh")),
    ):
        kernel.identities[thread] = identity
        kernel.read(FILE, 0, 1, pid=thread)
    kernel.identities[3] = ProcessIdentity(3, 203, "later")
    kernel.now += 200_000_000
    kernel.read(FILE, 0, 1)
    (record,) = kernel.records().values()
    assert [each.name for each in record.processes] == ["sh", "later"]


def test_unknown_process_keeps_its_number_and_the_kernel_is_0(kernel):
    kernel.read(FILE, 0, 1, pid=8)
    kernel.read(FILE, 0, 1, pid=0)
    (record,) = kernel.records().values()
    assert [(each.pid, each.name) for each in record.processes] == [(8, ""), (0, "")]
    assert kernel.asked == [8]
