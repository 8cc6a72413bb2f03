"""One of a container's processes is killed at a random moment of its start, life or stop: no process stays,
nothing stays mounted, and the next command finds a container that it can show and remove."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import pytest

from tests.support.processes import children_of
from tests.support.waiting import let_pass, wait_until

pytestmark = [pytest.mark.needs("userns", "fuse"), pytest.mark.slow]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def assert_nothing_stays(rootless):
    wait_until(lambda: rootless.processes() == [])
    assert str(rootless.data) not in Path("/proc/self/mountinfo").read_text()
    for name in rootless("ps", "-aq").ok().stdout.split():
        rootless("inspect", name).ok()
        rootless("rm", name).ok()
    assert list((rootless.data / "rootless/containers").glob("?" * 64)) == []


@pytest.mark.parametrize("role", ["run", "monitor", "server", "container"])
def test_during_the_start_and_the_end_of_a_run(rootless, role):
    choices = random.Random(role)
    script = "echo > /f; rm /f; exit 3"
    for turn in range(12):
        options = ("--rm",) if turn % 2 else ("--name", f"c{turn}")
        process = rootless.popen("run", *options, "--rootfs", "/", "sh", "-c", script)
        let_pass(choices.uniform(0, 0.25))
        monitors = children_of(process.pid)
        below = [pid for monitor in monitors for pid in children_of(monitor)]
        chosen = {
            "run": [process.pid],
            "monitor": monitors,
            "server": below[:1],
            "container": below[1:],
        }[role]
        for pid in chosen:
            kill(pid)
        process.communicate(timeout=120)
        assert_nothing_stays(rootless)


@pytest.mark.parametrize("role", ["monitor", "server", "container"])
def test_during_a_stop(rootless, role):
    choices = random.Random(role)
    for _ in range(6):
        rootless("run", "-d", "--name", "c1", "--rootfs", "/", "sleep", "1000").ok()
        (path,) = (rootless.data / "rootless/containers").glob("?" * 64 + "/container.json")
        record = json.loads(path.read_text())
        stopping = rootless.popen("stop", "-t", "1", "c1")
        let_pass(choices.uniform(0, 1.3))
        key = {"monitor": "monitor_pid", "server": "server_pid", "container": "pid"}[role]
        kill(record[key])
        stopping.communicate(timeout=120)
        wait_until(lambda: rootless("ps", "-q").ok().stdout == "")
        assert_nothing_stays(rootless)
