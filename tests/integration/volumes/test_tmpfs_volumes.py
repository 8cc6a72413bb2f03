"""Volumes of `type=tmpfs`: one file system in memory for all containers that mount it at one time."""

import os
import signal

import pytest

from tests.support.file_servers import volume_servers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

SLEEP = ("sleep", "1000")


@pytest.fixture
def box(rootless, busybox_image):
    rootless("import", busybox_image, "box").ok()
    return rootless


def create(rootless, name, options=""):
    words = ["-o", "type=tmpfs", "-o", "device=tmpfs", *(["-o", f"o={options}"] if options else [])]
    return rootless("volume", "create", *words, name)


def sh(rootless, script, *options):
    return rootless("run", "--rm", "--network", "none", *options, "box", "sh", "-c", script)


def start(rootless, name, *options):
    return rootless("run", "-d", "--name", name, "--network", "none", *options, "box", *SLEEP).ok()


def refused(result, status, line):
    assert (result.status, result.stdout) == (status, "")
    assert result.stderr.splitlines()[0] == f"rootless: {line}"


def inside(rootless, name, script):
    return rootless("exec", name, "sh", "-c", script).ok().stdout


def test_containers_share_it_and_it_is_empty_after_the_last(box):
    create(box, "mem").ok()
    start(box, "one", "-v", "mem:/data")
    start(box, "two", "-v", "mem:/other")
    inside(box, "one", "echo shared > /data/f")
    assert inside(box, "two", "cat /other/f") == "shared\n"
    box("stop", "-t", "0", "one").ok()
    assert inside(box, "two", "cat /other/f") == "shared\n"
    box("start", "one").ok()
    assert inside(box, "one", "cat /data/f; grep -c ' /data tmpfs ' /proc/mounts") == "shared\n1\n"
    box("stop", "-t", "0", "one", "two").ok()
    assert os.listdir(box.data / "rootless/volumes/mem/_data") == []
    box("start", "one").ok()
    assert inside(box, "one", "ls -A /data") == ""
    box("rm", "-f", "one", "two").ok()
    assert volume_servers(box) == []


def test_restart_of_the_only_container_empties_it(box):
    create(box, "mem").ok()
    start(box, "one", "-v", "mem:/data")
    inside(box, "one", "touch /data/f")
    box("restart", "-t", "0", "one").ok()
    assert inside(box, "one", "ls -A /data") == ""


def test_size_mode_and_flags_are_enforced(box):
    create(box, "small", "size=1m,mode=700,nr_inodes=5,noexec,nosuid").ok()
    script = (
        "stat -c %a /data; df -k /data | tail -n 1 | awk '{print $2}'; "
        "dd if=/dev/zero of=/data/f bs=1k count=2000 2>&1 | grep -o 'No space left on device'; "
        "rm /data/f; for i in 1 2 3 4 5; do touch /data/$i || echo full; done 2>/dev/null; "
        "grep ' /data ' /proc/mounts | grep -o nosuid,noexec"
    )
    shown = sh(box, script, "-v", "small:/data").ok().stdout
    assert shown.splitlines() == [
        *("700", "1024", "No space left on device", "full", "nosuid,noexec")
    ]


def test_owner_is_an_id_of_the_container(box):
    ids = sh(box, "wc -l < /proc/self/uid_map").ok().stdout.strip()
    create(box, "owned", "uid=5,gid=6").ok()
    run = sh(box, "stat -c %u:%g /data", "-v", "owned:/data")
    if ids != "1":
        assert run.ok().stdout == "5:6\n"
        assert sh(box, "touch /data/f", "-v", "owned:/data", "-u", "5").ok().stdout == ""
    else:
        path = box.data / "rootless/volumes/owned/_data"
        refused(
            run,
            125,
            f"error while mounting volume '{path}': failed to mount local volume: mount tmpfs:{path}, "
            "data: uid=5,gid=6: invalid argument",
        )


def test_mounted_read_only_it_shows_what_another_writes(box):
    create(box, "mem").ok()
    start(box, "writer", "-v", "mem:/data")
    start(box, "reader", "-v", "mem:/data:ro")
    inside(box, "writer", "echo new > /data/f")
    failed = box("exec", "reader", "sh", "-c", "cat /data/f; touch /data/g")
    assert (failed.status, failed.stdout) == (1, "new\n")
    assert "Read-only file system" in failed.stderr
    create(box, "fixed", "ro").ok()
    assert "Read-only file system" in sh(box, "touch /data/g", "-v", "fixed:/data").stderr


