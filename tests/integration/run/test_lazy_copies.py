"""A container that changes a little of a big file of its image: what that copies, and that
readers see the same data."""

import io
import json
import os
import random
import tarfile

import pytest

from tests.support.file_servers import kill_file_servers
from tests.support.images import add_file
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

SIZE = 24 << 20
BIG = random.Random(11).randbytes(1 << 20) * 24
AT = 5_000_000
WRITE = f"dd if=/dev/zero of=/big bs=4096 count=1 seek={AT} oflag=seek_bytes conv=notrunc"
WRITTEN = BIG[:AT] + bytes(4096) + BIG[AT + 4096 :]


@pytest.fixture
def box(rootless, busybox_image, tmp_path):
    path = tmp_path / "rootfs.tar"
    path.write_bytes(busybox_image.read_bytes())
    with tarfile.open(path, "a") as archive:
        add_file(archive, "big", BIG)
        info = tarfile.TarInfo("other")
        info.size, info.mtime = SIZE, 1_000_000_000
        archive.addfile(info, io.BytesIO(BIG))
    rootless("import", path, "box:1").ok()
    path.unlink()
    return rootless


def exported(box, name, member="big"):
    output = box.data.parent / "export.tar"
    box("export", "-o", output, name).ok()
    with tarfile.open(output) as archive:
        return archive.extractfile(member).read()


def upper_of(box):
    (directory,) = (box.data / "rootless/containers").glob("?" * 64)
    return directory / "upper"


def record_of(box):
    return json.loads((upper_of(box).parent / "container.json").read_text())


def start_that_waits(box, script, tmp_path, *options):
    """Run a script in container `kept` that ends when it reads a line from the fifo `go`."""
    os.mkfifo(tmp_path / "go")
    script += "; echo up; read x < /v/go"
    words = ("run", "--name", "kept", *options, "-v", f"{tmp_path}:/v", "box:1", "sh", "-c", script)
    running = box.popen(*words)
    assert running.stdout.readline() == b"up\n"
    # The command may be quicker than the note that it runs.
    wait_until(lambda: record_of(box)["server_pid"] > 0)
    return running


def test_small_write_to_a_big_file_copies_little(box):
    box("run", "--name", "kept", "box:1", "sh", "-c", WRITE).ok()
    report = json.loads(box("cow", "--format", "json", "kept").ok().stdout)
    (record,) = report["Records"]
    assert (record["Path"], record["Size"], record["Lazy"]) == ("/big", SIZE, True)
    assert report["Copied"] < SIZE // 4
    assert os.stat(upper_of(box) / "big").st_size == SIZE


def test_commit_and_export_after_the_end_have_the_whole_file(box):
    box("run", "--name", "kept", "box:1", "sh", "-c", f"{WRITE}; chmod 600 /other").ok()
    assert exported(box, "kept") == WRITTEN
    assert exported(box, "kept", "other") == BIG
    box("commit", "kept", "box:2").ok()
    result = box("run", "--rm", "box:2", "sha256sum", "/big", "/other").ok()
    expected = box("run", "--rm", "box:1", "sh", "-c", f"{WRITE}; sha256sum /big /other").ok()
    assert result.stdout == expected.stdout
    assert box("run", "--rm", "box:2", "stat", "-c", "%Y %a", "/other").ok().stdout == (
        "1000000000 600\n"
    )


def test_commit_while_it_runs_has_the_whole_file(box, tmp_path):
    running = start_that_waits(box, WRITE, tmp_path)
    assert exported(box, "kept") == WRITTEN
    box("commit", "kept", "box:2").ok()
    (tmp_path / "go").write_text("go\n")
    assert running.wait(120) == 0
    assert exported(box, "kept") == WRITTEN
    digests = box("run", "--rm", "box:2", "sha256sum", "/big", "/other").ok().stdout.splitlines()
    assert digests[0].split()[0] != digests[1].split()[0]
    assert "C /big" in box("diff", "kept").ok().stdout.splitlines()


def test_container_whose_file_server_was_killed_loses_nothing_that_was_synced(box, tmp_path):
    running = start_that_waits(box, f"{WRITE},fsync", tmp_path)
    container = record_of(box)
    kill_file_servers(
        container["monitor_pid"], container["pid"], lambda: running.poll() is not None
    )
    assert running.wait(120) != 0
    assert exported(box, "kept") == WRITTEN
    box("rm", "kept").ok()
    assert list((box.data / "rootless/containers").glob("?" * 64)) == []


def test_live_host_is_copied_whole(box, tmp_path):
    """It may change under the container, which a copy does not see and a lazy one must not."""
    source = tmp_path / "source"
    source.write_bytes(BIG)
    script = f"printf x | dd of={source} bs=1 conv=notrunc 2>/dev/null; sha256sum {source}"
    box("run", "--name", "kept", "--rootfs", "/", "sh", "-c", script).ok()
    report = json.loads(box("cow", "--format", "json", "kept").ok().stdout)
    (record,) = (each for each in report["Records"] if each["Path"] == str(source))
    assert (record["Copied"] or SIZE, record["Lazy"]) == (SIZE, False)
