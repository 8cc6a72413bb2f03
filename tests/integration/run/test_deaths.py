"""Whoever of the processes dies, and however, nothing is left running and nothing is left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

WAIT = "echo up; trap '' USR1; while :; do sleep 0.1; done"


def heed_signals():
    """A shell's background job ignores the keyboard's signals, and so would everything below it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def start(rootless, script=WAIT, *options):
    words = ["run", "--rm", *options, "--rootfs", "/", "sh", "-c", script]
    process = rootless.popen(*words, preexec_fn=heed_signals)
    assert process.stdout.readline() == b"up\n"
    return process


def state_and_parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            known = state_and_parent(int(name))
            if known is not None and known[1] == pid and known[0] not in "ZX":
                found.append(int(name))
    return sorted(found)


def roles(process):
    """(monitor, union server, first process of the container)."""
    (monitor,) = children(process.pid)
    server, container = children(monitor)
    return monitor, server, container


def descendants(pid):
    return [one for child in children(pid) for one in (child, *descendants(child))]


def assert_gone(pids):
    wait_until(lambda: all((state_and_parent(pid) or "Z")[0] in "ZX" for pid in pids))


def containers(rootless):
    root = rootless.data / "rootless/containers"
    return [entry.name for entry in root.iterdir() if entry.name not in ("names", ".lock")]


def assert_swept(rootless):
    """Nothing is mounted, and what a killed monitor could not remove, the next command does."""
    assert str(rootless.data) not in Path("/proc/self/mountinfo").read_text()
    assert rootless("ps", "-aq").ok().stdout == ""
    assert containers(rootless) == []


def test_killed_run_takes_the_container_along(rootless):
    process = start(rootless)
    everyone = descendants(process.pid)
    process.kill()
    process.communicate(timeout=30)
    assert_gone(everyone)
    assert containers(rootless) == []
    assert_swept(rootless)


def test_killed_monitor_takes_the_container_along_and_is_reported(rootless):
    process = start(rootless)
    everyone = descendants(process.pid)
    os.kill(roles(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 125
    assert b"the monitor of the container was killed" in err
    assert_gone(everyone)
    assert_swept(rootless)


def test_killed_file_server_is_reported(rootless):
    process = start(rootless)
    everyone = descendants(process.pid)
    os.kill(roles(process)[1], signal.SIGKILL)
    seen = b""
    while b"the file server of the container was killed" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode > 128  # of SIGTERM, or of SIGBUS if its own pages are gone
    assert_gone(everyone)
    assert_swept(rootless)


def test_killed_container_is_137(rootless):
    process = start(rootless)
    everyone = descendants(process.pid)
    os.kill(roles(process)[2], signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 137
    assert_gone(everyone)
    assert_swept(rootless)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signal_that_the_command_does_not_catch_ends_it(rootless, number):
    process = start(rootless, WAIT)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert_swept(rootless)


@pytest.mark.parametrize("name", ["TERM", "USR1", "HUP", "CONT"])
def test_signal_that_the_command_catches_reaches_it(rootless, name):
    script = f"trap 'echo got {name}; exit 5' {name}; echo up; while :; do sleep 0.05; done"
    process = start(rootless, script)
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (f"got {name}\n".encode(), 5)


def test_signals_stay_here_without_sig_proxy(rootless):
    script = "trap 'echo caught' TERM; echo up; while :; do sleep 0.05; done"
    process = start(rootless, script, "--sig-proxy=false")
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"", -signal.SIGTERM)


def test_command_that_ignores_the_stop_signal_is_killed_after_the_timeout(rootless):
    script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    process = start(rootless, script, "--stop-timeout", "1")
    before = time.monotonic()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 137
    assert 0.9 < time.monotonic() - before < 15


def test_removing_a_running_container_needs_force(rootless):
    process = start(rootless, WAIT, "--name", "fred")
    refused = rootless("rm", "fred")
    assert refused.status == 1
    assert "container is running" in refused.stderr
    rootless("rm", "-f", "fred").ok()
    process.communicate(timeout=30)
    assert process.returncode == 137
    assert_swept(rootless)
