"""Killing a container by its monitor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rootless.containers.process_identity import start_time
from rootless.containers.reconcile import kill_and_wait, wait_for_end
from rootless.containers.record import KILL_CONTAINER, ContainerRecord
from rootless.errors import RootlessError


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[bytes]]:
    """A process that takes no signal that ends a monitor, as one that hangs does."""
    program = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"signal.signal({KILL_CONTAINER}, signal.SIG_IGN);"
        "sys.stdout.write('x'); sys.stdout.flush(); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        yield process
        process.kill()


def monitored(process: subprocess.Popen[bytes]) -> ContainerRecord:
    return ContainerRecord(
        id="1" * 64,
        name="web",
        created="",
        monitor_pid=process.pid,
        monitor_pid_start=start_time(process.pid),
    )


def test_monitor_that_hangs_is_killed(deaf: subprocess.Popen[bytes]) -> None:
    kill_and_wait(monitored(deaf), 0.3)
    assert deaf.wait(120) == -9


def test_monitor_of_an_earlier_release_kills_its_container_at_sigterm() -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7));"
        "sys.stdout.write('x'); sys.stdout.flush(); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        kill_and_wait(monitored(process), 60)
        assert process.wait(120) == 7


def test_monitor_that_is_only_waited_for_is_not_killed(deaf: subprocess.Popen[bytes]) -> None:
    with pytest.raises(RootlessError, match="did not end within"):
        wait_for_end(monitored(deaf), 0.1)
    assert deaf.poll() is None


def test_monitor_that_ends_between_two_signals_has_ended(
    deaf: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parent has waited for it: the second signal finds no process."""
    record, pidfd = monitored(deaf), os.pidfd_open(deaf.pid)
    deaf.kill()
    deaf.wait()
    monkeypatch.setattr("rootless.containers.reconcile.open_process", lambda *_: pidfd)
    kill_and_wait(record, 1)
