"""rootless-unionfs as a program: it mounts, answers, unmounts, and says why not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "unionfs"]


@pytest.fixture
def place(tmp_path):
    for name in ("lower", "upper", "work", "mnt"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("below")
    return tmp_path


def run(*command, cwd=None, check=True):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environment, check=check, capture_output=True, text=True, timeout=120
    )


def options(place):
    return f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"


@pytest.mark.needs("fuse", "fusermount")
@pytest.mark.parametrize("session", ["device", "pyfuse3"])
def test_plain_user_mounts_on_the_host_and_the_mount_answers(place, session):
    mountpoint = place / "mnt"
    done = run(*PROGRAM, "-o", options(place), f"--session={session}", str(mountpoint))
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert (mountpoint / "file").read_text() == "below"
        assert f"{mountpoint} " in Path("/proc/self/mountinfo").read_text()
        (mountpoint / "new").write_text("above")
    finally:
        run("fusermount3", "-u", str(mountpoint))
    assert (place / "upper" / "new").read_text() == "above"


@pytest.mark.needs("fuse", "fusermount")
def test_terminated_server_unmounts_and_loses_no_write(place):
    mountpoint = place / "mnt"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        [*PROGRAM, "-f", "-o", options(place), str(mountpoint)], env=environment
    )
    while not os.path.ismount(mountpoint):
        assert server.poll() is None
    with (mountpoint / "held").open("w") as file:
        file.write("before")
        file.flush()
        server.send_signal(signal.SIGTERM)
        while os.path.ismount(mountpoint):
            assert server.poll() is None
        file.write(" and after")
    assert server.wait(120) == 0
    assert (place / "upper" / "held").read_text() == "before and after"


@pytest.mark.needs("userns", "fuse")
def test_root_of_a_namespace_mounts_for_everybody_in_it(place):
    script = (
        f"{' '.join(PROGRAM)} -o {options(place)} mnt && grep {place}/mnt /proc/self/mountinfo"
        " && cat mnt/file && umount mnt"
    )
    done = run("unshare", "-Urm", "sh", "-c", script, cwd=place)
    assert "fuse.rootless-unionfs" in done.stdout
    assert "default_permissions,allow_other" in done.stdout
    assert done.stdout.endswith("below")


@pytest.mark.needs("fuse", "fusermount")
def test_mount_without_an_upper_is_read_only(place):
    mountpoint = place / "mnt"
    run(*PROGRAM, "-o", f"lowerdir={place}/lower", str(mountpoint))
    try:
        with pytest.raises(OSError, match="Read-only"):
            (mountpoint / "new").touch()
    finally:
        run("fusermount3", "-u", str(mountpoint))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["-o", "plugins=a.so", "/"],
            "option 'plugins': plug-ins of fuse-overlayfs cannot be loaded here",
        ),
        (["-o", "lowerdir=/", "/missing"], "/missing: No such file or directory"),
        (["-o", "lowerdir=/missing", "/"], "/missing: No such file or directory"),
        (["/"], "option 'lowerdir' is missing"),
    ],
)
def test_what_cannot_be_mounted_is_one_line_and_status_1(arguments, complaint):
    done = run(*PROGRAM, *arguments, check=False)
    assert (done.returncode, done.stderr) == (1, f"rootless-unionfs: {complaint}\n")


@pytest.mark.needs("fuse", "fusermount")
@pytest.mark.parametrize("session", ["device", "pyfuse3"])
def test_finish_completes_an_upper_with_lazy_copies(place, session):
    content = os.urandom(1 << 20) * 4
    (place / "lower" / "big").write_bytes(content)
    mountpoint = place / "mnt"
    lazy = f"{options(place)},ownership=data,lazy=1M"
    run(*PROGRAM, "-o", lazy, f"--session={session}", str(mountpoint))
    try:
        with (mountpoint / "big").open("r+b") as file:
            file.seek(1_000_000)
            file.write(b"changed")
    finally:
        run("fusermount3", "-u", str(mountpoint))
    expected = content[:1_000_000] + b"changed" + content[1_000_007:]
    upper = place / "upper"
    layers = ("--work", str(place / "work"), "--lower")
    other = run(*PROGRAM, "finish", str(upper), *layers, str(mountpoint), check=False)
    assert other.returncode == 1
    assert "finish it with those first" in other.stderr
    done = run(*PROGRAM, "finish", str(upper), *layers, str(place / "lower"))
    assert done.stdout.endswith(" bytes copied\n")
    assert (upper / "big").read_bytes() == expected


@pytest.mark.needs("fuse", "fusermount")
@pytest.mark.parametrize("session", ["device", "pyfuse3"])
def test_finish_of_a_mount_completes_its_lazy_copies_while_it_serves(place, session):
    content = os.urandom(1 << 20) * 4
    for number in range(3):
        (place / "lower" / f"big{number}").write_bytes(content)
    mountpoint = place / "mnt"
    lazy = f"{options(place)},ownership=data,lazy=1M"
    run(*PROGRAM, "-o", lazy, f"--session={session}", str(mountpoint))
    try:
        for number in range(3):
            with (mountpoint / f"big{number}").open("r+b") as file:
                file.write(b"changed")
        before = os.stat(mountpoint / "big1")
        done = run(*PROGRAM, "finish", str(mountpoint))
        assert int(done.stdout.split()[0]) > 3 * len(content) - (64 << 10)
        assert run(*PROGRAM, "finish", str(mountpoint)).stdout == "0 bytes copied\n"
        for number in range(3):
            assert (place / "upper" / f"big{number}").read_bytes() == b"changed" + content[7:]
            assert "user.rootless.lazy" not in os.listxattr(place / "upper" / f"big{number}")
        assert os.stat(place / "upper" / "big1").st_mtime_ns == before.st_mtime_ns
        with (mountpoint / "big1").open("r+b") as file:
            file.write(b"CHANGED")
    finally:
        run("fusermount3", "-u", str(mountpoint))
    refused = run(*PROGRAM, "finish", str(place), check=False)
    assert refused.returncode == 1
    assert "no union mount of this user" in refused.stderr


@pytest.mark.needs("fuse", "fusermount")
@pytest.mark.parametrize("session", ["device", "pyfuse3"])
def test_stats_tell_what_the_server_did(place, session):
    mountpoint = place / "mnt"
    run(*PROGRAM, "-o", options(place), f"--session={session}", str(mountpoint))
    try:
        (mountpoint / "new").write_bytes(b"x" * 5000)
        told = run(*PROGRAM, "stats", str(mountpoint), "--json")
        document = json.loads(told.stdout)
        table = run(*PROGRAM, "stats", str(mountpoint)).stdout
        bars = run(*PROGRAM, "stats", str(mountpoint), "--histogram").stdout
        assert "user.rootless.stats" not in os.listxattr(mountpoint)
    finally:
        run("fusermount3", "-u", str(mountpoint))
    counts = {item["operation"]: item for item in document["operations"]}
    assert document["session"] == session
    assert counts["create"]["requests"] == 1
    assert counts["write"]["bytes"] == 5000
    assert counts["write"]["nanoseconds"] > 0
    assert sum(count for _, count in counts["create"]["histogram"]) == 1
    assert re.search(r"create +1 +[\d.]+( +[\d.]+ (us|ms)){4} +0.0\n", table)
    assert "create: 1 requests\n" in bars


@pytest.mark.needs("fuse", "fusermount")
@pytest.mark.parametrize("session", ["device", "pyfuse3"])
@pytest.mark.parametrize("writeback", ["", ",writeback=0"])
def test_stats_tell_what_was_copied_up_and_by_whom(place, session, writeback):
    (place / "lower/big").write_bytes(bytes(range(256)) * 400)
    mountpoint = place / "mnt"
    run(*PROGRAM, "-o", options(place) + writeback, f"--session={session}", str(mountpoint))
    try:
        with (mountpoint / "big").open("r+b") as file:
            file.write(b"x" * 10)
        run("chmod", "600", str(mountpoint / "file"))
        told = run(*PROGRAM, "stats", str(mountpoint), "--json")
        table = run(*PROGRAM, "stats", str(mountpoint)).stdout
    finally:
        run("fusermount3", "-u", str(mountpoint))
    copies = json.loads(told.stdout)["copies"]
    big, small = copies["records"]
    with open("/proc/self/comm") as file:
        own = file.read().rstrip()
    assert (big["path"], big["pid"], big["process"]) == ("/big", os.getpid(), own)
    assert (big["copied"], big["lazy"]) == (25600 * 4, False)
    # Whole pages, where the kernel gathers.
    assert 10 <= big["changed"] <= 4096
    assert (small["path"], small["process"]) == ("/file", "chmod")
    assert copies["files"] == 2
    assert "2 files" in table


@pytest.mark.needs("fuse", "fusermount")
@pytest.mark.parametrize("session", ["device", "pyfuse3"])
def test_top_shows_what_happens_until_the_mount_ends(place, session):
    mountpoint = place / "mnt"
    run(*PROGRAM, "-o", options(place), f"--session={session}", str(mountpoint))
    try:
        watch = subprocess.Popen(
            [*PROGRAM, "top", str(mountpoint), "--interval", "0.2"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert watch.stdout is not None
        names = iter(range(1000))

        def shown() -> bool:
            (mountpoint / f"new{next(names)}").write_bytes(b"x" * 5000)
            return re.match(r"create +[1-9]", watch.stdout.readline()) is not None

        wait_until(shown, alive=watch)
    finally:
        run("fusermount3", "-u", str(mountpoint))
    with watch.stdout:
        assert "copied up" in watch.stdout.read()
    assert watch.wait(120) == 0


def test_stats_of_something_else_say_so(place):
    done = run(*PROGRAM, "stats", str(place), check=False)
    assert done.returncode == 1
    assert "no union mount of this user" in done.stderr


@pytest.mark.needs("userns", "fuse")
def test_many_layers_take_no_more_descriptors_than_a_few(tmp_path):
    """Each has every directory: 100 layers with 30 of them."""
    layers = []
    for number in range(100):
        for name in range(30):
            (tmp_path / f"{number}/d{name}").mkdir(parents=True)
            (tmp_path / f"{number}/d{name}/f{number}").touch()
        layers.append(str(number))
    (tmp_path / "merged").mkdir()
    script = (
        'ulimit -n 1024; "$0" -m unionfs -o "lowerdir=$1" merged && '
        "find merged -type f | wc -l && umount merged"
    )
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*namespace, "sh", "-c", script, sys.executable, ":".join(layers)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3000\n", "")


@pytest.mark.needs("fuse", "fusermount")
def test_mounts_with_nothing_but_the_standard_library(place):
    """The system's interpreter: neither pyfuse3 nor trio."""
    mountpoint = place / "mnt"
    bare = [os.path.realpath(sys.executable), "-S", "-m", "unionfs"]
    run(*bare, "-o", options(place), str(mountpoint))
    try:
        assert (mountpoint / "file").read_text() == "below"
    finally:
        run("fusermount3", "-u", str(mountpoint))
    refused = run(*bare, "-o", options(place), "--session", "pyfuse3", str(mountpoint), check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        "rootless-unionfs: session pyfuse3: the Python module pyfuse3 is not installed "
        "(pip install 'rootless[pyfuse3]'); use --session device\n"
    )
    assert not os.path.ismount(mountpoint)


