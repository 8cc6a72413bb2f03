"""mknod(2) of devices in containers of an account with a single id: the union keeps the device."""

import io
import os
import random
import re
import signal
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.support.recorders import (
    ProgramsInC1,
    recorders_of,
    run_while_recorders_are_killed,
    scripts_in_c1,
)
from tests.support.rootless import Rootless
from tests.support.waiting import let_pass, wait_until

pytestmark = pytest.mark.needs("userns", "nosub", "fuse")

CHARACTER, BLOCK = tarfile.CHRTYPE, tarfile.BLKTYPE


def devices_in(tar: tarfile.TarFile) -> dict[str, tuple[bytes, int, int, int]]:
    """Type, numbers and permissions of each device in an archive, by name."""
    return {
        member.name: (member.type, member.devmajor, member.devminor, member.mode)
        for member in tar
        if member.ischr() or member.isblk()
    }


def exported(rootless: Rootless, name: str) -> dict[str, tuple[bytes, int, int, int]]:
    path = rootless.data / "exported.tar"
    rootless("export", "-o", path, name).ok()
    with tarfile.open(path) as tar:
        return devices_in(tar)


@pytest.fixture
def run(rootless: Rootless, busybox_image: Path):
    return scripts_in_c1(rootless, busybox_image)


@pytest.fixture
def box(rootless: Rootless) -> ProgramsInC1:
    return ProgramsInC1(rootless)


def test_device_is_shown_and_cannot_be_opened(run):
    shown = run(
        "ls /n; mknod /n c 1 3; mknod -m 640 /b b 259 65537; stat -c '%F %t %T %a %u' /n /b; cat /n"
        " || echo refused"
    )
    assert "character special file 1 3 644 0\nblock special file 103 10001 640 0\n" in shown
    assert "Permission denied" in shown
    assert "refused\n" in shown


def test_device_is_in_what_is_exported_committed_and_run_again(rootless, run):
    run(
        "mknod /n c 1 3; chown 5:6 /n; mknod /d b 8 1; mv /d /e; ln /e /f; mknod /gone c 1 1; rm /gone"
    )
    found = exported(rootless, "c1")
    assert found == {"n": (CHARACTER, 1, 3, 0o644), "e": (BLOCK, 8, 1, 0o644)}
    assert "A /n" in rootless("diff", "c1").ok().stdout.splitlines()
    rootless("commit", "c1", "of-c1").ok()
    rootless("rm", "c1").ok()
    shown = rootless("run", "--name", "c1", "of-c1", "stat", "-c", "%F %t %T %h", "/n", "/f").ok()
    assert shown.stdout == "character special file 1 3 1\nblock special file 8 1 2\n"
    assert exported(rootless, "c1") == found


def test_character_device_zero_is_a_device_and_no_whiteout(rootless, run):
    shown = run(
        "mv /bin/ls /bin/l; mknod /bin/ls c 0 0; mknod /z c 0 0; stat -c '%F %t' /bin/ls /z"
    )
    assert shown == "character special file 0\n" * 2
    found = exported(rootless, "c1")
    assert found == dict.fromkeys(("bin/ls", "z"), (CHARACTER, 0, 0, 0o644))
    rootless("commit", "c1", "of-c1").ok()
    shown = rootless("run", "--rm", "of-c1", "stat", "-c", "%F", "/bin/ls").ok().stdout
    assert shown == "character special file\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("mknod /bin/busybox c 1 3", "File exists"),
        ("ln -s none /l; mknod /l c 1 3", "File exists"),
        ("mknod /none/n c 1 3", "No such file or directory"),
        ("mknod /n/ b 1 3", "No such file or directory"),
        ("mknod /bin/ b 1 3", "File exists"),
        ("mknod /.. b 1 3", "File exists"),
        ("mknod / b 1 3", "File exists"),
        ("mknod /bin/busybox/n b 1 3", "Not a directory"),
        ("mknod /.wh.n c 1 3", "Invalid argument"),
        ("mknod /$(seq -s x 300) c 1 3", "(File n|N)ame too long"),
    ],
)
def test_error_is_that_of_the_kernel(rootless, run, command, message):
    assert re.search(message, run(command, status=1))
    assert exported(rootless, "c1") == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--read-only",), "Read-only file system"),
        (("--cap-drop", "MKNOD"), "Operation not permitted"),
        (("--userns", "keep-id"), "Operation not permitted"),
    ],
)
def test_caller_that_may_not_is_refused(rootless, run, options, message):
    assert message in run("mknod /n c 1 3", *options, status=1)
    assert exported(rootless, "c1") == {}


