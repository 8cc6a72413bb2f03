"""The clock of the host jumps while containers run: what is timed goes on, and what is shown is of the clock as it is."""

import json
import os
import subprocess
import time
from datetime import datetime

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "gcc")

DAY = 86400
_CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    long result = syscall(SYS_clock_gettime, clock, time);
    const char *path = getenv("CLOCK_OFFSET");
    char text[32] = "";
    if (clock == CLOCK_REALTIME && path) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0)
                time->tv_sec += atol(text);
            close(file);
        }
    }
    return result;
}
"""
"""A clock that is wrong by the seconds in a file: clock_settime(2) is for root, and there is no namespace of this clock."""


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """Sets how many seconds the clock of this engine and of its monitors is wrong."""
    source, library, offset = (tmp_path / name for name in ("clock.c", "clock.so", "offset"))
    source.write_text(_CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)

    def jump(seconds):
        new = offset.with_suffix(".new")
        new.write_text(str(seconds))
        os.replace(new, offset)

    jump(0)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_OFFSET", str(offset))
    return jump


@pytest.mark.parametrize("days", [10, -10])
def test_life_of_a_container_goes_on(rootless, clock, days):
    bare = ("--network", "none", "--rootfs", "/")
    often = ("--health-cmd", "true", "--health-interval", "100ms")
    script = "while :; do echo line; sleep 0.05; done"
    rootless("run", "-d", "--name", "web", *often, *bare, "sh", "-c", script).ok()
    failing = ("--restart", "always", *bare, "sh", "-c", "exit 1")
    rootless("run", "-d", "--name", "loop", *failing).ok()
    clock(days * DAY)

    def is_now(text):
        moment = datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()
        return abs(moment - time.time() - days * DAY) < DAY

    def health():
        return json.loads(rootless("inspect", "-f", "{{json .State.Health}}", "web").ok().stdout)

    wait_until(lambda: all(is_now(each["End"]) for each in health()["Log"]))
    assert health()["Status"] == "healthy"
    count = rootless("inspect", "-f", "{{.RestartCount}}", "loop").ok().stdout
    wait_until(lambda: rootless("inspect", "-f", "{{.RestartCount}}", "loop").ok().stdout != count)
    shown = rootless("ps", "--format", "{{.Names}} {{.Status}}", "-f", "name=web").ok().stdout
    since = "10 days" if days > 0 else "Less than a second"
    assert shown == f"web Up {since} (healthy)\n"
    assert is_now(rootless("logs", "-n", "1", "-t", "web").ok().stdout)
    rootless("exec", "web", "true").ok()
    rootless("restart", "-t", "0", "web").ok()
    latest = rootless("events", "--since", "30s", "--until", "0s", "-f", "event=restart").ok()
    assert "container restart" in latest.stdout
    rootless("stop", "-t", "1", "web", "loop").ok()
    rootless("rm", "web", "loop").ok()