@pytest.mark.needs("userns", "fuse")
def test_union_can_be_mounted_again_as_soon_as_it_is_unmounted(place):
    """The lazy copies that the first server completes after its mount has gone are waited for."""
    (place / "lower" / "big").write_bytes(bytes(64 << 20))
    script = f"""
    set -e
    for round in 1 2 3 4 5; do
        {" ".join(PROGRAM)} -o {options(place)},lazy=1m mnt
        printf $round | dd of=mnt/big conv=notrunc status=none
        umount mnt
    done
    {" ".join(PROGRAM)} -o {options(place)} mnt
    head -c 1 mnt/big
    """
    done = run("unshare", "-Urm", "sh", "-c", script, cwd=place)
    assert (done.stdout, done.stderr) == ("5", "")


@pytest.mark.needs("fuse", "fusermount")
def test_upper_of_another_mount_is_refused(place):
    run(*PROGRAM, "-o", options(place), str(place / "mnt"))
    try:
        (place / "second").mkdir()
        refused = run(*PROGRAM, "-o", options(place), str(place / "second"), check=False)
    finally:
        run("fusermount3", "-u", str(place / "mnt"))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"rootless-unionfs: work directory {place}/work is in use by another mount\n"
    )


@pytest.mark.needs("userns", "fuse")
def test_remount_changes_the_flags_of_a_mount(place):
    """As mount(8) calls its helper, with the options of the mount table."""
    script = f"""
    {" ".join(PROGRAM)} -o {options(place)} mnt
    remount() {{ {" ".join(PROGRAM)} rootless-unionfs $PWD/mnt -o "rw,user_id=0,group_id=0,remount,$1"; }}
    touch mnt/one && remount ro,nodev && grep -o "$PWD/mnt [^ ]*" /proc/self/mountinfo
    touch mnt/two 2>/dev/null || echo refused
    remount rw,lowerdir=lower && touch mnt/three && ls mnt
    {" ".join(PROGRAM)} none $PWD/lower -o remount,ro || echo $?
    umount mnt
    """
    done = run("unshare", "-Urm", "sh", "-c", script, cwd=place)
    assert done.stdout == (f"{place}/mnt ro,nodev,relatime\nrefused\nfile\none\nthree\n1\n")
    assert "directories stay as they are" in done.stderr
    assert f"{place}/lower: cannot remount: not a mount of this program" in done.stderr


@pytest.mark.needs("fuse", "fusermount")
def test_remount_by_an_ordinary_user_says_who_can(place):
    run(*PROGRAM, "-o", options(place), str(place / "mnt"))
    try:
        done = run(*PROGRAM, str(place / "mnt"), "-o", "remount,ro", check=False)
    finally:
        run("fusermount3", "-u", str(place / "mnt"))
    assert done.returncode == 1
    assert "only root of the user namespace that mounted it can" in done.stderr