def test_options_of_mount_create_one(box):
    words = "type=volume,src=made,dst=/data,volume-opt=type=tmpfs,volume-opt=device=tmpfs"
    script = "grep -o 'tmpfs /data tmpfs' /proc/mounts; df -k /data | tail -n 1 | awk '{print $2}'"
    run = sh(box, script, "--mount", f'{words},"volume-opt=o=size=2m,mode=755"')
    assert run.ok().stdout == "tmpfs /data tmpfs\n2048\n"
    shown = box("volume", "inspect", "-f", "{{json .Options}}", "made").ok().stdout
    assert shown == '{"device":"tmpfs","o":"size=2m,mode=755","type":"tmpfs"}\n'


def test_killed_keeper_is_replaced_and_containers_go_on_sharing(box):
    create(box, "mem").ok()
    start(box, "one", "-v", "mem:/data")
    inside(box, "one", "echo kept > /data/f")
    (keeper,) = volume_servers(box)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: [pid for pid in volume_servers(box) if pid != keeper])
    start(box, "two", "-v", "mem:/data")
    assert inside(box, "two", "cat /data/f; echo more >> /data/f") == "kept\n"
    assert inside(box, "one", "cat /data/f") == "kept\nmore\n"


def test_cp_and_export_see_the_files_of_a_running_container(box, tmp_path):
    create(box, "mem").ok()
    start(box, "one", "-v", "mem:/data")
    inside(box, "one", "echo in memory > /data/f")
    box("cp", "one:/data/f", tmp_path / "f").ok()
    assert (tmp_path / "f").read_text() == "in memory\n"
    box("volume", "export", "-o", tmp_path / "mem.tar", "mem").ok()
    box("stop", "-t", "0", "one").ok()
    box("start", "one").ok()
    box("volume", "import", "mem", tmp_path / "mem.tar").ok()
    assert inside(box, "one", "cat /data/f") == "in memory\n"
    box("stop", "-t", "0", "one").ok()
    box("cp", "one:/data/.", tmp_path / "empty").ok()
    assert os.listdir(tmp_path / "empty") == []


@pytest.mark.parametrize("options", ["size=x", "nosuch=1"])
def test_option_that_the_kernel_refuses_fails_the_start(box, options):
    create(box, "bad", options).ok()
    path = box.data / "rootless/volumes/bad/_data"
    refused(
        sh(box, "true", "-v", "bad:/data"),
        125,
        f"error while mounting volume '{path}': failed to mount local volume: mount tmpfs:{path}, "
        f"data: {options}: invalid argument",
    )
    assert box("ps", "-aq").ok().stdout == ""
    assert volume_servers(box) == []


def test_prune_keeps_volumes_with_options_and_rm_removes_them(box, tmp_path):
    create(box, "mem").ok()
    bind = ("-o", "type=none", "-o", "o=bind,ro", "-o", f"device={tmp_path}")
    box("volume", "create", *bind, "here").ok()
    box("volume", "create", "plain").ok()
    pruned = box("volume", "prune", "-a", "-f").ok().stdout
    assert "plain" in pruned
    assert box("volume", "ls", "-q").ok().stdout.split() == ["here", "mem"]
    assert "Read-only file system" in sh(box, "touch /data/g", "-v", "here:/data").stderr
    start(box, "one", "-v", "mem:/data")
    assert "volume is in use" in box("volume", "rm", "mem").stderr
    box("rm", "-f", "one").ok()
    assert box("volume", "rm", "mem", "here").ok().stdout == "mem\nhere\n"


@pytest.mark.parametrize("kind", ["nfs", "ext4", "overlay"])
def test_file_systems_that_a_user_cannot_mount_are_refused(box, kind):
    words = ("-o", f"type={kind}", "-o", "device=x", "-o", "o=addr=127.0.0.1")
    refused(
        box("volume", "create", *words, "far"),
        1,
        f"create far: an ordinary user cannot mount {kind} for every container",
    )
    assert box("volume", "ls", "-q").ok().stdout == ""
