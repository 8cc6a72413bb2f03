"""`rootless cp`: files into and out of containers that run or have ended. Messages and results are those
of docker 28.5, unless a comment says otherwise."""

import contextlib
import io
import os
import pty
import signal
import stat
import subprocess
import tarfile

import pytest

from rootless.containers.launch_description import log_of
from rootless.durable import acquire_lock
from tests.support.probes import lacking
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture(params=["running", "stopped"])
def container(request, box):
    """The name of a container with a directory /d, and whether it runs."""
    script = (
        "mkdir -p /d /tmp; echo old > /d/f; ln -s /d/f /d/lf; ln -s /d /ld; ln -s none /d/dangling"
    )
    if request.param == "stopped":
        box("run", "--name", "cc", "box:1", "sh", "-c", script).ok()
        yield box
        return
    with box.popen(
        "run", "--name", "cc", "box:1", "sh", "-c", f"{script}; echo ready; sleep 1000"
    ) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            yield box
        finally:
            running.kill()


def members(box, path):
    """The archive of a path of the container, by name."""
    data = box("cp", f"cc:{path}", "-").ok().stdout.encode("utf-8", "surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            member.name: archive.extractfile(member).read() if member.isreg() else member
            for member in archive
        }


def test_a_file_goes_in_and_comes_out(container, tmp_path):
    (tmp_path / "f").write_text("new\n")
    os.chmod(tmp_path / "f", 0o4750)
    os.utime(tmp_path / "f", ns=(1_000_000_001, 2_000_000_003))
    container("cp", tmp_path / "f", "cc:/d/").ok()
    container("cp", tmp_path / "f", "cc:/d/other").ok()
    container("cp", "cc:/d/f", tmp_path / "out").ok()
    container("cp", "cc:d/other", tmp_path / "out2").ok()
    for copy in (tmp_path / "out", tmp_path / "out2"):
        assert copy.read_text() == "new\n"
        assert stat.S_IMODE(copy.stat().st_mode) == 0o4750
        assert copy.stat().st_mtime_ns == 2_000_000_003


def test_a_tree_keeps_links_holes_times_and_attributes(container, tmp_path):
    source = tmp_path / "t"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a").write_text("a")
    os.link(source / "sub" / "a", source / "b")
    os.symlink("../nowhere", source / "l")
    os.mkfifo(source / "fifo")
    with open(source / "holes", "wb") as file:
        file.write(b"x")
        file.seek(8 << 20)
        file.write(b"y")
    os.setxattr(source / "b", "user.colour", b"blue")
    os.chmod(source / "sub", 0o2711)
    os.utime(source / "sub", ns=(5, 7_000_000_001))
    container("cp", "-a", source, "cc:/d/new").ok()
    container("cp", "cc:/d/new", tmp_path / "back").ok()
    back = tmp_path / "back"
    assert sorted(os.listdir(back)) == ["b", "fifo", "holes", "l", "sub"]
    assert (back / "b").stat().st_ino == (back / "sub" / "a").stat().st_ino
    assert os.getxattr(back / "b", "user.colour") == b"blue"
    assert os.readlink(back / "l") == "../nowhere"
    assert stat.S_ISFIFO((back / "fifo").stat().st_mode)
    assert (back / "holes").stat().st_size == (8 << 20) + 1
    assert (back / "holes").stat().st_blocks < 1000
    assert (back / "holes").read_bytes() == (source / "holes").read_bytes()
    assert stat.S_IMODE((back / "sub").stat().st_mode) == 0o2711
    assert (back / "sub").stat().st_mtime_ns == 7_000_000_001


