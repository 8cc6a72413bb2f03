"""`snapshot`, `snapshots`, `rollback` and `branch` of containers that run and that do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from rootless import Engine
from rootless.errors import ExistsError, InUseError, NotFoundError
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

PLACE = "/srv/work"

WRITER = r"""
import mmap, os, sys, time
os.chdir("/srv/work")
opened = os.open("open", os.O_RDWR | os.O_CREAT)
removed = os.open("removed", os.O_RDWR | os.O_CREAT); os.unlink("removed")
parted = os.open("parted", os.O_RDWR | os.O_CREAT); os.link("parted", "other name"); os.unlink("parted")
mapped = os.open("mapped", os.O_RDWR | os.O_CREAT); os.ftruncate(mapped, 4096)
memory = mmap.mmap(mapped, 4096)
kept = [opened, removed, parted]
def put(text):
    for each in kept: os.pwrite(each, text, 0)
    memory[:len(text)] = text
put(b"before")
numbers = [os.fstat(each).st_ino for each in (*kept, mapped)]
print("ready", flush=True)
for line in sys.stdin:
    put(line.strip().encode())
    assert numbers == [os.fstat(each).st_ino for each in (*kept, mapped)]
    assert {os.pread(each, 9, 0) for each in kept} == {line.strip().encode()}
    os.fsync(opened); memory.flush()
    print("done", flush=True)
"""


@pytest.fixture
def running(rootless: Rootless) -> Rootless:
    """With the container `box` of the machine's own files, that waits."""
    command = ("sh", "-c", f"mkdir {PLACE}; exec sleep 1000")
    rootless("run", "-d", "--name", "box", "--rootfs", "/", *command).ok()
    wait_until(lambda: rootless("exec", "box", "test", "-d", PLACE).status == 0)
    return rootless


def sh(rootless: Rootless, script: str, name: str = "box") -> str:
    return rootless("exec", name, "sh", "-ec", f"cd {PLACE}; {script}").ok().stdout


def state(rootless: Rootless, name: str = "box") -> dict[str, object]:
    """Everything below PLACE: what it is, and what it holds."""
    copied = rootless.popen("cp", f"{name}:{PLACE}", "-")
    archive, errors = copied.communicate(timeout=120)
    assert copied.returncode == 0, errors
    found: dict[str, object] = {}
    with tarfile.open(fileobj=BytesIO(archive)) as members:
        for each in members:
            file = members.extractfile(each) if each.isreg() else None
            content = each.linkname if file is None else file.read()
            found[each.name] = (each.type, oct(each.mode), int(each.mtime), content)
    return found


MAKE = """
mkdir -p dir/inner moved gone; echo 1 > dir/file; echo 2 > dir/inner/deep; echo 3 > moved/x; echo 4 > gone/y
echo linked > one; ln one two; ln -s one symbolic; chmod 751 dir; touch -d 2001-02-03 dir/file
"""
CHANGE = """
echo changed > dir/file; rm dir/inner/deep; rmdir dir/inner; echo new > dir/inner
mv moved elsewhere; echo more >> elsewhere/x; rm -r gone; mkdir gone; echo anew > gone/z
echo other >> two; rm one; ln -sfn two symbolic; chmod 700 dir
"""


def test_rollback_gives_the_files_of_the_snapshot(running: Rootless) -> None:
    sh(running, MAKE)
    assert running("snapshot", "box", "first").ok().stdout == "first\n"
    first = state(running)
    sh(running, CHANGE)
    assert running("snapshot", "box").ok().stdout == "2\n"
    second = state(running)
    sh(running, "rm -r *; echo x > dir")
    assert running("snapshots", "-q", "box").ok().stdout == "first\n2\n"
    running("stop", "-t", "0", "box").ok()
    for tag, then in (("first", first), ("2", second), ("first", first)):
        assert running("rollback", "box", tag).ok().stdout == f"{tag}\n"
        assert state(running) == then
        running("start", "box").ok()
        assert state(running) == then
        sh(running, "mkdir -p dir; echo y > dir/w")
        running("stop", "-t", "0", "box").ok()


