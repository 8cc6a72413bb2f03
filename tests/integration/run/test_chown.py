"""chown(2) in containers of an account with a single id: the union keeps the owner."""

import os
import signal
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.recorders import monitor_of, run_while_recorders_are_killed, scripts_in_c1
from tests.support.rootless import Rootless
from tests.support.waiting import settled, wait_until

pytestmark = pytest.mark.needs("userns", "nosub", "fuse")

TREE = Path(__file__).parents[3]


def owners_in(rootless: Rootless, name: str, below: str) -> dict[str, tuple[int, int]]:
    """Owner and group of what a container has below a directory, by the path from there."""
    archive = rootless.data / "exported.tar"
    rootless("export", "-o", archive, name, timeout=300).ok()
    with tarfile.open(archive) as tar:
        return {
            member.name.removeprefix(below): (member.uid, member.gid)
            for member in tar
            if member.name.startswith(below)
        }


@pytest.fixture
def run(rootless: Rootless, busybox_image: Path):
    return scripts_in_c1(rootless, busybox_image)


def test_owners_are_in_what_is_exported(rootless, run):
    run(
        "mkdir -p /w/d; cd /w; touch a b d/e; ln -s none s; ln -s a to-a;"
        "chown 5:6 a; chown 7 b; chgrp 8 b; chown -h 9:10 s; chown -R 11:12 d; chown 13 to-a"
    )
    assert owners_in(rootless, "c1", "w/") == {
        "a": (13, 0),  # busybox takes the other id from stat(2)
        "b": (0, 8),
        "s": (9, 10),
        "to-a": (0, 0),
        "d": (11, 12),
        "d/e": (11, 12),
    }


def test_image_of_the_container_has_them_and_so_has_the_next_container(rootless, run):
    run("touch /a; chown 5:6 /a /bin/busybox")
    rootless("commit", "c1", "of-c1").ok()
    rootless("rm", "c1").ok()
    rootless("run", "--name", "c1", "of-c1", "sh", "-c", "touch /b; chmod 600 /a; mv /a /a2").ok()
    found = owners_in(rootless, "c1", "")
    assert (found["a2"], found["b"], found["bin/busybox"]) == ((5, 6), (0, 0), (5, 6))


def test_stat_shows_the_one_id(run):
    assert run("touch /a; chown 5:6 /a; stat -c %u:%g /a; echo more >/a; cat /a") == "0:0\nmore\n"


def test_set_id_bits_go_with_the_change_of_owner(rootless, run):
    script = "touch /a; chmod 6755 /a; stat -c %a /a; chown 5 /a; stat -c %a /a; chmod 4755 /a"
    assert run(f"{script}; stat -c %a /a").split() == ["6755", "755", "4755"]
    assert owners_in(rootless, "c1", "a")[""] == (5, 0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("chown 1 /none", "No such file or directory"),
        ("chown 1 /bin/busybox/x", "Not a directory"),
        ("ln -s l /l; chown 1 /l", "Too many levels|Symbolic link loop"),
    ],
)
def test_error_is_that_of_the_kernel(run, command, message):
    text = run(command, status=1)
    assert any(each in text for each in message.split("|")), text


def test_read_only_root_refuses(run):
    assert "Read-only file system" in run("chown 1 /bin/busybox", "--read-only", status=1)


def test_files_of_other_file_systems_seem_to_be_changed(run):
    script = "touch /dev/shm/f; chown 5:6 /dev/shm/f /proc/self/fd/1 /dev/stdout /proc/thread-self"
    assert run(f"{script}; stat -c %u /dev/shm/f") == "0\n"


def test_process_without_the_capability_may_not(run):
    script = "touch /a; chown 0:0 /a && echo same; chown 5 /a"
    text = run(script, "--cap-drop", "CHOWN", status=1)
    assert text.startswith("same\n")
    assert "Operation not permitted" in text


