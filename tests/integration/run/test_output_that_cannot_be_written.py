"""Commands whose standard streams cannot be written, or are closed: each ends with the status that is its own, or with 1 if it
was asked for the output, and prints no traceback."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")

UNWRITTEN = "rootless: cannot write the output: no space left on device\n"


def ended(rootless, words, prepare: Callable[[], None] = lambda: None, **streams):
    """The command with standard streams that take what is written, unless said otherwise."""
    given = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE) | streams
    argv = [sys.executable, "-m", "rootless", *words]
    return subprocess.run(
        argv, env=rootless.env, check=False, text=True, preexec_fn=prepare, timeout=120, **given
    )


@pytest.fixture
def full():
    with open("/dev/full", "wb") as file:
        yield file


@pytest.fixture
def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def c1(rootless):
    rootless("create", "--name", "c1", "--rootfs", "/", "true").ok()


OF_OUTPUT = (
    ("ps", "-a"),
    ("volume", "ls"),
    ("create", "--rootfs", "/", "true"),
    ("inspect", "c1"),
    ("events", "--until", "0s"),
    ("version",),
    ("--help",),
    ("run", "--help"),
)
ERRORS = (
    (("rm", "nosuch"), 1),
    (("rm", "-f", "nosuch"), 0),
    (("rename", "nosuch", "x"), 1),
    (("inspect", "nosuch"), 1),
    (("logs", "nosuch"), 1),
    (("run", "--nosuch"), 125),
    (("run", "--pull=never", "nosuch", "true"), 125),
    (("nosuch",), 1),
)


@pytest.mark.usefixtures("c1")
@pytest.mark.parametrize("words", OF_OUTPUT)
def test_a_full_device_is_reported_in_one_line(rootless, full, words):
    result = ended(rootless, words, stdout=full)
    assert (result.returncode, result.stderr) == (1, UNWRITTEN)
    assert ended(rootless, words, stdout=full, stderr=full).returncode == 1


@pytest.mark.usefixtures("c1")
@pytest.mark.parametrize("words", OF_OUTPUT)
def test_a_reader_that_has_gone_is_not_reported(rootless, broken_pipe, words):
    result = ended(rootless, words, stdout=broken_pipe)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.usefixtures("c1")
@pytest.mark.parametrize("words", [*OF_OUTPUT, ("diff", "c1"), ("save", "bb")])
def test_a_stream_that_is_closed_takes_everything(rootless, busybox_image, words):
    rootless("import", busybox_image, "bb").ok()
    result = ended(rootless, words, lambda: os.close(1))
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


@pytest.mark.parametrize(("words", "status"), ERRORS)
def test_an_error_that_cannot_be_written_is_the_same_error(
    rootless, full, broken_pipe, words, status
):
    written = ended(rootless, words)
    assert written.returncode == status
    assert written.stderr
    for streams in ({"stderr": full}, {"stderr": broken_pipe}):
        result = ended(rootless, words, **streams)
        assert (result.returncode, result.stdout) == (status, written.stdout)
    closed = ended(rootless, words, lambda: os.close(2))
    assert (closed.returncode, closed.stdout) == (status, written.stdout)


def test_each_container_is_acted_on_though_no_name_can_be_written(rootless, full):
    for name in ("c1", "c2"):
        rootless("create", "--name", name, "--rootfs", "/", "true").ok()
    result = ended(rootless, ("rm", "c1", "c2"), stdout=full)
    assert (result.returncode, result.stderr) == (1, UNWRITTEN)
    assert rootless("ps", "-aq").ok().stdout == ""


def test_container_whose_id_cannot_be_written_runs(rootless, full, broken_pipe):
    for name, stream in (("c1", full), ("c2", broken_pipe)):
        words = ("run", "-d", "--name", name, "--rootfs", "/", "sleep", "1000")
        assert ended(rootless, words, stdout=stream).returncode == 1
        assert rootless("inspect", "-f", "{{.State.Status}}", name).ok().stdout == "running\n"


def test_question_is_not_answered_by_a_closed_standard_input(rootless, c1):
    result = ended(rootless, ("container", "prune"), lambda: os.close(0))
    assert result.returncode == 0
    assert rootless("ps", "-aq").ok().stdout != ""


@pytest.mark.needs("busybox")
def test_names_of_files_are_lost_as_text_is(box, full):
    box("run", "--name", "c2", "--network", "none", "box:1", "sh", "-c", "echo x >/a").ok()
    for words in ("diff",), ("changes",), ("changes", "--json"), ("changes", "--diff"):
        result = ended(box, (*words, "c2"), stdout=full)
        assert (result.returncode, result.stderr) == (1, UNWRITTEN), words
