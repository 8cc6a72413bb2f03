"""Many containers: one after the other, at once, and started by many processes.

ROOTLESS_TEST_SCALE is the percentage, 10 by default, of 500 containers one after the other, 200 that run, and 100 that 20
processes start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("userns", "fuse"), pytest.mark.slow]

SCALE = int(os.environ.get("ROOTLESS_TEST_SCALE", "10"))
"""Percent."""
PS_BOUND = 0.15
"""Seconds of processor time of `ps` with 200 containers."""


def files_below(*directories):
    """Everything but the names of locks, which stay."""
    return {
        str(path)
        for directory in directories
        for path in directory.rglob("*")
        if path.suffix != ".lock" and path.name != "events.log"
    }


def control_groups():
    return {str(path) for path in Path("/sys/fs/cgroup").rglob("rootless-*")}


def test_containers_one_after_the_other_leave_nothing(rootless):
    run = ("run", "--rm", "--network", "none", "--rootfs", "/", "sh", "-c", "echo x > /f")
    volume = (*run[:2], "-v", "/anonymous", *run[2:])
    rootless(*run).ok()
    rootless(*volume).ok()
    wait_until(lambda: rootless.processes() == [])
    before = files_below(rootless.data, rootless.runtime), control_groups()
    mounts = set(Path("/proc/self/mountinfo").read_text().splitlines())
    for turn in range(500 * SCALE // 100):
        rootless(*(volume if turn % 10 == 0 else run)).ok()
    wait_until(lambda: rootless.processes() == [])
    assert (files_below(rootless.data, rootless.runtime), control_groups()) == before
    # What an earlier test has left may go meanwhile.
    assert set(Path("/proc/self/mountinfo").read_text().splitlines()) <= mounts


def test_many_running_containers_are_listed_at_once(rootless):
    count = 200 * SCALE // 100
    options = ("--network", "none", "--rootfs", "/", "sleep", "1000")
    for number in range(count):
        rootless("run", "-d", "--name", f"c{number}", *options).ok()
    assert len(rootless("ps", "-q").ok().stdout.splitlines()) == count
    took = min(processor_time(rootless, "ps") for _ in range(5))
    assert took < PS_BOUND, took
    rootless("rm", "-f", *(f"c{number}" for number in range(count))).ok()
    wait_until(lambda: rootless.processes() == [])


def processor_time(rootless, *arguments):
    """Seconds that a command and its children take of the processors."""
    before = os.times()
    rootless(*arguments).ok()
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def test_containers_that_many_processes_start_at_once_all_come_up(rootless):
    starters, each = 20, max(1, 5 * SCALE // 100)
    script = (
        'for i in $(seq $2); do "$0" -m rootless run -d --name "c$1-$i" --network none --rootfs / '
        "sleep 1000 || exit 1; done"
    )
    started = time.monotonic()
    running = [
        subprocess.Popen(
            ["sh", "-c", script, sys.executable, str(number), str(each)],
            env=rootless.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(starters)
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    print(f"{starters * each} containers in {time.monotonic() - started:.1f} s")
    assert errors == [b""] * starters
    shown = rootless("ps", "--format", "{{.State}}").ok().stdout.split()
    assert shown == ["running"] * (starters * each)
    rootless("rm", "-f", *rootless("ps", "-q").ok().stdout.split()).ok()
    wait_until(lambda: rootless.processes() == [])