def test_what_is_open_and_mapped_goes_on_and_leaves_the_snapshot(rootless: Rootless) -> None:
    program = f"import os; os.mkdir({PLACE!r})\n{WRITER}"
    arguments = ("run", "-i", "--name", "box", "--rootfs", "/", sys.executable, "-c", program)
    writer = rootless.popen(*arguments)
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    for number in range(3):
        rootless("snapshot", "box").ok()
        writer.stdin.write(b"after%d\n" % number)
        writer.stdin.flush()
        assert writer.stdout.readline() == b"done\n"
    writer.stdin.close()
    assert writer.wait(120) == 0
    names = ("open", "other name", "mapped")

    def content() -> list[bytes]:
        found = state(rootless)
        return [found[f"work/{each}"][3].rstrip(b"\0") for each in names]  # type: ignore[index]

    assert content() == [b"after2"] * 3
    for tag, text in (("1", b"before"), ("2", b"after0"), ("3", b"after1")):
        rootless("rollback", "box", tag).ok()
        assert content() == [text] * 3
        assert "work/removed" not in state(rootless)


def test_container_that_does_not_run_is_frozen(running: Rootless) -> None:
    sh(running, MAKE)
    running("stop", "-t", "0", "box").ok()
    running("snapshot", "box", "one").ok()
    first = state(running)
    running("start", "box").ok()
    sh(running, CHANGE)
    running("rollback", "--stop", "box", "one").ok()
    assert state(running) == first
    # One that has never been started, too.
    running("create", "--name", "fresh", "--rootfs", "/", "true").ok()
    running("snapshot", "fresh", "empty").ok()
    running("start", "-a", "fresh").ok()
    running("rollback", "fresh", "empty").ok()
    assert running("diff", "fresh").ok().stdout == ""


def test_branch_shares_what_is_frozen_and_outlives_its_source(running: Rootless) -> None:
    sh(running, MAKE)
    running("snapshot", "box", "base").ok()
    then = state(running)
    sh(running, CHANGE)
    changed = state(running)
    frozen = running.data / "rootless/frozen"
    assert running("branch", "box@base", "old").ok().stdout == "old\n"
    running("branch", "box", "now").ok()
    assert state(running, "old") == then
    assert state(running, "now") == changed
    running("start", "old").ok()
    assert (
        running("exec", "old", "hostname").ok().stdout != running("exec", "box", "hostname").stdout
    )
    sh(running, "echo mine > own; rm -r dir", "old")
    assert state(running) == changed
    running("rm", "-f", "box").ok()
    assert sh(running, "cat own moved/x", "old") == "mine\n3\n"
    running("rollback", "--force", "old", "base").ok()
    assert state(running, "old") == then
    assert state(running, "now") == changed
    assert len([each for each in os.listdir(frozen) if each[0] != "."]) == 2
    running("rm", "-f", "old", "now").ok()
    assert [each for each in os.listdir(frozen) if each[0] != "."] == []


@pytest.mark.needs("nosub")
def test_branch_of_an_account_with_one_id_has_the_file_for_apt(running: Rootless) -> None:
    running("branch", "box", "new").ok()
    running("start", "new").ok()
    shown = running("exec", "new", "cat", "/etc/apt/apt.conf.d/99rootless").ok().stdout
    assert shown == 'APT::Sandbox::User "root";\n'


def test_changes_commit_export_and_diff_see_all_that_was_written(running: Rootless) -> None:
    sh(running, "mkdir a; echo 1 > a/b")
    running("snapshot", "box").ok()
    sh(running, "mv a c; echo 2 > c/d")
    running("snapshot", "box").ok()
    sh(running, "echo 3 > e; rm c/b")
    found = json.loads(running("changes", "--json", "box").ok().stdout)
    paths = {each["path"]: each["kind"] for each in found["changes"]}
    wanted = {
        PLACE: "created",
        f"{PLACE}/c": "created",
        f"{PLACE}/c/d": "created",
        f"{PLACE}/e": "created",
    }
    assert {path: kind for path, kind in paths.items() if path.startswith(PLACE)} == wanted
    listed = running("diff", "box").ok().stdout.splitlines()
    assert [each for each in listed if PLACE in each] == [f"A {path}" for path in sorted(wanted)]


