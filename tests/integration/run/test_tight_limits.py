"""Accounts and machines with little: few descriptors, processes and memory, no runtime directory, a /tmp that is small or
mounted noexec, no HOME. A container runs, or one line says what to change.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.command import Result
from tests.support.faulty import faulty_disk

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

MANY_DIRECTORIES = """
i=0
while [ $i -lt 300 ]; do mkdir -p /x$i/e && echo $i > /x$i/e/f || exit 1; i=$((i+1)); done
cat /x*/e/f | wc -l; find /x* -type d | wc -l; rm -r /x*
"""
ALONE = """
for file in /etc/subuid /etc/subgid; do [ ! -e "$file" ] || mount --bind /dev/null "$file"; done
"""


@pytest.fixture
def box(rootless, busybox_image, tmp_path, monkeypatch):
    """Its store is not below /tmp, on which the tests mount something else."""
    monkeypatch.setenv("ROOTLESS_ROOT", str(tmp_path / "store"))
    rootless("import", busybox_image, "box").ok()
    return rootless


@pytest.fixture
def under(box):
    """Run the command line after the commands of `script`, in a user and a mount namespace of its own."""

    def call(script: str, *arguments: str, unset: tuple[str, ...] = (), **variables: str) -> Result:
        env = {name: value for name, value in box.env.items() if name not in unset} | variables
        done = subprocess.run(
            [
                *(
                    "unshare",
                    "--user",
                    "--map-current-user",
                    "--mount",
                    "--keep-caps",
                    "bash",
                    "-ec",
                ),
                *(f'{ALONE}{script}\nexec "$@"', "bash"),
                *(sys.executable, "-m", "rootless", *arguments),
            ],
            env=env,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


RUN = ("run", "--rm", "box", "echo", "ran")


@pytest.mark.parametrize("limit", [64, 256])
def test_few_descriptors_are_enough_for_many_directories_and_files(under, limit):
    done = under(f"ulimit -n {limit}", "run", "--rm", "box", "sh", "-c", MANY_DIRECTORIES)
    assert done.ok().stdout == "300\n600\n"


def test_few_processes_are_enough(under):
    assert under("ulimit -u 64", *RUN).ok().stdout == "ran\n"
    under("ulimit -u 64", "doctor").ok()


def test_too_few_processes_are_an_error_of_one_line(under):
    for limit in (1, 2):
        failed = under(f"ulimit -u {limit}", *RUN)
        assert failed.status == 125
        lines = failed.stderr.splitlines()
        assert len(lines) <= 2, failed.stderr
        assert "resource temporarily unavailable" in lines[0].lower(), failed.stderr
        assert "ulimit -u" in lines[-1]
    assert under("ulimit -u 2", "doctor").status == 1


def test_too_few_processes_for_a_thread_are_an_error_of_one_line(under, busybox_image):
    failed = under("ulimit -u 1", "import", str(busybox_image), "other")
    assert failed.status == 1
    assert failed.stderr.splitlines() == [
        "rootless: resource temporarily unavailable",
        "hint: the account has as many processes as it may have: end some, or raise ulimit -u",
    ]
    assert under("", "import", str(busybox_image), "other").status == 0


@pytest.mark.parametrize("kilobytes", [500_000, 60_000])
def test_little_address_space_is_enough(under, kilobytes):
    assert under(f"ulimit -v {kilobytes}", *RUN).ok().stdout == "ran\n"


def test_umask_of_the_caller_does_not_reach_the_image(under):
    script = "touch /new; stat -c '%a %n' /new /bin /tmp 2>&1"
    done = under("umask 077", "run", "--rm", "box", "sh", "-c", script)
    assert done.ok().stdout.startswith("644 /new\n755 /bin\n")


@pytest.mark.parametrize(
    "options",
    ["noexec,size=64k", "noexec,size=16k", "size=16k,nr_inodes=20", "nosuid,nodev,noexec"],
)
def test_tmp_may_be_small_or_noexec(under, options):
    mount = f"mount -t tmpfs -o {options} none /tmp"
    assert under(mount, *RUN, unset=("XDG_RUNTIME_DIR",)).ok().stdout == "ran\n"
    under(mount, "doctor", unset=("XDG_RUNTIME_DIR",)).ok()


def test_full_tmp_is_an_error_of_one_line(under):
    fill = "mount -t tmpfs -o nr_inodes=1 none /tmp"
    failed = under(fill, *RUN, unset=("XDG_RUNTIME_DIR",))
    assert failed.status == 125
    error, hint = failed.stderr.splitlines()
    assert "no space left on device" in error
    assert hint == "hint: set ROOTLESS_RUNROOT to a directory that you can write to"
    told = under(fill, "doctor", unset=("XDG_RUNTIME_DIR",))
    assert told.status == 1
    assert "MISSING   runtime directory: /tmp/rootless-" in told.stdout


def test_no_home_is_needed(under, tmp_path):
    store = ("--root", str(tmp_path / "store"))
    unset = ("HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "ROOTLESS_ROOT")
    done = under("", *store, "run", "--rm", "--rootfs", "/", "echo", "ran", unset=unset)
    assert done.ok().stdout == "ran\n"


def test_read_only_home_is_an_error_of_one_line(under, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    mount = f"mount --bind {home} {home}; mount -o remount,bind,ro {home}"
    failed = under(mount, *RUN, unset=("XDG_DATA_HOME", "ROOTLESS_ROOT"), HOME=str(home))
    assert failed.status == 125
    error, hint = failed.stderr.splitlines()
    assert error == (
        f"rootless: the directory {home}/.local/share/rootless cannot be made: {home}/.local: read-only file system"
    )
    assert hint == "hint: set ROOTLESS_ROOT to a directory that you can write to"
    told = under(mount, "doctor", unset=("XDG_DATA_HOME", "ROOTLESS_ROOT"), HOME=str(home))
    assert told.status == 1
    assert "MISSING   store: " in told.stdout
    store = ("--root", str(tmp_path / "store"))
    done = under(mount, *store, "run", "--rm", "--rootfs", "/", "echo", "ran", HOME=str(home))
    assert done.ok().stdout == "ran\n"


def test_without_a_runtime_directory_tmp_is_used(under):
    done = under("mount -t tmpfs none /tmp", *RUN, unset=("XDG_RUNTIME_DIR",))
    assert done.ok().stdout == "ran\n"
    told = under("", "doctor", unset=("XDG_RUNTIME_DIR",)).ok()
    assert f"XDG_RUNTIME_DIR is not set; /tmp/rootless-{os.getuid()} is used" in told.stdout


@pytest.mark.needs("fusermount")
class TestFullQuota:
    """A quota is found full at a write, while the file system has room (EDQUOT)."""

    def test_command_gets_the_error_and_the_container_ends_with_its_status(
        self, rootless, busybox_image, tmp_path
    ):
        with faulty_disk(tmp_path) as disk:
            on_disk = ("--root", disk.path / "store")
            rootless(*on_disk, "import", busybox_image, "box").ok()
            script = "echo ready; read line; dd if=/dev/zero of=/big bs=64k count=1; exit 7"
            run = rootless.popen(*on_disk, "run", "-i", "--name", "c1", "box", "sh", "-c", script)
            assert run.stdout.readline() == b"ready\n"
            disk.fails(grow="EDQUOT")
            run.stdin.write(b"go\n")
            run.stdin.flush()
            err = run.communicate(timeout=120)[1]
            assert run.returncode == 7, err
            # The kernel writes its cache back when the file is closed, and then knows no other error.
            assert b"No space left on device" in err
            shown = rootless(*on_disk, "ps", "-a", "--format", "{{.Names}}").ok().stdout
            assert shown == "c1\n"
            rootless(*on_disk, "rm", "c1").ok()

    def test_what_needs_room_is_an_error_of_one_line(self, rootless, busybox_image, tmp_path):
        with faulty_disk(tmp_path) as disk:
            on_disk = ("--root", disk.path / "store")
            rootless(*on_disk, "import", busybox_image, "box").ok()
            disk.fails(grow="EDQUOT")
            for command in (("run", "--rm", "box", "true"), ("import", busybox_image, "other")):
                failed = rootless(*on_disk, *command)
                assert failed.status == (125 if command[0] == "run" else 1)
                lines = failed.stderr.splitlines()
                assert len([each for each in lines if not each.startswith("hint: ")]) == 1, lines
                assert "disk quota exceeded" in lines[0].lower(), lines
            told = rootless(*on_disk, "doctor")
            assert told.status == 1
            assert "cannot be written: Disk quota exceeded" in told.stdout
            for command in (("ps", "-a"), ("images",), ("info",)):
                rootless(*on_disk, *command).ok()


def test_doctor_tries_the_place_of_writable_layers(box, tmp_path, monkeypatch):
    monkeypatch.setenv("ROOTLESS_UPPERS", f"{tmp_path}/scratch")
    assert f"ok        writable layers: {tmp_path}/scratch/rootless-" in box("doctor").ok().stdout
    monkeypatch.setenv("ROOTLESS_UPPERS", "$NOT_SET/scratch")
    told = box("doctor")
    assert told.status == 1
    assert (
        "MISSING   writable layers: writable layers cannot be kept in $NOT_SET/scratch"
        in told.stdout
    )
