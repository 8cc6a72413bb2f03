"""`changes`, `apply` and `drop` for what a container wrote in mounts that are copied on write (-v SOURCE:TARGET:O)."""

import json
import os
import signal

import pytest

from rootless import Engine
from rootless.applying.perform import Performer
from tests.support.applied import copy_tree, differences
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

SCRIPT = r"""set -e; cd /src
echo new > file; mv dir moved; echo more >> moved/inner; rm gone; mkdir -p a/b; echo c > a/b/c
chmod 700 script; ln file linked; ln -s made link; echo new > "$OTHER/o" """.strip()


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Two directories that are mounted; `start` beside them is a copy."""
    for name in ("work/file", "work/gone", "work/dir/inner", "work/script", "other/o"):
        (tmp_path / "host" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "host" / name).write_text("old\n")
    copy_tree(bytes(tmp_path / "host"), bytes(tmp_path / "start"))
    monkeypatch.chdir(tmp_path / "host/work")
    return tmp_path / "host/work"


def mounts(work):
    """One at another path, and one at its own."""
    other = work.parent / "other"
    return ["-v", f"{work}:/src:O", "-v", f"{other}:{other}:O", "-e", f"OTHER={other}"]


def ran(box, work, script=SCRIPT):
    box("run", "--name", "one", *mounts(work), "box:1", "sh", "-c", script).ok()


def as_at_the_start(work):
    return differences(bytes(work.parent), bytes(work.parent.parent / "start"), times=False) == []


def test_changes_of_every_mount_are_listed_by_their_paths_in_the_container(box, work):
    ran(box, work, f"{SCRIPT}; echo x > /etc/x")
    other = work.parent / "other"
    assert box("changes", "one").ok().stdout.splitlines() == [
        "created  /etc/x  (2B)",
        "created  /src/a/",
        "created  /src/a/b/",
        "created  /src/a/b/c  (2B)",
        "changed  /src/file  (4B)",
        "deleted  /src/gone  (4B)",
        "created  /src/link  (symlink to made)",
        "created  /src/linked  (hard link to /src/file)",
        "moved    /src/dir/ -> /src/moved/",
        "changed  /src/moved/inner  (4B -> 9B)",
        "changed  /src/script  (mode 644 -> 700)",
        f"changed  {other}/o  (4B)",
    ]
    document = json.loads(box("changes", "--json", "one").ok().stdout)
    assert document["mounts"] == [
        {"target": "/src", "source": str(work)},
        {"target": str(other), "source": str(other)},
    ]
    assert as_at_the_start(work)


@pytest.mark.parametrize("path", ["/src/a/b", "a/b", "{work}/a/b", "./a/../a/b"])
def test_path_is_one_in_the_container_or_one_of_the_host(box, work, path):
    ran(box, work)
    path = path.format(work=work)
    assert box("changes", "--name-only", "one", path).ok().stdout == "/src/a/b\n/src/a/b/c\n"
    assert "+c\n" in box("changes", "--diff", "one", path).ok().stdout
    assert box("apply", "one", path).ok().stdout == "/src/a\n/src/a/b\n/src/a/b/c\n"
    assert (work / "a/b/c").read_text() == "c\n"
    assert (work / "gone").exists()


def test_diff_and_counts_have_paths_in_the_container(box, work):
    ran(box, work)
    diff = box("changes", "--diff", "one").ok().stdout.splitlines()
    assert "diff --git a/src/dir/inner b/src/moved/inner" in diff
    assert "rename to src/moved/inner" in diff
    assert "# moved directory src/dir -> src/moved" in diff
    counts = box("changes", "--stat", "one").ok().stdout
    assert " /src/gone" in counts
    assert f" {work.parent}/other/o" in counts


def test_everything_applied_is_what_was_run_directly_and_undone_it_is_as_before(
    box, work, monkeypatch
):
    ran(box, work)
    assert box("apply", "--check", "one").ok().stdout.count("\n") == 11
    assert as_at_the_start(work)
    box("apply", "one").ok()
    assert (work / "moved/inner").read_text() == "old\nmore\n"
    assert (work / "linked").stat().st_ino == (work / "file").stat().st_ino
    assert (work.parent / "other/o").read_text() == "new\n"
    assert not (work / "gone").exists()
    assert {each.stat().st_uid for each in work.rglob("*") if each.exists()} == {os.getuid()}
    box("apply", "--undo", "one").ok()
    assert as_at_the_start(work)


def test_undo_leaves_every_mount_alone_if_something_in_one_has_changed_since(box, work):
    ran(box, work)
    box("apply", "one").ok()
    (work.parent / "other/o").write_text("edited\n")
    result = box("apply", "--undo", "one")
    assert (result.status, result.stderr) == (
        1,
        f"conflict {work.parent}/other/o: it has changed since it was applied\n",
    )
    assert (work / "moved").is_dir()


def test_what_the_host_has_changed_meanwhile_is_a_conflict(box, work):
    ran(box, work)
    (work / "file").write_text("mine\n")
    (work / "dir/added").write_text("mine\n")
    result = box("apply", "one")
    assert result.status == 1
    assert "conflict /src/file: it has changed since\n" in result.stderr
    assert (work / "file").read_text() == "mine\n"
    assert (work / "moved/added").read_text() == "mine\n"
    box("apply", "--theirs", "one", "file").ok()
    assert (work / "file").read_text() == "new\n"


def test_text_that_both_have_changed_is_merged(box, work):
    lines = [f"{n}\n" for n in range(9)]
    (work / "file").write_text("".join(lines))
    ran(box, work, "sed -i s/1/one/ /src/file")
    (work / "file").write_text("".join(lines).replace("7", "seven"))
    box("apply", "--merge", "one").ok()
    assert (work / "file").read_text() == "".join(lines).replace("1", "one").replace("7", "seven")


def test_container_that_runs_is_read_with_what_it_has_mapped(box, work):
    (work / "mapped").write_bytes(bytes(4096))
    box("run", "-d", "--name", "one", *mounts(work), "--rootfs", "/", "--userns", "keep-id",
        "python3", "-c",
        "import mmap, signal; f = open('/src/mapped', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[:5] = b'dirty'\n"
        "open('/src/ready', 'w').close()\nsignal.pause()").ok()  # fmt: skip
    wait_until(lambda: "ready" in box("changes", "one", "/src").stdout)
    box("apply", "one", "/src").ok()
    assert (work / "mapped").read_bytes()[:5] == b"dirty"
    assert "is running" in box("drop", "one").stderr
    box("drop", "-f", "one").ok()


def test_each_start_begins_anew(box, work):
    ran(box, work, "echo $(cat /src/file) again > /src/file; touch /src/made")
    box("apply", "one", "/src/made").ok()
    box("start", "-a", "one").ok()
    assert "created  /src/made" not in box("changes", "one").ok().stdout
    box("apply", "one").ok()
    assert (work / "file").read_text() == "old again\n"
    box("apply", "--undo", "one").ok()
    assert (work / "file").read_text() == "old\n"


def test_apply_that_was_killed_between_two_mounts_is_completed(box, work, monkeypatch):
    ran(box, work)
    for name, value in box.env.items():
        monkeypatch.setenv(name, value)
    child = os.fork()
    if child == 0:
        run = Performer.run
        Performer.run = lambda self: (run(self), os.kill(os.getpid(), signal.SIGKILL))[0]
        Engine().applying("one").apply()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert (work / "moved").is_dir()
    assert (work.parent / "other/o").read_text() == "old\n"
    box("apply", "one").ok()
    assert (work.parent / "other/o").read_text() == "new\n"
    box("apply", "--undo", "one").ok()
    assert as_at_the_start(work)


def test_contents_of_an_earlier_start_are_not_taken_for_those_of_an_apply_that_was_killed(
    box, work, monkeypatch
):
    ran(box, work, "cat /proc/sys/kernel/random/uuid > /src/file")
    for name, value in box.env.items():
        monkeypatch.setenv(name, value)
    child = os.fork()
    if child == 0:
        Performer.run = lambda self: os.kill(os.getpid(), signal.SIGKILL)
        Engine().applying("one").apply()
        os._exit(0)
    os.waitpid(child, 0)
    box("start", "-a", "one").ok()
    result = box("apply", "one")
    assert (result.status, result.stdout) == (0, "/src/file\n")
    box("cp", "one:/src/file", str(work.parent.parent / "copied")).ok()
    assert (work / "file").read_text() == (work.parent.parent / "copied").read_text()


def test_volume_is_shown_and_not_applied(box, work):
    box("run", "--rm", "-v", "data:/data", "box:1", "sh", "-c", "echo old > /data/file").ok()
    options = ("--name", "one", "-v", "data:/data:O", *mounts(work))
    box("run", *options, "box:1", "sh", "-c", f"echo new > /data/file; {SCRIPT}").ok()
    assert "changed  /data/file  (4B)" in box("changes", "one").ok().stdout
    result = box("apply", "one", "/data")
    assert (result.status, result.stderr.splitlines()[0]) == (
        1,
        "rootless: /data is in a volume, not in files of the host",
    )
    box("apply", "one").ok()
    assert (work / "moved").is_dir()


def test_root_of_an_image_cannot_be_applied(box, work):
    ran(box, work, f"{SCRIPT}; echo x > /etc/x")
    result = box("apply", "one", "/etc/x")
    assert (result.status, "was not made of files of the host" in result.stderr) == (1, True)
    assert as_at_the_start(work)


def test_root_and_mounts_are_applied_together(box, work, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    options = ("--name", "one", "--rootfs", "/", "--userns", "keep-id", *mounts(work))
    box("run", *options, "sh", "-c", f"{SCRIPT}; echo x > {inside}/x").ok()
    assert box("apply", "one", "/").ok().stdout.count("\n") == 12
    assert (inside / "x").read_text() == "x\n"
    assert (work / "moved").is_dir()
    box("apply", "--undo", "one").ok()
    assert list(inside.iterdir()) == []
    assert as_at_the_start(work)


def test_the_stores_own_files_are_not_seen_in_a_mount(box, work):
    store = box.data / "rootless"
    options = ("--name", "one", "-v", f"{box.data}:/data:O")
    assert box("run", *options, "box:1", "ls", "-A", "/data/rootless").ok().stdout == ""
    box("start", "-a", "one").ok()
    assert box("changes", "one").ok().stdout == ""
    assert (store / "containers").is_dir()


def test_container_at_rest_has_what_was_written(box, work):
    ran(box, work)
    box("cp", "one:/src/moved/inner", str(work.parent.parent / "copied")).ok()
    assert (work.parent.parent / "copied").read_text() == "old\nmore\n"
    (work.parent.parent / "given").write_text("given\n")
    box("cp", str(work.parent.parent / "given"), "one:/src/given").ok()
    assert "created  /src/given" in box("changes", "one").ok().stdout
    assert as_at_the_start(work)


def test_snapshot_has_no_mounts(box, work):
    ran(box, work, "echo x > /x; echo y > /src/y")
    box("snapshot", "one", "first").ok()
    assert box("changes", "one@first").ok().stdout == "created  /x  (2B)\n"
    assert "/src/y" in box("changes", "one").ok().stdout


def test_removed_source_is_an_error_in_one_line(box, work, tmp_path):
    ran(box, work)
    (work.parent / "other").rename(tmp_path / "elsewhere")
    result = box("apply", "one", "/src")
    assert (result.status, len(result.stderr.splitlines())) == (1, 1)
