"""Waking a poll for a signal that came before it, and relaying for a time."""

import os
import select
import signal
import threading

import pytest

from rootless.supervisor.terminals.detach_keys import KeyFilter
from rootless.supervisor.terminals.stdio_relay import Flow, SignalWakeup, relay


@pytest.fixture
def handled():
    got = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    yield got
    signal.signal(signal.SIGUSR1, before)


def test_signal_before_the_wait_ends_it(handled):
    wakeup = SignalWakeup()
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([wakeup.fd], [], [], 0)[0] == [wakeup.fd]
        assert wakeup.read()
        assert select.select([wakeup.fd], [], [], 0)[0] == []
        assert wakeup.read()
    finally:
        wakeup.close()
    assert handled == [signal.SIGUSR1]


def test_earlier_wakeup_descriptor_is_put_back(handled):
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writer)
    try:
        SignalWakeup().close()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert os.read(reader, 9) == bytes([signal.SIGUSR1])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def test_other_thread_has_no_descriptor():
    made = []
    thread = threading.Thread(target=lambda: made.append(SignalWakeup()))
    thread.start()
    thread.join()
    assert made[0].fd == -1
    made[0].close()


def test_relay_goes_on_after_its_time():
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        assert relay([], {reader: lambda: False}, seconds=0.01)
        os.write(writer, b"x")
        assert not relay([], {reader: lambda: False}, seconds=60)
        assert not relay([], {reader: lambda: False})
    finally:
        os.close(reader)
        os.close(writer)


def test_relay_moves_what_has_come_before_its_time_is_over():
    source, feed = os.pipe2(os.O_CLOEXEC)
    result, sink = os.pipe2(os.O_CLOEXEC)
    end, unused = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(feed, b"output")
        assert relay([Flow(source, sink, ours=())], {end: lambda: False}, seconds=0.01)
        assert os.read(result, 100) == b"output"
    finally:
        for descriptor in (source, feed, result, sink, end, unused):
            os.close(descriptor)


def test_relay_returns_when_nothing_has_come_for_a_time():
    source, writer = os.pipe()
    reader, sink = os.pipe()
    os.write(writer, b"before")
    assert relay([Flow(source, sink, ours=())], {}, quiet=0.05)
    assert os.read(reader, 10) == b"before"
    for each in (source, writer, reader, sink):
        os.close(each)


def test_relay_with_keys_held_back_passes_them_on_before_it_is_quiet():
    source, writer = os.pipe()
    reader, sink = os.pipe()
    typed = KeyFilter(b"\x10\x11", lambda: None, lambda: None)
    os.write(writer, b"\x10")
    assert relay([Flow(source, sink, ours=(), typed=typed)], {}, quiet=0.05)
    assert os.read(reader, 10) == b"\x10"
    for each in (source, writer, reader, sink):
        os.close(each)