def test_path_is_resolved_from_the_root_and_the_directory_of_the_caller(rootless, run):
    run(
        "mkdir -p /j/bin /j/w; cp /bin/busybox /j/bin/; ln -s /../../up /j/link; touch /j/up /up /j/w/f;"
        "cd /j/w; chroot /j /bin/busybox chown 5:6 /link; chown 7:8 ../../j/../../j/w/f"
    )
    found = owners_in(rootless, "c1", "")
    assert (found["j/up"], found["up"], found["j/w/f"]) == ((5, 6), (0, 0), (7, 8))


@pytest.mark.parametrize(
    ("mode", "status", "owner"),
    [("pretend", 0, (0, 0)), ("refuse", 1, (0, 0)), ("record", 0, (5, 6))],
)
def test_mode_is_chosen_by_the_option(rootless, run, mode, status, owner):
    text = run("touch /a; chown 5:6 /a", f"--chown={mode}", status=status)
    assert ("Invalid argument" in text) == (mode == "refuse")
    assert owners_in(rootless, "c1", "a")[""] == owner


@pytest.mark.parametrize(
    "options",
    [
        ("--privileged",),
        ("--security-opt", "seccomp=unconfined"),
        ("--security-opt", "no-new-privileges"),
        ("--init",),
        ("--pid", "host"),
    ],
)
def test_owners_are_recorded_however_the_container_is_confined(rootless, run, options):
    run("touch /a; chown 5:6 /a", *options)
    assert owners_in(rootless, "c1", "a")[""] == (5, 6)


def test_user_that_is_not_root_may_not(rootless, run):
    script = "touch /tmp/a; chown 33:33 /tmp/a && stat -c %u /tmp/a; chown 5 /tmp/a"
    text = run(script, "--userns", "keep-id:uid=33,gid=33", status=1)
    assert text.startswith("33\n")
    assert "Operation not permitted" in text
    assert owners_in(rootless, "c1", "tmp/a")[""] == (33, 33)


def test_storage_driver_overlay_cannot_record(rootless, busybox_image):
    rootless("import", busybox_image, "bb").ok()
    driver = ("--storage-driver", "overlay")
    done = rootless("run", "--rm", *driver, "bb", "sh", "-c", "touch /a; chown 5 /a").ok()
    assert done.stderr == ""
    done = rootless("run", "--rm", *driver, "--chown=record", "bb", "true")
    assert done.status == 125
    assert "the storage driver overlay cannot record owners" in done.stderr


def test_process_of_exec_records_too_and_may_be_told_otherwise(rootless, busybox_image):
    rootless("import", busybox_image, "bb").ok()
    rootless("run", "-d", "--name", "c1", "bb", "sleep", "1000").ok()
    for _ in range(3):
        rootless("exec", "c1", "sh", "-c", "touch /a /b; chown 5:6 /a").ok()
    rootless("exec", "--chown=pretend", "c1", "chown", "5:6", "/b").ok()
    rootless("exec", "-d", "c1", "sh", "-c", "touch /d; chown 7:8 /d; touch /done").ok()
    wait_until(lambda: rootless("exec", "c1", "test", "-e", "/done").status == 0)
    found = owners_in(rootless, "c1", "")
    assert (found["a"], found["b"], found["d"]) == ((5, 6), (0, 0), (7, 8))


def test_owners_are_recorded_after_a_restart(rootless, run):
    run("echo x >>/count; touch /a$(wc -l </count); chown 5:6 /a*", "--init")
    rootless("start", "-a", "c1").ok()
    found = owners_in(rootless, "c1", "a")
    assert (found["1"], found["2"]) == ((5, 6), (5, 6))


def test_build_records_owners_in_the_layer_of_a_step(rootless, busybox_image, tmp_path):
    rootless("import", busybox_image, "bb").ok()
    (tmp_path / "Dockerfile").write_text("FROM bb\nRUN touch /a /b && chown 5:6 /a\n")
    rootless("build", "-t", "built", tmp_path).ok()
    rootless("create", "--name", "c1", "built", "true").ok()
    found = owners_in(rootless, "c1", "")
    assert (found["a"], found["b"]) == ((5, 6), (0, 0))
    rootless("build", "--chown=pretend", "-t", "built", tmp_path).ok()
    rootless("create", "--name", "c2", "built", "true").ok()
    assert owners_in(rootless, "c2", "a")[""] == (0, 0)


