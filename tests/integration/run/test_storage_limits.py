"""`run --storage-opt size=…,inodes=…,bps=…,iops=…`: what is seen inside, and by stats and inspect."""

from __future__ import annotations

import json
import re
import tarfile

import pytest

from tests.support.images import add_file

pytestmark = pytest.mark.needs("userns", "fuse")

MIB = 1 << 20


def run(rootless, *options, script):
    return rootless("run", *options, "--rootfs", "/", "sh", "-c", script)


def used(rootless, name="c1"):
    data = json.loads(rootless("inspect", name).ok().stdout)[0]["GraphDriver"]["Data"]
    return int(data["UsedSize"]), int(data["UsedInodes"])


@pytest.mark.needs("subuid")  # an account with one id has a setting of apt in each container
def test_container_sees_the_limit_and_meets_it(rootless):
    script = (
        "df -Pk / | tail -1; df -Pi / | tail -1; dd if=/dev/zero of=/big bs=64k; echo dd=$?; "
        "stat -c %s /big; df -Pk / | tail -1; rm /big; echo more > /next && cat /next"
    )
    result = run(rootless, "--rm", "--storage-opt", "size=8M,inodes=50", script=script).ok()
    lines = result.stdout.splitlines()
    assert re.search(r"\s8192\s+4\s+8188\s", lines[0])
    assert re.search(r"\s50\s+1\s+49\s", lines[1])
    assert "No space left on device" in result.stderr
    assert lines[2] == "dd=1"
    assert 8 * MIB - 65536 <= int(lines[3]) < 8 * MIB
    assert re.search(r"\s8192\s+8192\s+0\s", lines[4]), "full"
    assert lines[5] == "more"


def test_inodes_run_out(rootless):
    script = "for n in 1 2 3 4 5 6 7 8 9 10; do touch /f$n || break; done; df -Pi / | tail -1"
    result = run(rootless, "--rm", "--storage-opt", "inodes=6", script=script).ok()
    assert "No space left on device" in result.stderr
    assert re.search(r"\s6\s+6\s+0\s+100%", result.stdout)


@pytest.mark.needs("subuid")  # an account with one id has a setting of apt in each container
def test_usage_outlives_the_run_and_is_shown(rootless):
    script = "test -e /f && exec dd if=/dev/zero of=/g bs=64k; head -c 5000000 /dev/zero > /f"
    options = ("--name", "c1", "--storage-opt", "size=8M", "--storage-opt", "inodes=1k")
    run(rootless, *options, script=script).ok()
    host = json.loads(rootless("inspect", "c1").ok().stdout)[0]["HostConfig"]
    assert host["StorageOpt"] == {"size": str(8 * MIB), "inodes": "1000"}
    size, inodes = used(rootless)
    assert 5_000_000 <= size < 5_100_000
    assert inodes == 2
    (row,) = (
        rootless("stats", "--no-stream", "--format", "{{.StorageUsage}}, {{.StorageInodes}}", "c1")
        .ok()
        .stdout.splitlines()
    )
    assert row == "4.773MiB / 8MiB, 2 / 1000"
    rootless("start", "c1").ok()
    assert rootless("wait", "c1").ok().stdout == "1\n"
    size, inodes = used(rootless)
    assert 8 * MIB - 65536 <= size <= 8 * MIB
    assert inodes == 3


@pytest.mark.needs("busybox")
def test_large_file_is_not_copied_up_beyond_the_limit(rootless, busybox_image, tmp_path):
    path = tmp_path / "rootfs.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a") as archive:
        add_file(archive, "big", b"x" * 4 * MIB)
    rootless("import", path, "box:1").ok()
    script = "echo y >> /big; echo $?; head -c 1 /big; rm /big; ls /big; echo z > /small"
    result = rootless("run", "--rm", "--storage-opt", "size=1M", "box:1", "sh", "-c", script).ok()
    assert result.stdout == "1\nx"
    assert "No space left on device" in result.stderr


def test_speed_is_limited_and_other_requests_go_on(rootless):
    """The shell's `mkdir` and `test -d` read no file once they have been read."""
    script = (
        "dd if=/dev/zero of=/z bs=64k count=1 2>/dev/null; mkdir /a; test -d /a; rmdir /a;"
        "dd if=/dev/zero of=/z bs=128k count=8 oflag=direct 2>/d & "
        "for n in 1 2 3 4 5 6; do : > /f$n; done; jobs; wait; cat /d"
    )
    result = run(rootless, "--rm", "--storage-opt", "bps=500k", script=script).ok()
    assert "Running" in result.stdout, "the files were made while dd was writing"
    seconds = float(re.search(r"copied, ([0-9.]+) s", result.stdout)[1])
    assert seconds > 1.0


def test_kernel_overlay_refuses_a_limit(rootless):
    options = ("--storage-driver", "overlay", "--storage-opt", "size=1G")
    result = run(rootless, "--rm", *options, script="true")
    assert result.status == 125
    assert "the storage driver overlay cannot limit the writable layer" in result.stderr


@pytest.mark.parametrize("state", ["running", "created"])
def test_a_directory_that_is_copied_in_meets_the_limit(rootless, tmp_path, state):
    (tmp_path / "d").mkdir()
    for number in range(3):
        (tmp_path / "d" / f"{number}").write_bytes(bytes(range(256)) * 4096)
    command = "create" if state == "created" else "run"
    options = ("-d",) if state == "running" else ()
    rootless(
        command,
        *options,
        "--name",
        "c1",
        "--storage-opt",
        "size=2M",
        "--rootfs",
        "/",
        "sleep",
        "1000",
    ).ok()
    result = rootless("cp", tmp_path / "d", "c1:/d")
    assert (result.status, "no space left" in result.stderr) == (1, True)
    assert used(rootless)[0] <= 2 * MIB
    rootless("rm", "-f", "c1").ok()
