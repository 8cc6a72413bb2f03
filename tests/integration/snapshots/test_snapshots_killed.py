"""Snapshots while the command, the file server or the whole container is killed: a consistent container every time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
from contextlib import suppress
from io import BytesIO

import pytest

from tests.support.file_servers import server_of
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

COUNTER = r"""
import os
os.makedirs("/srv/work/a", exist_ok=True)
os.chdir("/srv/work")
number = int(open("number").read()) if os.path.exists("number") else 0
while True:
    number += 1
    for name in ("first", "a/second"):
        with open(name + ".new", "w") as file:
            file.write("%d\n" % number * 500)
            file.flush(); os.fsync(file.fileno())
        os.rename(name + ".new", name)
    fd = os.open("number", os.O_WRONLY | os.O_CREAT)
    os.pwrite(fd, b"%010d" % number, 0); os.fsync(fd); os.close(fd)
    if number % 7 == 0:
        os.rename("a", "b"); os.rename("b", "a")
"""


def start(rootless: Rootless) -> None:
    command = (sys.executable, "-c", COUNTER)
    rootless("run", "-d", "--name", "box", "--rootfs", "/", *command).ok()
    wait_until(lambda: number(rootless) > 0)


def number(rootless: Rootless, name: str = "box") -> int:
    text = rootless("exec", name, "cat", "/srv/work/number").stdout
    return int(text) if text.strip().isdigit() else 0


def check_that_it_goes_on(rootless: Rootless, before: int) -> None:
    """Wait until the container has counted beyond that. If it does not, say how it ended, or what keeps it."""
    with suppress(AssertionError):
        wait_until(lambda: number(rootless) > before or not rootless("ps", "-q").stdout)
    if number(rootless) <= before:
        seen = (("ps", "-a"), ("logs", "box"), ("exec", "box", "ls", "-lR", "/srv/work"))
        raise AssertionError("\n".join(str(rootless(*words)) for words in seen))


def check_state(rootless: Rootless, name: str, least: int) -> None:
    """Of a container that does not run: each file is whole, and as new as what was synced at that time."""
    copied = rootless.popen("cp", f"{name}:/srv/work", "-")
    archive, errors = copied.communicate(timeout=120)
    assert copied.returncode == 0, errors
    with tarfile.open(fileobj=BytesIO(archive)) as members:
        # Between the two renames the directory has the other name.
        directory = next(each for each in ("a", "b") if f"work/{each}" in members.getnames())
        for path in ("work/first", f"work/{directory}/second"):
            file = members.extractfile(path)
            assert file is not None
            lines = set(file.read().splitlines())
            assert len(lines) == 1
            assert int(lines.pop()) >= least


def test_commands_that_are_killed_leave_a_container_that_goes_on(rootless: Rootless) -> None:
    start(rootless)
    chosen = random.Random(1)
    known: dict[str, int] = {}
    for attempt in range(15):
        before = number(rootless)
        command = rootless.popen("snapshot", "box", f"s{attempt}")
        with suppress(subprocess.TimeoutExpired):
            command.wait(chosen.uniform(0.02, 0.3))
        command.kill()
        command.wait()
        assert number(rootless) >= before
        known[f"s{attempt}"] = before
    rootless("snapshot", "box", "last").ok()
    known["last"] = 0
    taken = rootless("snapshots", "-q", "box").ok().stdout.split()
    assert "last" in taken
    rootless("stop", "-t", "0", "box").ok()
    for tag in taken:
        rootless("rollback", "box", tag).ok()
        check_state(rootless, "box", known[tag])
    rootless("rm", "box").ok()
    assert [each for each in os.listdir(rootless.data / "rootless/frozen") if each[0] != "."] == []


def kill_server(rootless: Rootless) -> None:
    with suppress(ProcessLookupError):  # it is being replaced
        os.kill(server_of(rootless), signal.SIGKILL)


@pytest.mark.needs("fuse-resend")
def test_file_servers_that_are_killed_leave_a_container_that_goes_on(rootless: Rootless) -> None:
    start(rootless)
    chosen = random.Random(2)
    known: dict[str, int] = {}
    for attempt in range(12):
        before = number(rootless)
        timer = threading.Timer(chosen.uniform(0.03, 0.2), kill_server, (rootless,))
        timer.start()
        result = rootless("snapshot", "box", f"s{attempt}")
        timer.join()
        if result.status == 0:
            known[f"s{attempt}"] = before
        check_that_it_goes_on(rootless, before)
        if attempt % 6 == 5:
            # More than twenty servers in a minute are not replaced.
            assert rootless("ps", "-q").ok().stdout
    taken = rootless("snapshots", "-q", "box").ok().stdout.split()
    assert set(known) <= set(taken)
    rootless("stop", "-t", "0", "box").ok()
    for tag, least in known.items():
        rootless("rollback", "box", tag).ok()
        check_state(rootless, "box", least)


def test_rollbacks_that_are_killed_are_completed(rootless: Rootless) -> None:
    start(rootless)
    rootless("snapshot", "box", "one").ok()
    rootless("stop", "-t", "0", "box").ok()
    chosen = random.Random(3)
    for _ in range(10):
        rootless("start", "box").ok()
        rootless("stop", "-t", "0", "box").ok()
        command = rootless.popen("rollback", "box", "one")
        with suppress(subprocess.TimeoutExpired):
            command.wait(chosen.uniform(0.01, 0.15))
        command.kill()
        command.wait()
        check_state(rootless, "box", 0)
    rootless("rollback", "box", "one").ok()
    rootless("start", "box").ok()
    wait_until(lambda: number(rootless) > 0)


def test_killed_containers_keep_their_snapshots(rootless: Rootless) -> None:
    start(rootless)
    rootless("snapshot", "box", "one").ok()
    before = number(rootless)
    monitor = next((rootless.data / "rootless/containers").glob("*/container.json"))
    os.kill(int(json.loads(monitor.read_text())["monitor_pid"]), signal.SIGKILL)
    wait_until(lambda: rootless("ps", "-q").ok().stdout == "")
    rootless("start", "box").ok()
    wait_until(lambda: number(rootless) > before)
    rootless("rollback", "--force", "box", "one").ok()
    check_state(rootless, "box", 0)
