"""`attach`, `start -a` and `wait` that have nothing to do wait in a small program."""

import os
import signal

import pytest

from tests.support.standby import MEMORY, memory_of, stands_by
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

SERVER = ("--network", "none", "box:1", "sh", "-c")
ENDS = "trap 'echo bye; exit 5' TERM; while :; do sleep 1000 & wait; done"


def standing_by(box, *words):
    """The command, which has come to stand by."""
    process = box.popen(*words)
    wait_until(lambda: stands_by(process.pid))
    assert memory_of(process.pid) < MEMORY
    return process


def test_attach_shows_what_comes_later_and_returns_the_status(box):
    box("run", "-d", "--name", "c1", *SERVER, ENDS).ok()
    attached = standing_by(box, "attach", "--no-stdin", "c1")
    box("stop", "c1").ok()
    assert attached.communicate(timeout=120) == (b"bye\n", b"")
    assert attached.returncode == 5


def test_attach_passes_on_input_and_signals(box):
    trap = "trap 'echo usr1' USR1; while :; do read line && echo $line; done"
    box("create", "-i", "--name", "c1", *SERVER, trap).ok()
    box("start", "c1").ok()
    attached = standing_by(box, "attach", "c1")
    attached.stdin.write(b"typed\n")
    attached.stdin.flush()
    assert attached.stdout.readline() == b"typed\n"
    wait_until(lambda: stands_by(attached.pid))
    attached.send_signal(signal.SIGUSR1)
    assert attached.stdout.readline() == b"usr1\n"
    box("kill", "c1").ok()
    attached.communicate(timeout=120)
    assert attached.returncode == 137


def test_an_attached_start_returns_the_status(box):
    box("create", "--name", "c1", *SERVER, ENDS).ok()
    started = standing_by(box, "start", "-a", "c1")
    started.send_signal(signal.SIGTERM)
    assert started.communicate(timeout=120) == (b"bye\n", b"")
    assert started.returncode == 5


def test_wait_prints_the_status_of_each_container(box):
    for name in ("c1", "c2"):
        box("run", "-d", "--rm", "--name", name, *SERVER, ENDS).ok()
    waiting = standing_by(box, "wait", "nosuch", "c1", "c2")
    box("stop", "c1").ok()
    assert waiting.stdout.readline() == b"5\n"
    wait_until(lambda: stands_by(waiting.pid))
    box("kill", "c2").ok()
    out, err = waiting.communicate(timeout=120)
    assert out == b"137\n"
    assert err.count(b"\n") == 1
    assert b"nosuch" in err
    assert waiting.returncode == 1


def test_wait_of_a_killed_monitor_goes_on_with_what_is_recorded(box):
    box("run", "-d", "--name", "c1", *SERVER, ENDS).ok()
    waiting = standing_by(box, "wait", "c1")
    monitor = int(box("inspect", "-f", "{{.State.ConmonPid}}", "c1").ok().stdout)
    os.kill(monitor, signal.SIGKILL)
    assert waiting.communicate(timeout=120)[0] == b"137\n"
    assert waiting.returncode == 0


def test_an_interrupt_ends_wait_and_not_the_container(box):
    box("run", "-d", "--name", "c1", *SERVER, ENDS).ok()
    waiting = standing_by(box, "wait", "c1")
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate(timeout=120) == (b"", b"")
    assert waiting.returncode == 130
    assert box("ps", "-q", "--filter", "name=c1").ok().stdout


def test_a_status_that_cannot_be_printed_is_one_line(box):
    box("run", "-d", "--name", "c1", *SERVER, ENDS).ok()
    with open("/dev/full", "wb") as full:
        waiting = box.popen("wait", "c1", stdout=full)
        wait_until(lambda: stands_by(waiting.pid))
        box("stop", "c1").ok()
        _, err = waiting.communicate(timeout=120)
    assert err == b"rootless: cannot write the output: no space left on device\n"
    assert waiting.returncode == 1


WRITES = "trap 'echo more; echo err >&2' USR1; trap 'echo bye; exit 5' TERM; while :; do sleep 1000 & wait; done"


@pytest.mark.parametrize("driver", [("json-file", "max-size=50", "max-file=3"), ("k8s-file",)])
def test_followed_logs_show_what_comes_later_and_end_with_the_container(box, driver):
    driver, *options = driver
    words = [word for option in options for word in ("--log-opt", option)]
    box("run", "-d", "--name", "c1", "--log-driver", driver, *words, *SERVER, WRITES).ok()
    following = standing_by(box, "logs", "-f", "c1")
    for _ in range(2):
        box("kill", "-s", "USR1", "c1").ok()
        assert following.stdout.readline() == b"more\n"
        assert following.stderr.readline() == b"err\n"
        wait_until(lambda: stands_by(following.pid))
    box("stop", "c1").ok()
    assert following.communicate(timeout=30) == (b"bye\n", b"")
    assert following.returncode == 0


def test_followed_logs_are_filtered_after_they_stood_by(box):
    box("run", "-d", "--name", "c1", *SERVER, WRITES).ok()
    following = standing_by(box, "logs", "-f", "-t", "--tail", "0", "c1")
    box("kill", "-s", "USR1", "c1").ok()
    time, _, text = following.stdout.readline().partition(b" ")
    assert text == b"more\n"
    assert time.endswith(b"Z")
    box("kill", "c1").ok()
    assert following.wait(timeout=30) == 0


def test_an_interrupt_ends_followed_logs(box):
    box("run", "-d", "--name", "c1", *SERVER, ENDS).ok()
    following = standing_by(box, "logs", "-f", "c1")
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=30) == (b"", b"")
    assert following.returncode == 130


@pytest.mark.parametrize("form", [(), ("--format", "{{.Action}} {{.Actor.Attributes.name}}")])
def test_events_that_come_later_are_printed(box, form):
    box("run", "-d", "--name", "c1", *SERVER, ENDS).ok()
    watching = standing_by(box, "events", "-f", "event=die", "-f", "event=create", *form)
    box("create", "--name", "c2", "--network", "none", "box:1", "true").ok()
    line = watching.stdout.readline()
    assert line == b"create c2\n" if form else b" container create " in line
    wait_until(lambda: stands_by(watching.pid))
    os.kill(int(box("inspect", "-f", "{{.State.ConmonPid}}", "c1").ok().stdout), signal.SIGKILL)
    line = watching.stdout.readline()
    assert line == b"die c1\n" if form else b" container die " in line
    watching.send_signal(signal.SIGINT)
    assert watching.communicate(timeout=30) == (b"", b"")
    assert watching.returncode == 130
