"""The file server of the network beneath a store does not have its files any more (ESTALE, "errors" of nfs(5))."""

import dataclasses

import pytest

from tests.support.faulty import faulty_disk

pytestmark = pytest.mark.needs("userns", "fuse", "fusermount", "busybox")

STALE = {"lookup": "ESTALE", "read": "ESTALE"}


@pytest.fixture
def disk(tmp_path):
    with faulty_disk(tmp_path) as found:
        yield found


@pytest.fixture
def box(rootless, disk, busybox_image):
    box = dataclasses.replace(rootless, data=disk.path / "data")
    box("import", busybox_image, "box:1").ok()
    yield box
    disk.fails()
    box.remove_containers()


@pytest.mark.parametrize(
    "words", [("run", "--rm", "box:1", "true"), ("hpc", "exec", "box:1", "true"), ("tag", "box:1", "b:2")]
)  # fmt: skip
def test_a_command_fails_in_one_line_with_a_hint(box, disk, words):
    disk.fails(**STALE)
    failed = box(*words)
    assert failed.status == (1 if words[0] == "tag" else 125)
    error, *hints = failed.stderr.splitlines()
    assert error.startswith("rootless: ")
    assert error.endswith("stale file handle")
    assert len(hints) <= 1
    assert "mount it again" in "".join(hints)
    disk.fails()
    assert box("run", "--rm", "box:1", "echo", "again").ok().stdout == "again\n"


def test_a_container_that_runs_gets_the_error_and_goes_on(box, disk):
    box("run", "-d", "--name", "c1", "box:1", "sleep", "1000").ok()
    assert box("exec", "c1", "sh", "-c", "echo kept >/kept; cat /kept").ok().stdout == "kept\n"
    script = "read x; mkdir /new; echo $?; read x; cat /kept; mkdir /new && echo made"
    shell = box.popen("exec", "-i", "c1", "sh", "-c", script)
    disk.fails(**STALE)
    shell.stdin.write(b"\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == b"1\n"
    disk.fails()
    output, errors = shell.communicate(b"\n", timeout=120)
    assert output == b"kept\nmade\n"
    assert b"Stale file handle" in errors