def test_image_of_a_container_with_snapshots_has_all(rootless: Rootless, busybox_image) -> None:  # type: ignore[no-untyped-def]
    rootless("import", busybox_image, "busybox").ok()
    rootless("run", "-d", "--name", "box", "busybox", "sleep", "1000").ok()
    for number in range(4):
        script = f"mkdir -p /w; echo {number} > /w/{number}; rm -f /w/{number - 2} /bin/vi"
        rootless("exec", "box", "sh", "-c", script).ok()
        rootless("snapshot", "box").ok()
    rootless("commit", "box", "made").ok()
    shown = rootless(
        "run", "--rm", "made", "sh", "-c", "cat /w/*; ls /w; ls /bin/vi /bin/sh"
    ).stdout
    assert shown.split() == ["2", "3", "2", "3", "/bin/sh"]
    assert rootless("run", "--rm", "busybox", "ls", "/bin/vi").ok().stdout


def test_messages_for_what_cannot_be(running: Rootless) -> None:
    def fails(*arguments: str) -> str:
        result = running(*arguments)
        assert result.status == 1
        assert (
            len([each for each in result.stderr.splitlines() if not each.startswith("hint: ")]) == 1
        )
        return result.stderr.splitlines()[0].removeprefix("rootless: ")

    running("snapshot", "box", "one").ok()
    assert fails("snapshot", "none") == "No such container: none"
    assert fails("snapshot", "box", "one") == "container box has a snapshot one already"
    assert fails("snapshot", "box", "a/b").startswith("invalid tag 'a/b': only [a-zA-Z0-9_]")
    assert fails("rollback", "box", "two") == "container box has no snapshot two"
    assert fails("rollback", "box", "one") == (
        "container box is running: a rollback would change its files under its processes"
    )
    assert fails("branch", "box@two", "new") == "container box has no snapshot two"
    assert 'name "/box" is already in use' in fails("branch", "box@one", "box")
    assert fails("branch", "box@one", "x").startswith("Invalid container name (x)")
    running("run", "-d", "--rm", "--name", "volatile", "--rootfs", "/", "sleep", "1000").ok()
    running("snapshot", "volatile", "one").ok()
    assert fails("rollback", "--stop", "volatile", "one").startswith(
        "container volatile is removed when it ends (--rm)"
    )
    running("create", "--name", "memory", "--writable-tmpfs", "--rootfs", "/", "true").ok()
    assert fails("snapshot", "memory").startswith(
        "cannot take snapshots of container memory: the writable layer is in memory"
    )
    running("create", "--name", "kernel", "--storage-driver", "overlay", "--rootfs", "/", "true")
    assert fails("snapshot", "kernel").startswith(
        "container kernel uses the storage driver overlay"
    )


def test_process_of_the_container_cannot_freeze_it(running: Rootless) -> None:
    program = "import os\ntry: os.getxattr('/', 'user.rootless.freeze:' + 'a' * 32)\nexcept OSError as e: print(e.errno)"
    assert running("exec", "box", sys.executable, "-c", program).ok().stdout == "61\n"
    assert not (running.data / "rootless/frozen").exists()


