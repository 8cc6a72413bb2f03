"""`run` that has nothing to do waits in a small program, and passes on what comes then."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tmux
from tests.support.releases import (
    copied_tree,
    install_another_release,
    replace_module,
    start_from,
    write_packs,
)
from tests.support.standby import MEMORY, memory_of, stands_by
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

RUN = ("run", "--rm", "--name", "c1")


@pytest.fixture
def window(box):
    with tmux.window(box.env) as opened:
        yield opened


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def client_of(box):
    """The PID of `run`, which is the parent of the monitor."""
    status = Path(f"/proc/{monitor_of(box)}/status").read_text()
    (parent,) = (line for line in status.splitlines() if line.startswith("PPid:"))
    return int(parent.split()[1])


def monitor_of(box):
    return int(box("inspect", "--format", "{{.State.ConmonPid}}", "c1").ok().stdout)


def containers(box):
    return box("ps", "-aq").ok().stdout


def start(box, *words):
    """A `run` that stands by, after its first line of output."""
    running = box.popen(*RUN, *words)
    assert running.stdout.readline() == b"up\n"
    wait_until(lambda: stands_by(running.pid))
    return running


def test_a_client_that_stands_by_takes_little_memory_and_keeps_its_name(box):
    running = box.popen(*RUN, "-i", "box:1", "sh", "-c", "echo up; cat; exit 7")
    assert running.stdout.readline() == b"up\n"
    name = Path(f"/proc/{running.pid}/comm").read_text()
    shown = command_line(running.pid)
    wait_until(lambda: stands_by(running.pid))
    assert memory_of(running.pid) < MEMORY
    assert Path(f"/proc/{running.pid}/comm").read_text() == name
    assert command_line(running.pid).endswith(shown)
    running.stdin.write(b"through\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"through\n"
    assert command_line(running.pid).endswith(shown)
    wait_until(lambda: stands_by(running.pid))  # and once more
    assert running.communicate(b"last\n", timeout=120)[0] == b"last\n"
    assert running.returncode == 7
    assert containers(box) == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGSEGV, signal.SIGCONT])
def test_signals_are_passed_on(box, number):
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo {name}; exit 5' {name}; echo up; while :; do sleep 1000 & wait; done"
    running = start(box, "box:1", "sh", "-c", script)
    running.send_signal(number)
    assert running.communicate(timeout=120)[0] == f"{name}\n".encode()
    assert running.returncode == 5


def test_signals_that_are_not_passed_on_end_the_client_and_the_container(box):
    running = start(box, "--sig-proxy=false", "box:1", "sh", "-c", "echo up; sleep 1000")
    running.send_signal(signal.SIGINT)
    assert running.wait(120) == 130
    wait_until(lambda: containers(box) == "")


def test_a_signal_that_the_caller_ignores_stays_ignored(box):
    argv = [sys.executable, "-m", "rootless", *RUN, "box:1", "sh", "-c", "echo up; sleep 1000"]
    running = subprocess.Popen(
        ["nohup", *argv], env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert running.stdout.readline() == b"up\n"
    wait_until(lambda: stands_by(running.pid))
    running.send_signal(signal.SIGHUP)
    assert_stays(lambda: stands_by(running.pid), 1)
    running.kill()
    running.communicate(timeout=120)
    wait_until(lambda: containers(box) == "")


def test_the_end_of_its_reader_reaches_the_container(box):
    script = "echo up; until [ -e /mnt/go ]; do sleep 0.1; done; while echo tick; do :; done; touch /mnt/done"
    shared = box.data / "shared"
    shared.mkdir()
    running = start(box, "-v", f"{shared}:/mnt", "box:1", "sh", "-c", f"trap '' PIPE; {script}")
    running.stdout.close()
    running.stdout = None
    (shared / "go").touch()
    wait_until((shared / "done").exists)
    running.wait(120)


def test_a_killed_monitor_is_reported(box):
    running = start(box, "box:1", "sh", "-c", "echo up; exec sleep 1000")
    os.kill(monitor_of(box), signal.SIGKILL)
    complaint = running.communicate(timeout=120)[1].decode()
    assert complaint == (
        "rootless: the monitor of the container was killed (signal 9), and the container with it\n"
    )
    assert running.returncode == 125


@pytest.mark.needs("tmux")
def test_keys_and_a_new_size_of_the_terminal_wake_a_client(box, window):
    words = (*RUN[:-1], "c1", "-it", "-e", "PS1=inside> ", "box:1", "sh")
    window.run(shlex.join((sys.executable, "-m", "rootless", *words)))
    window.expect_prompt("inside>")
    client = client_of(box)
    wait_until(lambda: stands_by(client))
    window.resize(100, 30)
    wait_until(lambda: not stands_by(client))
    window.run("stty size")
    window.expect("30 100")
    wait_until(lambda: stands_by(client))
    window.run("sleep 1000")
    wait_until(lambda: not stands_by(client))
    wait_until(lambda: stands_by(client))
    window.type("C-c")
    window.expect("^C")
    window.type("C-p", "C-q")
    window.expect("read escape sequence")
    window.expect_prompt()
    window.run("echo status $?; stty -a | grep -o ' icanon'")
    window.expect("status 0\n icanon")
    assert box("inspect", "--format", "{{.State.Status}}", "c1").ok().stdout == "running\n"


@pytest.mark.needs("tmux")
def test_a_client_that_stands_by_is_stopped_and_continued(box, window):
    window.run(shlex.join((sys.executable, "-m", "rootless", *RUN, "-it", "box:1", "cat")))
    wait_until(lambda: box("ps", "-q").ok().stdout)
    client = client_of(box)
    wait_until(lambda: stands_by(client))
    os.kill(client, signal.SIGTSTP)
    window.expect("Stopped")
    window.expect_prompt()
    window.run("echo $((6 * 7))")
    window.expect("\n42")
    window.run("fg")
    wait_until(lambda: window.run("typed") or window.screen().count("typed") >= 2)
    window.type("C-d")
    window.expect_prompt()
    assert containers(box) == ""


@pytest.mark.parametrize("packs", [True, False])
def test_a_client_goes_on_with_the_modules_that_it_had(box, tmp_path, packs):
    """Another release is installed meanwhile, none of whose modules works."""
    tree = copied_tree(tmp_path)
    if packs:
        write_packs(box, tree)
        assert list(tree.rglob("resumed-client.*.pack"))
    running = run_from(box, tree)
    wait_until(lambda: stands_by(running.pid))
    install_another_release(tree)
    running.stdin.write(b"\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"more\n"
    wait_until(lambda: stands_by(running.pid))  # and once more
    running.communicate(b"\n", timeout=120)
    assert running.returncode == 7


def test_a_client_stays_awake_whose_modules_have_been_replaced(box, tmp_path):
    tree = copied_tree(tmp_path)
    running = run_from(box, tree)
    replace_module(tree, "rootless/supervisor/foreground.py")
    assert_stays(lambda: not stands_by(running.pid), 6)
    running.communicate(b"\n\n", timeout=120)
    assert running.returncode == 7


def run_from(box, tree):
    """A `run` with the modules of a tree; it writes a line for each that it reads, and ends with 7 after the second."""
    script = "echo up; read x; echo more; read x; exit 7"
    running = start_from(box, tree, *RUN, "-i", "box:1", "sh", "-c", script)
    assert running.stdout.readline() == b"up\n"
    return running
