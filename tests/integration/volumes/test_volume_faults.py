"""Volumes on a full disk, and commands about them that are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tarfile

import pytest

from tests.support.command import run_command
from tests.support.images import add_file
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

ROOTLESS = f"{sys.executable} -m rootless"
ENTER = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "sh", "-ec"]


@pytest.mark.needs("subuid")
def test_full_disk_is_the_container_s_error_and_no_more(rootless, busybox_image, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=16m none {disk}
        run() {{ {ROOTLESS} --root {disk}/store "$@"; }}
        step() {{ name=$1; shift; status=0; out=$(run "$@" 2>&1) || status=$?
                  echo "$name:$status:$(echo "$out" | wc -l):$(echo "$out" | head -c 200 | tr '\\n' ' ')"; }}
        run import {busybox_image} box:1 >/dev/null
        step filled run --rm -v data:/data box:1 sh -c \
            'echo kept > /data/kept; sync
             dd if=/dev/zero of=/data/big bs=64k count=400 conv=fsync 2>&1 | grep -c "No space"; exit 7'
        dd if=/dev/zero of={disk}/rest bs=4k 2>/dev/null || true
        step ls volume ls -q
        step seeded create -v seeded:/bin box:1 true
        step inspect volume inspect -f '{{{{.Name}}}}' data
        step read run --rm -v data:/data:ro box:1 cat /data/kept
        rm {disk}/rest
        step rm volume rm data
        step again create -v seeded:/bin box:1 true
        ls {disk}/store/volumes/seeded/_data | grep -c busybox
        """
    result = run_command([*ENTER, script], env=rootless.env, timeout=100)
    told = f"{result.stdout}\n{result.stderr}"
    rows = dict(line.split(":", 1) for line in result.stdout.splitlines() if ":" in line)
    assert rows["filled"].startswith("7:1:1"), told
    assert rows["ls"].startswith("0:"), told
    assert rows["seeded"].startswith("1:1:"), told
    assert "o space left" in rows["seeded"], told
    assert rows["inspect"].startswith("0:1:data"), told
    assert rows["rm"].startswith("0:1:data"), told
    assert rows["again"].startswith("0:"), told
    assert result.stdout.splitlines()[-1] == "1", told


@pytest.fixture
def many(rootless, busybox_image, tmp_path):
    """An image with a directory whose many files take a while to copy."""
    path = tmp_path / "many.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        for number in range(1500):
            add_file(archive, f"srv/many/{number}", b"content\n")
    rootless("import", path, "many").ok()
    return rootless


def test_killed_first_use_leaves_an_empty_volume_that_is_filled_later(many):
    volume = many.data / "rootless/volumes/data"
    process = many.popen("create", "-v", "data:/srv/many", "many", "true")
    wait_until(lambda: any(volume.glob("_seed/*")), alive=process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((volume / "_data").iterdir()) == []
    assert many("volume", "ls", "-q").ok().stdout == "data\n"
    assert many("ps", "-aq").ok().stdout == ""
    script = "ls /srv/many | wc -l"
    done = many("run", "--rm", "-v", "data:/srv/many", "many", "sh", "-c", script).ok()
    assert done.stdout == "1500\n"
    assert not (volume / "_seed").exists()


def test_two_first_uses_at_once_fill_a_volume_once(many):
    script = "ls /srv/many | wc -l"
    options = ("run", "--rm", "-v", "data:/srv/many", "many", "sh", "-c", script)
    running = [many.popen(*options) for _ in range(3)]
    for each in running:
        assert each.communicate(timeout=120)[0] == b"1500\n"


def test_killed_command_line_of_a_run_leaves_no_server(many):
    process = many.popen(
        "run", "--rm", "-i", "-v", "data:/data", "many", "sh", "-c", "echo up; cat"
    )
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    many.remove_containers()
    wait_until(lambda: not list((many.runtime / "rootless/volumes").glob("*/control.sock")))
    assert many("volume", "rm", "data").ok().stdout == "data\n"


def test_volume_whose_server_has_lost_its_socket_is_named_soon(many):
    many("run", "-d", "--name", "web", "-v", "data:/data", "many", "sleep", "1000").ok()
    shutil.rmtree(many.runtime / "rootless")
    failed = many("run", "--rm", "-v", "data:/data", "many", "true", timeout=30)
    assert failed.status == 125
    assert failed.stderr == (
        "rootless: cannot mount volume data: its file server failed: another one serves it, whose control socket was "
        "removed: stop the containers that use it\n"
    )
    many("rm", "-f", "web").ok()
    many("run", "--rm", "-v", "data:/data", "many", "true").ok()


def test_name_of_a_dead_container_with_volumes_is_taken_by_one_with_volumes(many):
    """The one is removed, with its volumes or without, while the other is being made."""
    many("run", "-d", "--rm", "--name", "web", "-v", "/anon", "many", "sleep", "1000").ok()
    record = next((many.data / "rootless/containers").glob("*/container.json"))
    os.kill(json.loads(record.read_text())["monitor_pid"], signal.SIGKILL)
    done = many(
        "run", "--rm", "--name", "web", "-v", "data:/data", "many", "echo", "up", timeout=120
    )
    assert done.ok().stdout == "up\n"