def test_snapshots_from_python(running: Rootless, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in running.env.items():
        monkeypatch.setenv(name, value)
    engine = Engine()
    sh(running, "echo 1 > file")
    taken = engine.snapshot("box", "one")
    assert (taken.tag, engine.snapshots("box")) == ("one", [taken])
    with pytest.raises(ExistsError):
        engine.snapshot("box", "one")
    with pytest.raises(InUseError):
        engine.rollback("box", "one")
    with pytest.raises(NotFoundError):
        engine.rollback("box", "two")
    sh(running, "echo 2 > file")
    made = engine.branch("box", "new", "one")
    assert made.name == "new"
    engine.rollback("box", "one", force=True)
    assert state(running) == state(running, "new")


def test_attributes_of_the_root_stay(running: Rootless) -> None:
    running("exec", "box", "sh", "-c", "chmod 711 /; touch -d 2002-03-04 /").ok()
    running("snapshot", "box", "one").ok()
    script = ("stat", "-c", "%a %Y", "/")
    then = running("exec", "box", *script).ok().stdout
    running("exec", "box", "chmod", "755", "/").ok()
    running("rollback", "--stop", "box", "one").ok()
    running("start", "box").ok()
    assert running("exec", "box", *script).ok().stdout == then


def changed(rootless: Rootless, *states: str) -> dict[str, str]:
    """By path below PLACE: what `changes` says of it."""
    found = json.loads(rootless("changes", "--json", *states).ok().stdout)["changes"]
    below = f"{PLACE}/"
    return {
        each["path"].removeprefix(below): each["kind"] for each in found if below in each["path"]
    }


def test_changes_between_snapshots(running: Rootless) -> None:
    sh(running, "echo 1 > a; echo 2 > b; mkdir d; echo 3 > d/e; mkdir m; echo 4 > m/n")
    running("snapshot", "box", "one").ok()
    sh(running, "echo more >> a; rm b; echo x > d/f")
    running("snapshot", "box", "two").ok()
    sh(running, "mv m o; echo 5 > o/p; rm -r d")
    assert set(changed(running, "box@one")) == {"a", "b", "d", "d/e", "m", "m/n"}
    assert changed(running, "box@one", "box@two") == {
        "a": "changed",
        "b": "deleted",
        "d/f": "created",
    }
    since = changed(running, "box@two", "box")
    assert {path: since[path] for path in ("o", "o/p", "d")} == {
        "o": "moved",
        "o/p": "created",
        "d": "deleted",
    }
    assert changed(running, "box@one", "box")["a"] == "changed"
    assert changed(running, "box@one", "box@two", f"{PLACE}/d") == {"d/f": "created"}
    diff = running("changes", "--diff", "box@one", "box@two", f"{PLACE}/a").ok().stdout
    assert [each for each in diff.splitlines() if each[:1] in "+-"][2:] == ["+more"]
    sh(running, "mv a moved")
    assert {"moved": "moved"}.items() <= changed(running, "box@two", "box").items()
    assert "a" not in changed(running, "box@two", "box")
    refused = running("changes", "box@two", "box@one")
    assert refused.status == 1
    assert refused.stderr.splitlines()[0] == (
        "rootless: snapshot one of container box was not made from snapshot two"
    )
    assert running("diff", "box@one").ok().stdout.splitlines()[-1] == f"A {PLACE}/m/n"


def test_moved_file_of_a_snapshot_that_was_written_too(running: Rootless) -> None:
    sh(running, "echo 1 > a; echo 2 > b; ln b c; echo 3 > d")
    running("snapshot", "box", "one").ok()
    sh(running, "mv a e; echo more >> e; mv b f; rm d; echo 4 > g")
    found = running("changes", "box@one", "box").ok().stdout.replace(f"{PLACE}/", "").splitlines()
    assert found == [
        "deleted  d  (2B)",
        "moved    a -> e  (2B -> 7B)",
        "moved    b -> f",
        "created  g  (2B)",
    ]


def test_removed_snapshot_frees_what_nothing_else_has(running: Rootless) -> None:
    def on_disk() -> int:
        frozen = running.data / "rootless/frozen"
        return len([each for each in frozen.iterdir() if not each.name.startswith(".")])

    sh(running, "echo 1 > a")
    running("snapshot", "box", "one").ok()
    sh(running, "head -c 1000000 /dev/urandom > b")
    running("snapshot", "box", "two").ok()
    running("branch", "box@two", "other").ok()
    running("rollback", "--force", "box", "one").ok()
    running("start", "box").ok()
    assert on_disk() == 2
    assert running("snapshot", "--rm", "box", "two", "none").status == 1
    assert running("snapshots", "-q", "box").ok().stdout.split() == ["one", "two"]
    assert running("snapshot", "--rm", "box", "two").ok().stdout == "two\n"
    assert running("snapshots", "-q", "box").ok().stdout.split() == ["one"]
    assert on_disk() == 2
    running("rm", "other").ok()
    assert on_disk() == 1
    running("snapshot", "--rm", "box", "one").ok()
    assert on_disk() == 1
    assert sh(running, "cat a; ls") == "1\na\n"
    assert running("snapshot", "box").ok().stdout == "1\n"


def test_system_df_counts_what_is_frozen(
    running: Rootless, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in running.env.items():
        monkeypatch.setenv(name, value)

    def size() -> int:
        (usage,) = Engine().disk_usage().containers
        return usage.size

    before = size()
    sh(running, "head -c 1000000 /dev/urandom > a; sync a")
    running("snapshot", "box").ok()
    sh(running, "echo more >> a; sync a")
    assert 1_900_000 < size() - before < 2_200_000
    shown = running("system", "df", "--format", "{{.Type}} {{.Size}}").ok().stdout.splitlines()
    assert any(line.startswith("Containers 2") and line.endswith("MB") for line in shown)


@pytest.mark.parametrize("how", ["--overlay", "--writable-tmpfs", "overlay"])
def test_periodic_snapshots_of_a_layer_that_cannot_be_frozen_are_refused_at_once(
    rootless: Rootless, tmp_path: Path, how: str
) -> None:
    options = {
        "--overlay": ["--overlay", str(tmp_path)],
        "--writable-tmpfs": ["--writable-tmpfs"],
        "overlay": ["--storage-driver", "overlay"],
    }[how]
    done = rootless("create", "--snapshot-each", "exec", *options, "--rootfs", "/", "true")
    assert done.status == 1
    assert len([line for line in done.stderr.splitlines() if not line.startswith("hint: ")]) == 1
    assert rootless("ps", "-aq").ok().stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_image_and_archive_of_a_snapshot(rootless: Rootless, busybox_image) -> None:  # type: ignore[no-untyped-def]
    rootless("import", busybox_image, "busybox").ok()
    rootless("run", "-d", "--name", "box", "busybox", "sleep", "1000").ok()
    for number in range(3):
        rootless("exec", "box", "sh", "-c", f"echo {number} > /file").ok()
        rootless("snapshot", "box", f"s{number}").ok()
    rootless("exec", "box", "rm", "/file").ok()
    rootless("commit", "box@s1", "made").ok()
    assert rootless("run", "--rm", "made", "cat", "/file").ok().stdout == "1\n"
    rootless("export", "-o", rootless.data / "tar", "box@s2").ok()
    with tarfile.open(rootless.data / "tar") as archive:
        file = archive.extractfile("file")
        assert file is not None
        assert file.read() == b"2\n"


def test_snapshots_before_each_exec(rootless: Rootless) -> None:
    command = ("--rootfs", "/", "sleep", "1000")
    rootless("run", "-d", "--name", "box", "--snapshot-each", "exec", *command).ok()
    for number in range(3):
        rootless("exec", "box", "sh", "-c", f"mkdir -p {PLACE}; echo {number} > {PLACE}/file").ok()
    assert rootless("snapshots", "-q", "box").ok().stdout.split() == ["1", "2", "3"]
    assert running_file(rootless) == "2\n"  # the fourth
    rootless("rollback", "--force", "box", "3").ok()
    rootless("start", "box").ok()
    assert running_file(rootless) == "1\n"


def running_file(rootless: Rootless) -> str:
    return rootless("exec", "box", "cat", f"{PLACE}/file").ok().stdout


def test_snapshots_each_second(rootless: Rootless) -> None:
    script = f"mkdir {PLACE}; while :; do date +%s.%N > {PLACE}/now; done"
    command = ("--rootfs", "/", "sh", "-c", script)
    rootless("run", "-d", "--name", "box", "--snapshot-each", "1", *command).ok()
    wait_until(lambda: len(rootless("snapshots", "-q", "box").ok().stdout.split()) >= 3)
    rootless("stop", "-t", "0", "box").ok()
    rootless("rollback", "box", "1").ok()
    first = state(rootless)
    rootless("rollback", "box", "3").ok()
    assert state(rootless) != first
    for text in ("0", "x", "-1", "1.5"):
        refused = rootless("run", "--snapshot-each", text, "--rootfs", "/", "true")
        assert refused.status == 125
        assert refused.stderr.splitlines()[0] == (
            f"rootless: invalid --snapshot-each {text}: it is exec, or a number of seconds"
        )


@pytest.mark.slow
def test_a_hundred_snapshots(running: Rootless) -> None:
    for number in range(100):
        sh(running, f"echo {number} > file; mkdir d{number}; rm -rf d{number - 2}; ln -f file name")
        running("snapshot", "box").ok()
    shown = sh(running, "cat file name; ls; stat -c %h file")
    assert shown.split() == ["99", "99", "d98", "d99", "file", "name", "2"]
    running("stop", "-t", "0", "box").ok()
    running("start", "box").ok()
    assert sh(running, "cat file name; ls; stat -c %h file") == shown
    running("rollback", "--force", "box", "37").ok()
    running("start", "box").ok()
    assert sh(running, "cat file; ls").split() == ["36", "d35", "d36", "file", "name"]


def test_limit_counts_what_is_frozen(rootless: Rootless) -> None:
    options = ("--storage-opt", "size=8M", "--rootfs", "/")
    rootless("run", "-d", "--name", "box", *options, "sleep", "1000").ok()
    write = f"mkdir -p {PLACE}; head -c 5000000 /dev/zero > {PLACE}/file"
    rootless("exec", "box", "sh", "-c", write).ok()
    rootless("snapshot", "box").ok()
    rewrite = f"head -c 5000000 /dev/zero > {PLACE}/file"
    for _ in range(2):
        result = rootless("exec", "box", "sh", "-c", rewrite)
        assert "No space left on device" in result.stderr
        rootless("restart", "-t", "0", "box").ok()
    rootless("exec", "box", "sh", "-c", f"head -c 2000000 /dev/zero > {PLACE}/file").ok()
    rootless("rollback", "--force", "box", "1").ok()
    copied = rootless.popen("cp", f"box:{PLACE}/file", "-").communicate(timeout=120)[0]
    assert len(copied) > 5_000_000


def test_changes_are_applied_through_snapshots(rootless: Rootless, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("kept", "changed", "gone", "dir/file", "dir/other", "moved/a", "moved/inner/b"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{name}\n")
    steps = (
        "echo 1 >> changed; mv moved elsewhere; echo new > made; ln made linked",
        "echo 2 >> changed; rm gone; echo more >> elsewhere/inner/b; echo x > elsewhere/c",
        "rm -r dir; mkdir dir; echo again > dir/file; echo 3 >> made; mv elsewhere finally",
    )
    command = ("--rootfs", "/", "--workdir", str(tree), "sleep", "1000")
    rootless("run", "-d", "--name", "box", *command).ok()
    for step in steps:
        rootless("exec", "box", "sh", "-ec", step).ok()
        rootless("snapshot", "box").ok()
    direct = tmp_path / "direct"
    subprocess.run(["cp", "-a", tree, direct], check=True)
    for step in steps:
        subprocess.run(["sh", "-ec", step], cwd=direct, check=True)
    rootless("stop", "-t", "0", "box").ok()
    applied = rootless("apply", "box", tree)
    assert (applied.status, applied.stderr) == (0, ""), applied.stdout

    def content(top: Path) -> dict[str, object]:
        return {
            str(each.relative_to(top)): each.read_text() if each.is_file() else None
            for each in top.rglob("*")
        }

    assert content(tree) == content(direct)
    assert (tree / "made").samefile(tree / "linked")