def test_directory_that_the_caller_may_not_write_is_refused(rootless, run):
    dropped = ("--cap-drop", "DAC_OVERRIDE")
    script = "mkdir -m 555 /d; mkdir -m 600 /e; mknod /d/n c 1 3; mknod /e/n c 1 3"
    assert run(script, *dropped, status=1).count("Permission denied") == 2
    assert exported(rootless, "c1") == {}


@pytest.mark.parametrize(
    ("mode", "status", "expected"),
    [("record", 0, {"n": (CHARACTER, 1, 3, 0o644)}), ("pretend", 0, {}), ("refuse", 1, {})],
)
def test_mode_is_chosen_by_the_option(rootless, run, mode, status, expected):
    text = run("mknod /n c 1 3", f"--chown={mode}", status=status)
    assert ("Operation not permitted" in text) == (mode == "refuse")
    assert exported(rootless, "c1") == expected


def test_device_gets_umask_and_the_group_of_a_setgid_directory(rootless, run):
    run(
        "umask 077; mknod /n c 1 3; umask 027; mkdir /d; chgrp 7 /d; chmod 2755 /d; mknod /d/n c 1 3;"
        "cd /d; mknod ./relative b 1 3; chroot /d/.. mknod /d/in c 1 5"
    )
    found = exported(rootless, "c1")
    assert found == {
        "n": (CHARACTER, 1, 3, 0o600),
        "d/n": (CHARACTER, 1, 3, 0o640),
        "d/relative": (BLOCK, 1, 3, 0o640),
        "d/in": (CHARACTER, 1, 5, 0o640),
    }
    with tarfile.open(rootless.data / "exported.tar") as tar:
        assert tar.getmember("d/n").gid == 7


