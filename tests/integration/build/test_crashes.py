"""Builds that are killed at any instant, that fill the disk, and whose context changes under them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.file_servers import servers_below
from tests.support.processes import children_of
from tests.support.rootless import Rootless
from tests.support.small_disk import with_small_disk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

DOCKERFILE = """FROM base:1 AS one
WORKDIR /w
COPY files /files
RUN echo x > /x; mkdir /d; touch /d/$(seq 1 50 | tr '\\n' ' ')
FROM base:1
COPY --from=one /files /files
RUN cat /files/f1 > /y
"""


def test_a_build_killed_at_any_instant_leaves_a_store_that_the_next_one_uses(builds):
    files = {f"files/f{n}": f"content {n}\n" for n in range(20)}
    context = builds.context(DOCKERFILE, files)
    started = time.monotonic()
    builds.ok(DOCKERFILE)
    whole = time.monotonic() - started
    chance = random.Random(5)
    for _ in range(12):
        assert builds.rootless("builder", "prune", "-a", "-f").status == 0
        process = builds.rootless.popen("build", "-t", "killed", str(context))
        try:
            process.wait(chance.uniform(0, whole))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(120)
        builds.ok(DOCKERFILE)
        assert builds.sh("cat /y") == "content 1\n"
    done = builds.rootless("system", "check")
    assert "damaged" not in done.stdout.lower()
    builds.ok("FROM base:1\n")
    store = builds.rootless.data / "rootless"
    assert [each for each in os.listdir(store / "tmp") if each != ".lock"] == []


@pytest.mark.needs("fuse-resend")
def test_a_killed_file_server_of_a_step_is_replaced(builds):
    builds.ok("FROM base:1\n")
    script = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i > /d/$i; mv /d/$i /d/f$i; done"
    context = builds.context(f"FROM base:1\nRUN mkdir /d; {script}; ls /d | wc -l > /count\n")
    process = builds.rootless.popen("build", "-t", "t", str(context))

    def runs_a_shell():
        for pid in children_of(process.pid):
            with contextlib.suppress(OSError):  # it ends meanwhile
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/bin/sh\0"):
                    return True
        return False

    wait_until(runs_a_shell)
    kills = 0
    while process.poll() is None and kills < 2:
        for pid in servers_below(process.pid):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
                kills += 1
            wait_until(lambda pid=pid: pid not in servers_below(process.pid))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert kills == 2, "the command ended too early"
    assert builds.sh("cat /count; cat /d/f1000; ls /d | wc -l") == "1000\n1000\n1000\n"


def test_a_build_killed_after_any_line_that_it_shows_leaves_nothing(builds):
    """Each line is the start or the end of a step: the Dockerfile, the context, every instruction, the image."""
    unique = "86399.75"
    dockerfile = (
        DOCKERFILE + f"RUN --mount=type=cache,target=/c sleep 0.05; sleep {unique} & sleep 0.05\n"
    )
    context = builds.context(dockerfile, {f"files/f{n}": f"content {n}\n" for n in range(20)})
    argv = ("build", "--no-cache", "--progress=plain", "-t", "killed", str(context))
    lines = len([line for line in builds.rootless(*argv).ok().stderr.splitlines() if line])
    assert lines > 15
    for number in range(1, lines + 1):
        process = builds.rootless.popen(*argv)
        seen = 0
        while seen < number and (line := process.stderr.readline()):
            seen += bool(line.strip())
        process.kill()
        process.communicate(timeout=120)
        wait_until(lambda: not _processes_with(unique.encode()))
    builds.ok("FROM base:1\nCOPY files /files\n")
    store = builds.rootless.data / "rootless"
    assert [each for each in os.listdir(store / "tmp") if each != ".lock"] == []
    assert "damaged" not in builds.rootless("system", "check").stdout
    assert builds.rootless("ps", "-aq").stdout == ""


def _processes_with(word: bytes) -> list[str]:
    """The processes that have the word among their arguments."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found


def test_a_context_that_changes_gives_an_error_or_one_of_its_states(builds):
    context = builds.context("FROM base:1\nCOPY d /d\n", {"d/f": "a" * 100_000})
    path = context / "d/f"
    stop = threading.Event()

    def change():
        size = 1
        while not stop.is_set():
            size = size % 300_000 + 10_007
            path.write_text("b" * size)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(8):
            done = builds.rootless("build", "-t", "t", "--no-cache", str(context))
            if done.status == 0:
                # No file is cut off: what was copied has the size of its entry.
                assert int(builds.sh("wc -c < /d/f")) >= 0
            else:
                assert done.status == 1, done.stderr
                assert "changed while it was read" in done.stderr, done.stderr
    finally:
        stop.set()
        thread.join()
    builds.ok("FROM base:1\nCOPY d /d\n")


def test_a_full_disk_is_an_error_and_the_store_stays_whole(builds):
    """A limit of the size of files stands for the end of the disk: writes fail at any place with EFBIG."""
    context = builds.context(
        "FROM base:1\nRUN echo small > /small\nCOPY big /big\n", {"big": "x" * 3_000_000}
    )
    limited = Rootless(builds.rootless.data, builds.rootless.runtime)
    script = f"ulimit -f 2000; exec {sys.executable} -m rootless build -t t {context}"
    done = subprocess.run(
        ["bash", "-c", script],
        env=limited.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot store the layer of the step" in done.stderr
    assert "Dockerfile:3" in done.stderr
    assert builds.rootless("system", "check").status == 0
    builds.ok("FROM base:1\nRUN echo small > /small\nCOPY big /big\n")
    assert builds.sh("wc -c < /big").strip() == "3000000"


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        ("COPY big /big", "cannot store the layer of the step"),
        (
            "RUN --mount=target=/c dd if=/c/big of=/big",
            "did not complete successfully: exit code: 1",
        ),
        ("RUN --mount=target=/c cat /c/big > /big", "cannot store the layer of the step"),
    ],
)
def test_a_build_on_a_disk_without_room_ends_with_its_place(builds, tmp_path, instruction, reason):
    """The store lies on a tmpfs of 16 MiB."""
    context = builds.context(f"FROM base:1\nRUN echo small > /small\n{instruction}\n")
    (context / "big").write_bytes(os.urandom(15 << 20))
    base = tmp_path / "base.tar"
    builds.rootless("save", "-o", base, "base:1").ok()
    disk = tmp_path / "disk"
    disk.mkdir()

    def body() -> None:
        small = Rootless(disk, tmp_path / "run")
        small("load", "-i", base).ok()
        done = small("build", "-t", "t", str(context))
        assert done.status == 1, done.stderr
        assert reason in done.stderr, done.stderr
        assert "Dockerfile:3" in done.stderr
        assert "no space left on device" in done.stderr.lower()
        assert small("image", "ls", "-q", "t").stdout == ""
        small("build", "-t", "t", "-", stdin=b"FROM base:1\nRUN echo small > /small\n").ok()
        assert [each for each in os.listdir(disk / "rootless/tmp") if each != ".lock"] == []

    with_small_disk(disk, 16 << 20, body)
