"""`hpc inspect`, `run-help` and `test`: what an image says of itself, wherever it lies."""

import json
import os

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def described(rootless, cluster, busybox_image):
    """The image described:1, with a command, a variable and labels."""
    rootless(
        *("import", "-c", 'ENV GREETING="it is"', "-c", 'LABEL who=me version="1.2"'),
        *("-c", 'CMD ["echo", "hello"]', busybox_image, "described:1"),
    ).ok()
    return cluster


def test_an_image_of_the_store_is_shown_with_the_scripts_that_its_file_gets(described):
    assert described.text("inspect", "described:1") == "version: 1.2\nwho: me\n"
    runscript = described.text("inspect", "-r", "described:1")
    assert "set -- 'echo' 'hello'" in runscript
    environment = described.text("inspect", "-e", "described:1")
    assert "export GREETING='it is'" in environment
    assert not (described.cwd / "described_1.sif").exists()


@pytest.mark.needs("squashfs")
def test_a_file_shows_what_the_image_shows(described):
    described.text("pull", "-q", "described:1", "one.sif")
    of_file, of_image = (
        json.loads(described.text("inspect", "--all", image))["data"]["attributes"]
        for image in ("one.sif", "described:1")
    )
    assert of_file == of_image
    assert of_file["labels"] == {"version": "1.2", "who": "me"}


def test_an_image_that_is_not_here_is_not_pulled(cluster):
    done = cluster("inspect", "registry.invalid/no/such:1")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "No such image: registry.invalid/no/such:1" in done.stderr.decode()


def test_labels_that_are_no_json_are_an_error(cluster, scripted_tree):
    labels = scripted_tree / ".singularity.d/labels.json"
    for text, reason in (("{", "is not JSON"), ("[]", "is not an object of JSON")):
        labels.write_text(text)
        done = cluster("inspect", scripted_tree)
        labels.unlink()
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"/.singularity.d/labels.json of the image {reason}" in done.stderr.decode()


def test_links_in_an_image_lead_nowhere_else(cluster, scripted_tree, tmp_path):
    (tmp_path / "secret").write_text("of the host\n")
    help_file = scripted_tree / ".singularity.d/runscript.help"
    help_file.symlink_to(tmp_path / "secret")
    try:
        assert cluster.text("run-help", scripted_tree).startswith("No help sections")
    finally:
        help_file.unlink()


def test_the_test_of_an_image_is_executed(cluster, scripted_tree):
    script = scripted_tree / ".singularity.d/test"
    script.write_text('#!/bin/sh\necho "tested: $FIXED $*"; exit 5\n')
    script.chmod(0o755)
    try:
        done = cluster("test", scripted_tree, "one", "two")
        assert (done.returncode, done.stdout) == (5, b"tested: image one two\n")
    finally:
        script.unlink()


def test_an_image_without_a_test_says_so(cluster, scripted_tree):
    for words in (("box:1",), ("--app", "foo", scripted_tree)):
        done = cluster("test", *words)
        assert (done.returncode, done.stdout) == (125, b"")
        assert "rootless: the image has no test" in done.stderr.decode()


def test_names_and_labels_of_an_image_control_no_terminal_and_can_be_any_bytes(
    cluster, scripted_tree
):
    app = os.fsencode(scripted_tree) + b"/scif/apps/a\xff\x1b[2J\nb"
    labels = scripted_tree / ".singularity.d/labels.json"
    os.mkdir(app)
    labels.write_text(r'{"alone": "\ud800", "screen": "\u001b[2J\u009b"}')
    try:
        listed = cluster("inspect", "--list-apps", scripted_tree)
        assert (listed.returncode, listed.stdout) == (0, b"a\\xff\\x1b[2J b\nfoo\n")
        done = cluster("inspect", "--json", "--list-apps", scripted_tree)
        assert done.returncode == 0
        assert "a\udcff\x1b[2J\nb" in json.loads(done.stdout)["data"]["attributes"]["apps"]
        done = cluster("inspect", "--json", scripted_tree)
        assert json.loads(done.stdout)["data"]["attributes"]["labels"]["alone"] == "\ud800"
        for shown in (done.stdout, listed.stdout):
            assert not any(each in shown for each in (b"\x1b", b"\xff", b"\xc2\x9b"))
        done = cluster("inspect", "-l", scripted_tree)
        assert (done.returncode, done.stdout) == (
            0,
            "alone: \\ud800\nscreen: \x1b[2J\x9b\n".encode(),
        )
    finally:
        labels.unlink()
        os.rmdir(app)
