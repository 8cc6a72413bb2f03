"""Waking a poll for a signal that came before it."""

import os
import select
import signal
import threading

import pytest

from rootless.supervisor.terminals.stdio_relay import SignalWakeup


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
