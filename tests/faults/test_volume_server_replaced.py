"""The file server of a volume is killed, and another one goes on: no program in the containers that mount it sees
an error, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.support.file_servers import kill_now_and_then, volume_servers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "fuse-resend")

UNTAR = """
import os
os.chdir("/data")
source = os.path.dirname(os.__file__)
assert os.system(f"tar -c -f lib.tar -C {source} --exclude=*.pyc --exclude=site-packages .") == 0
for turn in range(4):
    os.mkdir(f"out{turn}")
    assert os.system(f"tar -x -C out{turn} -f lib.tar") == 0
    assert os.system(f"tar -d -C out{turn} -f lib.tar > /dev/null") == 0
"""


def kill_server(rootless):
    """Kill it, and wait until there is another."""
    (before,) = volume_servers(rootless)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: [pid for pid in volume_servers(rootless) if pid != before])


@pytest.mark.slow
def test_untar_into_a_volume_sees_nothing_of_ten_kills(rootless, tmp_path):
    choices = random.Random(6)
    (tmp_path / "untar.py").write_text(UNTAR)
    running = rootless.popen(
        *("run", "--name", "c1", "-v", f"{tmp_path}:/v:ro", "-v", "data:/data"),
        *("--rootfs", "/", "python3", "/v/untar.py"),
    )
    wait_until(lambda: rootless("exec", "c1", "test", "-e", "/data/out0").status == 0)
    kill_now_and_then(running, lambda: kill_server(rootless), choices)
    output, errors = running.communicate(timeout=120)
    assert (running.returncode, output, errors) == (0, b"", b"")
    rootless("rm", "c1").ok()
    wait_until(lambda: volume_servers(rootless) == [])
    listed = rootless("run", "--rm", "-v", "data:/data", "--rootfs", "/", "ls", "/data").ok()
    assert listed.stdout == "lib.tar\nout0\nout1\nout2\nout3\n"


def test_two_containers_go_on_with_one_server(rootless):
    run = ("run", "-d", "-v", "data:/data", "--rootfs", "/")
    loop = "i=0; while [ ! -e /data/stop ]; do i=$((i+1)); echo $i > /data/$N; done; echo ended"
    for name in ("one", "two"):
        rootless(*run, "--name", name, "-e", f"N={name}", "sh", "-ec", loop).ok()
    for _ in range(3):
        kill_server(rootless)
        # Each container sees what the other writes, and writes itself.
        for name, other in (("one", "two"), ("two", "one")):
            script = f'x=$(cat /data/{other}); while [ "$(cat /data/{other})" = "$x" ]; do :; done'
            rootless("exec", name, "sh", "-c", script).ok()
    third = rootless("run", "--rm", "-v", "data:/data", "--rootfs", "/", "touch", "/data/stop")
    assert third.ok().stderr == ""
    for name in ("one", "two"):
        assert rootless("wait", name).ok().stdout == "0\n"
        assert rootless("logs", name).ok().stdout == "ended\n"
    wait_until(lambda: volume_servers(rootless) == [])


def test_container_that_starts_meanwhile_gets_the_same_file_system(rootless):
    rootless(
        *("run", "-d", "--name", "c1", "-v", "data:/data", "--rootfs", "/", "sleep", "1000")
    ).ok()
    rootless("exec", "c1", "sh", "-c", "echo kept > /data/f").ok()
    for _ in range(3):
        (server,) = volume_servers(rootless)
        os.kill(server, signal.SIGKILL)
        script = "cat /data/f; echo more >> /data/f"
        other = rootless("run", "--rm", "-v", "data:/data", "--rootfs", "/", "sh", "-c", script)
        assert other.ok().stdout.startswith("kept\n")
    assert rootless("exec", "c1", "cat", "/data/f").ok().stdout == "kept\n" + 3 * "more\n"
    rootless("rm", "-f", "c1").ok()
    wait_until(lambda: volume_servers(rootless) == [])


@pytest.mark.parametrize("source", ["overlay", "image"])
def test_other_served_mounts_go_on(rootless, busybox_image, tmp_path, source):
    (tmp_path / "f").write_text("lower\n")
    if source == "overlay":
        mount, read = ("-v", f"{tmp_path}:/m:O"), "cat /m/f /m/written"
    else:
        rootless("import", busybox_image, "bb:1").ok()
        mount, read = ("--mount", "type=image,source=bb:1,target=/m"), "ls /m/bin/busybox"
    rootless(*("run", "-d", "--name", "c1", *mount, "--rootfs", "/", "sleep", "1000")).ok()
    if source == "overlay":
        rootless("exec", "c1", "sh", "-c", "echo upper > /m/written").ok()
    before = rootless("exec", "c1", "sh", "-c", read).ok().stdout
    for _ in range(2):
        kill_server(rootless)
        assert rootless("exec", "c1", "sh", "-c", read).ok().stdout == before
    rootless("rm", "-f", "c1").ok()
    wait_until(lambda: volume_servers(rootless) == [])