def test_tar_archive_with_devices_is_unpacked(rootless, run, tmp_path):
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        for name, kind in (
            ("dev/null", CHARACTER),
            ("dev/sda", BLOCK),
            ("dev/fifo", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.devmajor, member.devminor, member.mode = kind, 8, 3, 0o660
            member.uid, member.gid, member.mtime = 5, 6, 1000
            tar.addfile(member)
    unpack = "mkdir /w; tar -C /w -xpf /in/layer.tar && tar -C /w -xpf /in/layer.tar"
    run(f"{unpack} && stat -c '%F %Y' /w/dev/*", "-v", f"{tmp_path}:/in:ro")
    assert exported(rootless, "c1") == {
        "w/dev/null": (CHARACTER, 8, 3, 0o660),
        "w/dev/sda": (BLOCK, 8, 3, 0o660),
    }
    with tarfile.open(rootless.data / "exported.tar") as exported_tar:
        member = exported_tar.getmember("w/dev/sda")
        assert (member.uid, member.gid, member.mtime) == (5, 6, 1000)


def test_tmpfs_has_a_node_in_its_place_that_cannot_be_opened(run):
    shown = run(
        "cd /dev; umask 027; mknod t- c 1 9 && chown 5:6 t- && chmod 640 t- && mv t- t && mknod -m 666 u b 7 1;"
        "stat -c '%n %F %a' t u; head -c 1 t; rm t u; mknod null c 1 3"
        " || echo there",
    )
    assert "t socket 640\nu socket 666\n" in shown
    assert "No such device or address" in shown
    assert "there\n" in shown


def test_directory_of_the_host_has_no_device(run, tmp_path):
    assert run("mknod /host/n c 1 3; ls /host", "-v", f"{tmp_path}:/host") == ""
    assert list(tmp_path.iterdir()) == []
    assert os.listxattr(tmp_path) == []


def test_tmpfs_of_the_host_has_nothing_in_its_place(run):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        assert run("mknod /host/n c 1 3; ls /host", "-v", f"{directory}:/host") == ""
        assert os.listdir(directory) == []


def test_volume_keeps_a_device(rootless, run):
    shown = run("mknod /v/n c 1 3; stat -c '%F %t %T' /v/n", "-v", "vol:/v")
    assert shown == "character special file 1 3\n"
    path = rootless.data / "volume.tar"
    rootless("volume", "export", "-o", path, "vol").ok()
    with tarfile.open(path) as tar:
        assert devices_in(tar) == {"n": (CHARACTER, 1, 3, 0o644)}


def test_build_step_makes_a_device(rootless, busybox_image, tmp_path):
    rootless("import", busybox_image, "bb").ok()
    (tmp_path / "Dockerfile").write_text(
        "FROM bb\nRUN mknod /n c 1 3\nRUN test -c /n && mv /n /m\n"
    )
    rootless("build", "-t", "built", tmp_path).ok()
    rootless("create", "--name", "c1", "built", "true").ok()
    assert exported(rootless, "c1") == {"m": (CHARACTER, 1, 3, 0o644)}


@pytest.mark.parametrize("is_running", [False, True])
def test_archive_with_devices_is_copied_in_and_out(rootless, busybox_image, is_running):
    rootless("import", busybox_image, "bb").ok()
    start = ("run", "-d") if is_running else ("create",)
    rootless(*start, "--name", "c1", "bb", "sleep", "1000").ok()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, kind in (("c", CHARACTER), ("b", BLOCK), ("f", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.devmajor, member.devminor = kind, 4, 5
            member.mode, member.uid, member.gid = 0o620, 7, 8
            tar.addfile(member)
    for _ in range(2):  # into nothing, and over what is there
        rootless("cp", "-", "c1:/tmp", stdin=archive.getvalue()).ok()
    out = rootless.popen("cp", "c1:/tmp", "-").communicate(timeout=120)[0]
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        found = devices_in(tar)
        owners = {member.name: (member.uid, member.gid) for member in tar if member.name != "tmp"}
    assert found == {"tmp/c": (CHARACTER, 4, 5, 0o620), "tmp/b": (BLOCK, 4, 5, 0o620)}
    assert owners == dict.fromkeys(("tmp/c", "tmp/b", "tmp/f"), (7, 8))


def test_threads_that_make_the_same_device(rootless, box):
    shown = box.run("""
made = []
def work(n):
    for i in range(20):
        try:
            os.mknod(f"{i}", stat.S_IFBLK | 0o600, os.makedev(n, i))
            made.append((n, i))
        except FileExistsError:
            pass
threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 17)]
for t in threads: t.start()
for t in threads: t.join()
assert sorted(i for _, i in made) == list(range(20))
assert all(os.stat(f"{i}").st_rdev == os.makedev(n, i) for n, i in made)
print(sorted(os.listdir("."), key=int) == [str(i) for i in range(20)])
""")
    assert shown == "True\n"


def test_recorder_that_is_killed_makes_each_device_once(rootless, busybox_image):
    rootless("import", busybox_image, "bb").ok()
    run_while_recorders_are_killed(rootless, "bb", "mknod /w/$i b 8 $i")
    expected = {f"w/{number}": (BLOCK, 8, number, 0o644) for number in range(100)}
    assert exported(rootless, "c1") == expected


def test_recorder_that_is_killed_makes_each_node_on_a_tmpfs_once(rootless, busybox_image):
    """Where the name was taken before, the next recorder says so."""
    rootless("import", busybox_image, "bb").ok()
    node = "mknod /dev/n b 8 1"
    script = f"while {node} && ! {node} 2>/dev/null && rm /dev/n; do :; done"
    rootless("run", "-d", "--name", "c1", "bb", "sh", "-c", script).ok()
    first = int(rootless("inspect", "-f", "{{.State.Pid}}", "c1").ok().stdout)
    chosen = random.Random(1840)
    killed = 0

    def kill_recorder() -> bool:
        nonlocal killed
        for recorder in recorders_of(first):
            let_pass(chosen.random() * 0.03)
            try:
                os.kill(recorder, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass  # the monitor has just collected it
        return killed > 300

    wait_until(kill_recorder)
    running = rootless("inspect", "-f", "{{.State.Running}}", "c1").ok().stdout
    assert running == "true\n", rootless("logs", "c1")
