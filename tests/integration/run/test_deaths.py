"""Whichever of the processes ends, and however, no process and no file is left behind."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import probes
from tests.support.file_servers import kill_file_servers
from tests.support.processes import children_of
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


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def children(pid):
    """Those that have not ended, in the order in which they were made."""
    return [child for child in children_of(pid) if (state_of(child) or "Z") not in "ZX"]


def roles(process):
    """(monitor, union server, first process of the container)."""
    (monitor,) = children(process.pid)
    server, container = children(monitor)
    return monitor, server, container


def descendants(pid):
    return [one for child in children(pid) for one in (child, *descendants(child))]


def has_socket(pid):
    try:
        links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        return False  # a descriptor was closed meanwhile
    return any(link.startswith("socket:") for link in links)


def assert_gone(pids):
    wait_until(lambda: all((state_of(pid) or "Z") in "ZX" for pid in pids))


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
    process.communicate(timeout=120)
    assert_gone(everyone)
    assert containers(rootless) == []
    assert_swept(rootless)


def test_killed_monitor_takes_the_container_along_and_is_reported(rootless):
    process = start(rootless)
    everyone = descendants(process.pid)
    os.kill(roles(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 125
    assert b"the monitor of the container was killed" in err
    assert_gone(everyone)
    assert_swept(rootless)


def start_detached(rootless):
    """The PIDs of its monitor and of its first process."""
    rootless("run", "-d", "--name", "fred", "--rootfs", "/", "sh", "-c", IDLE).ok()
    (path,) = (rootless.data / "rootless/containers").glob("?" * 64 + "/container.json")
    record = json.loads(path.read_text())
    return record["monitor_pid"], record["pid"]


def test_inspect_notices_that_the_monitor_was_killed(rootless):
    pids = start_detached(rootless)
    os.kill(pids[0], signal.SIGKILL)
    assert_gone(pids)
    shown = rootless("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "fred").ok().stdout
    assert shown == "exited 137\n"


def test_the_next_container_notices_that_the_monitor_was_killed(rootless):
    pids = start_detached(rootless)
    (path,) = (rootless.data / "rootless/containers").glob("?" * 64 + "/container.json")
    os.kill(pids[0], signal.SIGKILL)
    assert_gone(pids)
    rootless("run", "-d", "--name", "ann", "--rootfs", "/", "sh", "-c", IDLE).ok()
    wait_until(lambda: json.loads(path.read_text())["status"] == "exited")
    rootless("rm", "-f", "ann").ok()


@pytest.mark.parametrize(
    ("verb", "status", "message", "state"),
    [
        (("stop",), 0, "", "exited"),
        (("restart", "-t", "0"), 0, "", "running"),
        (("update", "--restart", "no"), 0, "", "exited"),
        (("kill",), 1, "is not running", "exited"),
        (("pause",), 1, "is not running", "exited"),
        (("unpause",), 1, "is not paused", "exited"),
        (("attach",), 1, "cannot attach to a stopped container", "exited"),
        (("wait",), 0, "", "exited"),
    ],
)
def test_monitor_killed_before_it_answers_is_a_container_that_has_ended(
    rootless, verb, status, message, state
):
    pids = start_detached(rootless)
    if verb == ("unpause",):
        rootless("pause", "fred").ok()
    os.kill(pids[0], signal.SIGSTOP)
    client = rootless.popen(*verb, "fred")
    wait_until(lambda: has_socket(client.pid))
    os.kill(pids[0], signal.SIGKILL)
    _, err = client.communicate(timeout=120)
    assert client.returncode == status
    assert message in err.decode()
    assert rootless("inspect", "-f", "{{.State.Status}}", "fred").ok().stdout == f"{state}\n"


BUSY = "echo up; while :; do cat /etc/passwd > /copied; done"
IDLE = "echo up; while :; do :; done"
"""The shell alone, which is in memory: it never notices that its files are gone."""


@pytest.mark.parametrize("script", [WAIT, BUSY, IDLE, "trap '' TERM INT HUP; " + IDLE])
def test_file_servers_that_are_killed_again_and_again_end_the_container(rootless, script):
    process = start(rootless, script)
    everyone = descendants(process.pid)
    monitor, _, container = roles(process)
    kill_file_servers(monitor, container, lambda: process.poll() is not None)
    _, err = process.communicate(timeout=120)
    assert b"rootless: the file server of the container was killed (signal 9)\n" in err
    assert process.returncode > 128  # killed, or SIGBUS when its own pages are gone
    assert_gone(everyone)
    assert_swept(rootless)


def test_killed_file_server_is_in_the_record(rootless):
    words = ("run", "--name", "fred", "--rootfs", "/", "sh", "-c", IDLE)
    process = rootless.popen(*words, preexec_fn=heed_signals)
    assert process.stdout.readline() == b"up\n"
    monitor, _, container = roles(process)
    kill_file_servers(monitor, container, lambda: process.poll() is not None)
    process.communicate(timeout=120)
    shown = rootless("inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "fred").ok().stdout
    assert shown == "137 the file server of the container was killed (signal 9)\n"
    rootless("rm", "fred").ok()


def test_success_without_a_file_server_is_no_success(rootless):
    """The command ends with 0 while its last server is killed: what it wrote last may be lost."""
    process = start(rootless, "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done")
    monitor, server, container = roles(process)
    for _ in range(20 if probes.lacking("fuse-resend") is None else 0):
        os.kill(server, signal.SIGKILL)
        (server,) = wait_until(
            lambda killed=server: set(children_of(monitor)) - {container, killed}
        )
    os.kill(monitor, signal.SIGSTOP)
    os.kill(container, signal.SIGTERM)
    os.kill(server, signal.SIGKILL)
    os.kill(monitor, signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode >= 125
    assert_swept(rootless)


def test_killed_container_is_137(rootless):
    process = start(rootless)
    everyone = descendants(process.pid)
    os.kill(roles(process)[2], signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 137
    assert_gone(everyone)
    assert_swept(rootless)


ENDING = [
    *("TERM", "INT", "HUP", "QUIT", "USR1", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ", "IO", "PWR"),
    *("ABRT", "TRAP", "SYS", "RTMIN", "RTMAX"),
]


@pytest.mark.parametrize("number", [getattr(signal, f"SIG{name}") for name in ENDING])
def test_signal_that_the_command_does_not_catch_ends_it(rootless, number):
    process = start(rootless, "echo up; while :; do sleep 0.1; done")
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert_swept(rootless)


@pytest.mark.parametrize(
    "name", ["TERM", "USR1", "HUP", "CONT", "XCPU", "XFSZ", "ABRT", "WINCH", "IO", "SYS"]
)
def test_signal_that_the_command_catches_reaches_it(rootless, name):
    script = f"trap 'echo got {name}; exit 5' {name}; echo up; while :; do sleep 0.05; done"
    process = start(rootless, script)
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, _ = process.communicate(timeout=120)
    assert (out, process.returncode) == (f"got {name}\n".encode(), 5)


def test_signals_stay_here_without_sig_proxy(rootless):
    script = "trap 'echo caught' TERM; echo up; while :; do sleep 0.05; done"
    process = start(rootless, script, "--sig-proxy=false")
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert (out, process.returncode) == (b"", -signal.SIGTERM)


def test_command_that_ignores_the_stop_signal_is_killed_after_the_timeout(rootless):
    script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    process = start(rootless, script, "--stop-timeout", "1")
    before = time.monotonic()
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 137
    assert time.monotonic() - before > 0.9


def test_removing_a_running_container_needs_force(rootless):
    process = start(rootless, WAIT, "--name", "fred")
    refused = rootless("rm", "fred")
    assert refused.status == 1
    assert "container is running" in refused.stderr
    rootless("rm", "-f", "fred").ok()
    process.communicate(timeout=120)
    assert process.returncode == 137
    assert_swept(rootless)
