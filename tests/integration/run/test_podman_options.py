"""Options of podman's `run` and `exec`, as podman 5.8 was seen to carry them out."""

import sys
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

BARE = ("--network", "none")


@pytest.fixture
def with_descriptor(box, tmp_path):
    """Runs a command line of `rootless` that is started with a file of one line open as descriptor 40."""
    path = tmp_path / "data"
    path.write_text("data\n")

    def run(*words):
        shell = ["bash", "-c", 'exec "$@" 40<"$0"', str(path)]
        return run_command([*shell, sys.executable, "-m", "rootless", *words], env=box.env)

    return run


def names_of(box):
    return box("images", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout.split()


def test_output_is_discarded_or_written_to_a_file(box, tmp_path):
    assert box("--noout", "run", "--rm", *BARE, "box:1", "echo", "hi").ok().stdout == ""
    path = tmp_path / "out"
    assert box("--out", str(path), "create", "--name", "web", "box:1", "true").ok().stdout == ""
    found = box("inspect", "-f", "{{.Id}}", "web").ok().stdout
    assert path.read_text() == found
    failed = box("--out", str(tmp_path / "no/out"), "ps")
    assert (failed.status, failed.stderr) == (
        125,
        f"rootless: {tmp_path}/no/out: no such file or directory\n",
    )


def test_descriptors_are_passed_by_their_numbers(box, with_descriptor):
    command = "cat <&40; ls /proc/self/fd | grep -v '^[0-9]$'"
    asked = ("--preserve-fd", "40")
    run = with_descriptor("run", "--rm", *BARE, *asked, "box:1", "sh", "-c", command)
    assert run.ok().stdout == "data\n40\n"
    box("run", "-d", "--name", "web", *BARE, "box:1", "sleep", "1000").ok()
    assert with_descriptor("exec", *asked, "web", "sh", "-c", command).ok().stdout == "data\n40\n"
    shown = with_descriptor("exec", "web", "sh", "-c", command)
    assert (shown.status, shown.stdout) == (1, "")


def test_descriptors_stay_over_a_restart_by_the_policy(box, with_descriptor, tmp_path):
    mark = tmp_path / "mark"
    command = f"head -n1 <&40 >>{mark}; echo run >>{mark}; exit 1"
    with_descriptor(
        *("run", "-d", "--name", "web", *BARE, "-v", f"{tmp_path}:{tmp_path}"),
        *("--restart", "on-failure:1", "--preserve-fd", "40", "box:1", "sh", "-c", command),
    ).ok()
    wait_until(lambda: mark.exists() and mark.read_text() == "data\nrun\nrun\n")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--preserve-fds", "2"), "--preserve-fds: descriptor 3 is not open"),
        (("--preserve-fd", "77"), "--preserve-fd: descriptor 77 is not open"),
        (("--preserve-fd", "x"), "--preserve-fd: 'x' is not a file descriptor number"),
        (("--preserve-fd", "1"), "--preserve-fd: descriptor 1 is a standard stream"),
        (("--preserve-fds", "-1"), "--preserve-fds: -1 is negative"),
    ],
)
def test_descriptor_that_cannot_be_passed_is_refused(box, option, message):
    refused = box("run", "--rm", *BARE, *option, "box:1", "true")
    assert refused.status == 125
    assert refused.stderr.startswith(f"rootless: {message}\n")
    assert box("ps", "-aq").stdout == ""


def test_image_goes_with_its_last_container(box):
    box("tag", "box:1", "box:2").ok()
    box("run", "--rmi", *BARE, "box:1", "true").ok()
    assert names_of(box) == ["box:2"]
    assert box("ps", "-aq").ok().stdout == ""
    box("create", "--name", "other", "box:2", "true").ok()
    kept = box("run", "--rmi", *BARE, "box:2", "true")
    assert kept.status == 0
    assert kept.stderr.startswith("rootless: the image box:2 is not removed: ")
    assert names_of(box) == ["box:2"]
    box("rm", "other").ok()
    box("run", "-d", "--name", "web", "--rmi", *BARE, "box:2", "sleep", "1000").ok()
    form = "{{.HostConfig.AutoRemoveImage}} {{.HostConfig.AutoRemove}}"
    assert box("inspect", "-f", form, "web").ok().stdout == "true true\n"
    box("stop", "-t", "0", "web").ok()
    wait_until(lambda: names_of(box) == [])
    events = box("events", "--until", "0s", "-f", "type=image", "--format", "{{.Action}}")
    assert events.ok().stdout.split()[-2:] == ["untag", "delete"]


def test_image_that_has_got_another_name_meanwhile_stays(box, busybox_image):
    box("run", "-d", "--name", "web", "--rmi", *BARE, "box:1", "sleep", "1000").ok()
    box("import", "-c", "LABEL new=1", str(busybox_image), "box:1").ok()
    box("stop", "-t", "0", "web").ok()
    wait_until(lambda: box("ps", "-aq").stdout == "")
    assert "box:1" in names_of(box)


def test_lower_oom_score_than_the_account_may_have_is_the_callers(box):
    path = "/proc/self/oom_score_adj"
    for score in ("-1000", "-5"):
        run = box("run", "--rm", *BARE, "--oom-score-adj", score, "box:1", "cat", path)
        assert run.ok().stdout == Path(path).read_text()


def test_volume_of_which_nothing_can_be_executed(box, tmp_path):
    copy = "cp /bin/busybox /v/sh; /v/sh -c 'echo ran'"
    box("run", "-d", "--name", "web", *BARE, "-v", "data:/v:noexec", "box:1", "sleep", "1000").ok()
    for words in (("exec", "web"), ("run", "--rm", *BARE, "--volumes-from", "web", "box:1")):
        refused = box(*words, "sh", "-c", copy)
        assert (refused.status, refused.stderr) == (126, "sh: /v/sh: Permission denied\n")
    run = ("run", "--rm", *BARE, "-v", "data:/v:nodev", "box:1")
    assert box(*run, "sh", "-c", copy).ok().stdout == "ran\n"
    assert " rw,nodev," in box(*run, "grep", " /v ", "/proc/mounts").ok().stdout


def test_events_of_the_past_alone(box):
    box("create", "--name", "web", "box:1", "true").ok()
    shown = box("events", "--stream=false", "-f", "container=web", "--format", "{{.Action}}").ok()
    assert shown.stdout == "create\n"
