"""The device session without a kernel: whatever comes in, the server goes on and answers with an
errno."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unionfs.session.busy_poll import BusyPoll
from unionfs.session.dispatch import Dispatcher
from unionfs.session.options import ServeOptions
from unionfs.session.wire import Opcode


class Failing:
    """A file system of which every operation raises `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.defers_errors = False

    def know_callers(self, ask):
        pass

    def __getattr__(self, name):
        def fail(*args, **kwargs):
            raise self._error

        return fail


class Kernel:
    """The other end: gives a session one message and takes its answers."""

    def __init__(self, error: Exception) -> None:
        self._replies, device = os.pipe2(os.O_NONBLOCK)
        self._device = device
        self.session = Dispatcher(device, Failing(error), ServeOptions())

    def ask(self, opcode, body, *, nodeid=1, unique=7, length=None):
        length = 40 + len(body) if length is None else length
        head = struct.pack("=IIQQIIIHH", length, opcode, unique, nodeid, 0, 0, 0, 0, 0)
        message = head + body
        self.session.buffer[: len(message)] = message
        self.session.handle(len(message))
        try:
            return os.read(self._replies, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self):
        os.close(self._replies)
        os.close(self._device)


@pytest.fixture
def kernel(request):
    made = Kernel(request.param)
    yield made
    made.close()


def errno_of(reply):
    length, number, unique = struct.unpack("=IiQ", reply)
    assert (length, unique) == (16, 7)
    return -number


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (OSError("no number"), errno.EIO),
        # It would switch the operation off for the whole mount.
        (OSError(errno.ENOSYS, "no"), errno.EOPNOTSUPP),
    ],
    indirect=["kernel"],
)
def test_error_of_the_file_system_is_its_errno(kernel, expected):
    assert errno_of(kernel.ask(Opcode.LOOKUP, b"name\0")) == expected
    assert kernel.session.counters.faults == 0
    assert kernel.session.counters.errors == 1


@pytest.mark.parametrize("kernel", [ZeroDivisionError("ours")], indirect=True)
def test_error_of_ours_is_eio_logged_and_counted(kernel, capsys):
    assert errno_of(kernel.ask(Opcode.LOOKUP, b"name\0")) == errno.EIO
    assert kernel.session.counters.faults == 1
    logged = capsys.readouterr().err
    assert logged.startswith("rootless-unionfs: lookup: ZeroDivisionError('ours')\n")
    assert "Traceback" in logged


@pytest.mark.parametrize("kernel", [OSError(errno.EIO, "any")], indirect=True)
@pytest.mark.parametrize(
    "opcode", [Opcode.OPEN, Opcode.OPENDIR, Opcode.FLUSH, Opcode.ACCESS, Opcode.POLL, Opcode.BMAP]
)
def test_what_the_kernel_shall_not_ask_again_is_enosys(kernel, opcode):
    assert errno_of(kernel.ask(opcode, b"\0" * 16)) == errno.ENOSYS


@pytest.mark.parametrize("kernel", [OSError(errno.EIO, "any")], indirect=True)
def test_malformed_request_is_eio(kernel, capsys):
    assert errno_of(kernel.ask(Opcode.LOOKUP, b"no end")) == errno.EIO
    assert kernel.ask(Opcode.LOOKUP, b"name\0", length=99) == b""
    assert kernel.session.counters.faults == 2
    assert "ProtocolError" in capsys.readouterr().err


@given(
    opcode=st.one_of(st.sampled_from(list(Opcode)), st.integers(0, 2**32 - 1)),
    body=st.binary(max_size=150),
    error=st.sampled_from([OSError(errno.EPERM, "x"), ValueError("x"), KeyError("x")]),
)
def test_any_message_leaves_the_server_alive(opcode, body, error):
    kernel = Kernel(error)
    try:
        reply = kernel.ask(opcode, body)
    finally:
        kernel.close()
    if reply:
        length, number, unique = struct.unpack_from("=IiQ", reply)
        assert (length, unique) == (len(reply), 7)
        assert number <= 0


def test_polling_ends_where_it_finds_nothing_and_comes_back(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    poll = BusyPoll(wanted=True)
    assert poll.rest == 0
    rests = []
    for _ in range(10):
        poll.missed()
        rests.append(poll.rest)
    assert rests == [8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]
    poll.found()
    poll.missed()
    assert poll.rest == 8
    poll = BusyPoll(wanted=False)
    assert poll.rest < 0
    poll.missed()  # a timer had the device not block
    assert poll.rest < 0


def test_server_on_one_processor_never_polls(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert BusyPoll(wanted=True).rest < 0
