"""A monitor that does not answer, with processes in the places of the monitor and of the container's first process."""

import signal
import subprocess
import sys

import pytest

from rootless.containers.process_identity import start_time
from rootless.containers.record import KILL_CONTAINER, ContainerRecord
from rootless.engine.lifecycle import unanswered
from rootless.engine.lifecycle.unanswered import (
    UnansweredError,
    end_directly,
    signal_directly,
    wait_for_answer,
)
from rootless.supervisor.client import MonitorClient
from rootless.supervisor.messages import Connection
from rootless.supervisor.protocol import Kind

FOREVER = "import os, signal; {}; print(flush=True); [signal.pause() for _ in iter(int, 1)]"


@pytest.fixture
def process():
    """Start Python with some code; killed at the end."""
    started = []

    def start(code):
        child = subprocess.Popen(
            [sys.executable, "-c", FOREVER.format(code)], stdout=subprocess.PIPE
        )
        started.append(child)
        child.stdout.readline()
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.fixture
def connection():
    """A client, and the monitor's end."""
    ours, theirs = Connection.pair()
    client = MonitorClient(ours, lambda: "it has ended")
    yield client, theirs
    client.close()
    theirs.close()


def record(monitor, first):
    return ContainerRecord(
        "0" * 64,
        "web",
        "",
        pid=first.pid,
        pid_start=start_time(first.pid),
        monitor_pid=monitor.pid,
        monitor_pid_start=start_time(monitor.pid),
    )


def test_monitor_that_is_stopped_is_continued(process, connection):
    monitor = process("signal.signal(signal.SIGCONT, lambda *_: os._exit(7))")
    client, theirs = connection
    monitor.send_signal(signal.SIGSTOP)
    theirs.send(Kind.WELCOME)
    wait_for_answer(client, record(monitor, monitor))  # an answer that is there is not waited for
    client.receive()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unanswered, "_ANSWER_WAIT", 0.5)
        with pytest.raises(UnansweredError, match="container web did not answer within"):
            wait_for_answer(client, record(monitor, monitor))
    assert monitor.wait(120) == 7  # it has got SIGCONT


def test_container_is_ended_by_its_first_process(process):
    monitor = process(f"signal.signal({KILL_CONTAINER}, lambda *_: os._exit(7))")
    first = process("signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))")
    end_directly(record(monitor, first), signal.SIGUSR1, 20)
    assert (first.wait(120), monitor.wait(120)) == (7, 7)
    end_directly(record(monitor, first), signal.SIGUSR1, 20)  # of a container that has ended


def test_first_process_that_ignores_the_signal_is_killed_after_the_time(process, monkeypatch):
    monkeypatch.setattr(unanswered, "_END_WAIT", 0.3)
    monitor = process(f"signal.signal({KILL_CONTAINER}, signal.SIG_IGN)")
    first = process("signal.signal(signal.SIGUSR1, signal.SIG_IGN)")
    end_directly(record(monitor, first), signal.SIGUSR1, 0)
    assert (first.wait(120), monitor.wait(120)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_signal_reaches_the_first_process_and_no_other(process):
    monitor, first = (
        process("pass"),
        process("signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))"),
    )
    named = record(monitor, first)
    signal_directly(named._replace(pid_start=named.pid_start + 1), signal.SIGKILL)
    signal_directly(named, signal.SIGUSR1)
    assert first.wait(120) == 7
    assert monitor.poll() is None