def test_owners_and_links_of_new_directories_are_kept(container, tmp_path):
    """Among directories that each get their name when they are complete, too."""
    source = tmp_path / "t"
    for name in ("x", "y"):
        (source / name / "below").mkdir(parents=True)
    (source / "x" / "below" / "a").write_text("a")
    os.link(source / "x" / "below" / "a", source / "y" / "b")
    os.link(source / "x" / "below" / "a", source / "x" / "c")
    (source / "y" / "large").write_bytes(bytes(100_000))
    os.symlink("b", source / "y" / "l")
    container("cp", f"{source}/.", "cc:/d/").ok()
    found = members(container, "/d")
    directories = {"d/x", "d/x/below", "d/y"}
    assert directories | {"d/x/c", "d/y/b", "d/x/below/a", "d/y/large", "d/y/l"} <= found.keys()
    assert not [name for name in found if ".tmp-" in name]
    box_archive = container("cp", "cc:/d", "-").ok().stdout.encode("utf-8", "surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(box_archive)) as archive:
        shown = {member.name: member for member in archive}
    linked = [shown[name] for name in ("d/x/c", "d/x/below/a", "d/y/b")]
    assert sorted(member.islnk() for member in linked) == [False, True, True]
    # The container of an account with one id has only the owner 0.
    inside = (0, 0) if lacking("subuid") else (os.getuid(), os.getgid())
    for name in ("d/x", "d/x/below", "d/y/l", "d/y/large", "d/y/b"):
        assert (shown[name].uid, shown[name].gid) == inside


def test_a_new_directory_appears_when_it_is_complete(box, tmp_path):
    (tmp_path / "t").mkdir()
    for number in range(200):
        (tmp_path / "t" / f"{number}").write_text("text")
    script = "mkdir -p /d; echo ready; while [ ! -e /d/t ]; do :; done; ls /d/t | wc -l; cat /d/t/*"
    with box.popen("run", "--rm", "--name", "cc", "box:1", "sh", "-c", script) as running:
        assert running.stdout.readline() == b"ready\n"
        box("cp", tmp_path / "t", "cc:/d/").ok()
        output, _ = running.communicate(timeout=120)
    assert output.split() == [b"200", b"text" * 200]


def test_what_was_copied_is_the_container_s_to_change(box, tmp_path):
    (tmp_path / "t" / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tmp_path / "t" / name).write_text(f"{name}\n")
    os.chmod(tmp_path / "t" / "a", 0o640)
    box("run", "-d", "--name", "cc", "box:1", "sleep", "1000").ok()
    box("cp", tmp_path / "t", "cc:/t").ok()
    script = (
        "cd /t; echo more >> a; rm b; mv sub moved; mkdir sub; chmod 600 moved/c; cat a moved/c; ls"
    )
    done = box("exec", "cc", "sh", "-c", script).ok()
    assert done.stdout == "a\nmore\nsub/c\na\nmoved\nsub\n"
    assert (tmp_path / "t" / "a").read_text() == "a\n"
    listed = box("diff", "cc").ok().stdout.splitlines()
    assert sorted(listed) == ["A /t", "A /t/a", "A /t/moved", "A /t/moved/c", "A /t/sub"]
    box("rm", "-f", "cc").ok()


def test_destinations_are_docker_s(container, tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "x").write_text("x")
    container("cp", tmp_path / "dir", "cc:/d/d2").ok()
    container("cp", tmp_path / "dir", "cc:/d/d2").ok()
    assert set(members(container, "/d/d2")) == {"d2", "d2/x", "d2/dir", "d2/dir/x"}
    container("cp", f"{tmp_path}/dir/.", "cc:/d/d3").ok()
    container("cp", f"{tmp_path}/dir/.", "cc:/d/d3").ok()
    assert set(members(container, "/d/d3")) == {"d3", "d3/x"}
    container("cp", "cc:/d/d2/.", tmp_path / "dir").ok()
    assert sorted(os.listdir(tmp_path / "dir")) == ["dir", "x"]
    container("cp", tmp_path / "dir" / "x", "cc:/d/lf").ok()
    assert members(container, "/d/f") == {"f": b"x"}
    container("cp", tmp_path / "dir" / "x", "cc:/d/dangling").ok()
    assert members(container, "/d/none") == {"none": b"x"}
    container("cp", tmp_path / "dir" / "x", "cc:/ld").ok()
    assert members(container, "/d/x") == {"x": b"x"}
    container("cp", "cc:/d/lf", tmp_path / "link").ok()
    assert os.readlink(tmp_path / "link") == "/d/f"
    container("cp", "-L", "cc:/d/lf", tmp_path / "file").ok()
    assert (tmp_path / "file").read_text() == "x"


_MISTAKES = [
    ("f", "cc:/d/none/", "no such directory"),
    ("f", "cc:/no/such", "Could not find the file /no in container cc"),
    ("f", "cc:/d/f/", "no such directory"),
    ("f", "cc:/d/f/x", "extraction point is not a directory"),
    ("f", "cc:", "no such directory"),
    ("dir", "cc:/d/f", "cannot copy directory"),
    ("nosuch", "cc:/d", "lstat {}/nosuch: no such file or directory"),
    ("cc:/none", ".", "Could not find the file /none in container cc"),
    ("cc:/d/f/", "o", "lstat /d/f/: not a directory"),
    ("cc:/d/f", "none/", "no such directory"),
    ("cc:/d/f", "none/x", 'invalid output path: directory "{}/none" does not exist'),
    ("cc:/d", "f", "cannot copy directory"),
    ("cc:/d/f", "/dev/null", '"/dev/null" must be a directory or a regular file: got a device'),
    ("cc:/d", "/dev/full", '"/dev/full" must be a directory or a regular file: got a device'),
    ("cc:/d/f", "/dev/stdout", 'invalid output path: "/dev/stdout" must be a directory or a reg'),
    ("cc:/d/f", "f/", "stat {}/f/: not a directory"),
    ("-", "-", "must specify at least one container source"),
    ("f", "g", "must specify at least one container source"),
    ("cc:/d", "cc:/e", "copying between containers is not supported"),
    ("nope:/f", ".", "No such container: nope"),
    ("f", "nope:/", "No such container: nope"),  # docker: no such directory
    ("", "cc:/d", "source can not be empty"),
    ("-", "cc:/d/f", 'destination "cc:/d/f" must be a directory'),
    ("f", "cc:/etc/hosts", "device or resource busy"),
]
"""Source, destination, and the message."""


def test_mistakes(container, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("f")
    (tmp_path / "dir").mkdir()
    for source, target, message in _MISTAKES:
        result = container("cp", source, target)
        assert (result.status, len(result.stderr.splitlines())) == (1, 1), (source, target)
        assert message.replace("{}", str(tmp_path)) in result.stderr


def test_archives_go_in(container):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a/b/f", "g"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("h")
        link.type, link.linkname = tarfile.LNKTYPE, "g"
        archive.addfile(link)
    container("cp", "-", "cc:/d", stdin=data.getvalue()).ok()
    assert members(container, "/d/a")["a/b/f"] == b"abc"
    assert members(container, "/d/g") == {"g": b"abc"}
    container("cp", "-", "cc:/d", stdin=b"").ok()
    wrong = container("cp", "-", "cc:/d", stdin=b"x" * 700)
    assert wrong.status == 1
    assert "cannot read the archive" in wrong.stderr


def test_archives_do_not_leave_the_container(container, tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        link = tarfile.TarInfo("away")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        member = tarfile.TarInfo("away/f")
        archive.addfile(member)
    container("cp", "-", "cc:/d", stdin=data.getvalue())
    assert not (tmp_path / "f").exists()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../up"))
    assert container("cp", "-", "cc:/d", stdin=data.getvalue()).status == 1


def test_links_of_the_container_do_not_lead_to_the_host(box, tmp_path):
    (tmp_path / "secret").write_text("host")
    script = f"mkdir -p /d; ln -s {tmp_path} /d/host; ln -s /../../..{tmp_path}/secret /d/secret"
    box("run", "--name", "cc", "box:1", "sh", "-c", script).ok()
    for source in ("cc:/d/host/", "cc:/d/host/secret"):
        assert box("cp", source, tmp_path / "out").status == 1
    assert box("cp", "-L", "cc:/d/secret", tmp_path / "out").status == 1
    (tmp_path / "f").write_text("in")
    box("cp", tmp_path / "f", "cc:/d/host/secret")
    box("cp", tmp_path / "f", "cc:/d/secret")
    assert (tmp_path / "secret").read_text() == "host"
    assert not (tmp_path / "out").exists()


def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere(box, tmp_path):
    """CVE-2018-15664: the container exchanges a directory and a link to the host while cp runs."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "in").write_text("in")
    script = (
        f"mkdir -p /d/real{tmp_path}/victim {tmp_path}/victim; ln -s / /d/link; echo ready; while :; do "
        "mv /d/real /d/p; mv /d/link /d/real; mv /d/real /d/link; mv /d/p /d/real; done"
    )
    with box.popen("run", "--name", "cc", "box:1", "sh", "-c", script) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            for _ in range(15):
                box("cp", tmp_path / "in", f"cc:/d/real{tmp_path}/victim/escaped")
        finally:
            running.kill()
    assert os.listdir(tmp_path / "victim") == []


def test_mounts_are_seen(box, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "f").write_text("volume")
    box("run", "--name", "cc", "-v", f"{tmp_path}/v:/v", "box:1", "true").ok()
    box("cp", "cc:/v/f", tmp_path / "out").ok()
    assert (tmp_path / "out").read_text() == "volume"
    (tmp_path / "g").write_text("g")
    box("cp", tmp_path / "g", "cc:/v/").ok()
    assert (tmp_path / "v" / "g").read_text() == "g"


def test_a_read_only_container_stays_as_it_is(box, tmp_path):
    box("run", "--name", "cc", "--read-only", "box:1", "true").ok()
    (tmp_path / "f").write_text("f")
    result = box("cp", tmp_path / "f", "cc:/f")
    assert result.status == 1
    assert "container rootfs is marked read-only" in result.stderr
    assert box("diff", "cc").ok().stdout == ""


def test_a_copy_that_is_killed_leaves_whole_files(box, tmp_path):
    box("run", "--name", "cc", "box:1", "mkdir", "-p", "/d").ok()
    (tmp_path / "t").mkdir()
    for number in range(40):
        (tmp_path / "t" / f"{number}").write_bytes(bytes([number]) * 3_000_000)
    for delay in (0.2, 0.4, 0.7):
        running = box.popen("cp", tmp_path / "t", "cc:/d")
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(delay)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        found = members(box, "/d")
        files = {name: data for name, data in found.items() if isinstance(data, bytes)}
        assert all(
            data == bytes([int(name.rpartition("/")[2])]) * 3_000_000
            for name, data in files.items()
        )


def test_the_size_is_shown_on_a_terminal(box, tmp_path):
    box("run", "--name", "cc", "box:1", "mkdir", "-p", "/d").ok()
    (tmp_path / "f").write_text("hi\n")
    for flags, shown in (((), b"Successfully copied 2.05kB to cc:/d/f\r\n"), (("-q",), b"")):
        master, terminal = pty.openpty()
        running = box.popen("cp", *flags, tmp_path / "f", "cc:/d/f", stderr=terminal)
        os.close(terminal)
        assert running.wait(120) == 0
        output = b""
        try:
            while piece := os.read(master, 1000):
                output += piece
        except OSError:
            pass  # EIO: the terminal's other side is closed
        os.close(master)
        assert output == shown


def test_a_full_disk_ends_the_copy_with_whole_files(box, tmp_path):
    """One of the files fits on the tmpfs, and the other does not."""
    (tmp_path / "t").mkdir()
    for name in ("1", "2"):
        (tmp_path / "t" / name).write_bytes(bytes(3 << 20))
    command = ("--tmpfs", "/t:size=4m", "box:1", "sh", "-c", "echo ready; sleep 1000")
    with box.popen("run", "--name", "cc", *command) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            result = box("cp", tmp_path / "t", "cc:/t/new")
            assert result.status == 1
            assert "no space left on device" in result.stderr
            files = [data for data in members(box, "/t").values() if isinstance(data, bytes)]
            assert [len(data) for data in files] == [3 << 20]
        finally:
            running.kill()


def test_a_start_waits_for_a_copy_into_the_container(box):
    """Docker lets both write at once; here the files of a container have one server at a time."""
    box("run", "--name", "cc", "box:1", "sh", "-c", "mkdir -p /d; cat /d/f || true").ok()
    log = box("inspect", "-f", "{{.LogPath}}", "cc").ok().stdout.strip()
    directory = os.path.dirname(log)
    member = tarfile.TarInfo("f")
    member.size = 3
    archive = member.tobuf() + b"abc".ljust(tarfile.RECORDSIZE, b"\0")
    copying = box.popen("cp", "-", "cc:/d")
    copying.stdin.write(archive[:512])
    copying.stdin.flush()
    wait_until(lambda: is_locked(log_of(directory)), alive=copying)
    starting = box.popen("start", "-a", "cc")
    assert_stays(lambda: starting.poll() is None)
    copying.stdin.write(archive[512:])
    copying.stdin.close()
    assert copying.wait(120) == 0
    assert starting.stdout.read() == b"abc"
    assert starting.wait(120) == 0


def is_locked(path):
    lock = acquire_lock(path, wait=False)
    if lock is not None:
        lock.release()
    return lock is None


def test_files_of_the_kernel_below_a_directory_stay_behind(container, tmp_path):
    root = tmp_path / "root"
    container("cp", "cc:/", root).ok()
    assert (root / "d/f").read_text() == "old\n"
    assert (root / "bin/sh").exists()
    found = {
        name: os.listdir(root / name) for name in ("proc", "sys", "dev") if (root / name).exists()
    }
    assert not any(found.values())
    with open(tmp_path / "all.tar", "wb") as output:
        assert container.popen("cp", "cc:/", "-", stdout=output).wait(120) == 0
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = [name.lstrip("./") for name in archive.getnames()]
    assert "d/f" in names
    assert not [name for name in names if name.startswith(("proc/", "sys/", "dev/"))]


def test_files_of_the_kernel_are_copied_by_their_own_paths(box, tmp_path):
    box("run", "-d", "--name", "cc", "box:1", "sleep", "1000").ok()
    box("cp", "cc:/proc/version", tmp_path / "version").ok()
    assert (tmp_path / "version").read_text().startswith("Linux version")
    box("cp", "cc:/proc/sys/kernel/random", tmp_path / "random").ok()
    assert (tmp_path / "random/boot_id").read_text().count("-") == 4