def test_engine_in_a_container_pretends_and_tells_it(rootless):
    """Only one filter of a chain has a listener (init_listener, kernel/seccomp.c)."""

    def inside(*arguments: str) -> Result:
        program = (sys.executable, "-m", "rootless", "--root", "/tmp/inner", *arguments)
        options = ("--rm", "--privileged", "--tmpfs", "/tmp", "-w", TREE, "--rootfs", "/")
        return rootless("run", *options, *program, timeout=120)

    shown = inside("info", "--format", "{{.Chown}}").ok().stdout
    assert shown == "pretend (seccomp listener: device or resource busy)\n"
    run = ("run", "--rm", "--network", "host", "--rootfs", "/")
    script = "touch /tmp/f && chown 5:6 /tmp/f && echo changed"
    assert inside(*run, "sh", "-c", script).ok().stdout == "changed\n"
    refused = inside(*run, "--chown=record", "true")
    assert refused.status == 125
    assert "cannot get a seccomp listener" in refused.stderr
    assert "--chown=pretend" in refused.stderr


def test_container_is_paused_while_it_changes_owners(rootless, busybox_image):
    rootless("import", busybox_image, "bb").ok()
    script = "touch /a; i=0; while :; do i=$((i+1)); chown $i:5 /a || touch /failed; echo $i; done"
    rootless("run", "-d", "--name", "c1", "bb", "sh", "-c", script).ok()

    def count() -> int:
        return int((rootless("logs", "-n", "1", "c1").stdout.split() or ["0"])[-1])

    for _ in range(5):
        before = count()
        wait_until(lambda seen=before: count() > seen)
        rootless("pause", "c1").ok()
        settled(count, 0.3)  # what was written before is logged a moment later
        rootless("unpause", "c1").ok()
    rootless("stop", "-t", "0", "c1").ok()
    found = owners_in(rootless, "c1", "")
    assert "failed" not in found
    assert found["a"][0] > 4


def test_recorder_that_is_killed_is_replaced(rootless, busybox_image):
    rootless("import", busybox_image, "bb").ok()
    run_while_recorders_are_killed(rootless, "bb", "touch /w/$i; chown $i:$i /w/$i")
    found = owners_in(rootless, "c1", "w/")
    assert {name: owner for name, owner in found.items() if name.isdecimal()} == {
        str(number): (number, number) for number in range(100)
    }


def test_volume_keeps_the_owner_of_files_and_directories(rootless, run):
    run("mkdir /v/d; touch /v/d/f; chown -R 5:6 /v/d", "-v", "vol:/v")
    volume = Path(rootless("volume", "inspect", "-f", "{{.Mountpoint}}", "vol").ok().stdout.strip())
    for path, mode in (("d", b"0755"), ("d/f", b"0644")):
        assert os.getxattr(volume / path, "user.containers.override_stat") == b"5:6:" + mode


def test_info_tells_the_default(rootless):
    assert rootless("info", "--format", "{{.Chown}}").ok().stdout == "record\n"
    shown = rootless("--storage-driver", "overlay", "info", "--format", "{{.Chown}}").ok().stdout
    assert shown == "pretend (the storage driver is overlay)\n"


def test_exec_goes_on_without_a_monitor_that_answers(rootless, busybox_image):
    rootless("import", busybox_image, "bb").ok()
    rootless("run", "-d", "--name", "c1", "bb", "sleep", "1000").ok()
    first = int(rootless("inspect", "-f", "{{.State.Pid}}", "c1").ok().stdout)
    os.kill(monitor_of(first), signal.SIGSTOP)
    done = rootless("exec", "c1", "echo", "x", timeout=120).ok()
    assert (done.stdout, "the monitor of the container does not answer" in done.stderr) == (
        "x\n",
        True,
    )
