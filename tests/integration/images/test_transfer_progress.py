"""load, save, import, commit and export count on a terminal, and nowhere else."""

import os
import pty

import pytest

from tests.support.images import busybox_tar

pytestmark = pytest.mark.needs("busybox")


@pytest.fixture
def prepared(rootless, tmp_path):
    busybox_tar(tmp_path / "root.tar")
    rootless("import", tmp_path / "root.tar", "box:1").ok()
    rootless("save", "-o", tmp_path / "image.tar", "box:1").ok()
    return rootless


@pytest.fixture
def ran(prepared):
    prepared("run", "--name", "con", "box:1", "sh", "-c", "echo x > /file").ok()
    return prepared


def terminal_output(rootless, *words):
    """What a command writes to the terminal that its standard error is."""
    ours, theirs = pty.openpty()
    try:
        process = rootless.popen(
            *words, stderr=theirs, env=rootless.env | {"TERM": "xterm"}, stdin=theirs
        )
        out, _ = process.communicate(timeout=120)
    finally:
        os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.returncode == 0, shown
    return out, shown.decode()


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("Loading", ["load", "-i", "{}/image.tar"]),
        ("Saving", ["save", "-o", "{}/again.tar", "box:1"]),
        ("Importing", ["import", "{}/root.tar", "other:1"]),
    ],
)
def test_transfer_is_counted_on_a_terminal(prepared, tmp_path, verb, words):
    prepared("rmi", "box:1").ok() if verb == "Loading" else None
    words = [each.format(tmp_path) for each in words]
    _, shown = terminal_output(prepared, *words)
    assert f"{verb} " in shown
    assert shown.endswith("\r\x1b[K")  # the line is removed at the end
    assert prepared(*words).stderr == ""


@pytest.mark.needs("userns", "fuse")
@pytest.mark.parametrize(
    ("verb", "words"), [("Committing", ["commit", "con"]), ("Exporting", ["export", "con"])]
)
def test_reading_a_container_is_counted_on_a_terminal(ran, verb, words):
    out, shown = terminal_output(ran, *words)
    assert f"{verb} " in shown
    assert out


def test_quiet_load_shows_nothing(prepared, tmp_path):
    prepared("rmi", "box:1").ok()
    assert terminal_output(prepared, "load", "-q", "-i", tmp_path / "image.tar")[1] == ""
